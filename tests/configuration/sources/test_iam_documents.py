"""Policy documents: what means the same has one form, and what is sent is not longer."""

import json

from ledgerkeep.configuration.sources.iam.documents import canonical_document, sent_document

WRITTEN = {
    "Version": "2012-10-17",
    "Statement": {
        "Sid": "Loans",
        "Effect": "Allow",
        "Principal": {"AWS": "123456789012", "Service": ["b.amazonaws.com", "a.amazonaws.com"]},
        "Action": ["s3:PutObject", "s3:GetObject", "s3:PutObject"],
        "Resource": "arn:aws:s3:::loans/*",
        "Condition": {
            "Bool": {"aws:SecureTransport": True},
            "NumericLessThan": {"s3:max-keys": [10]},
            "StringEquals": {"aws:PrincipalTag/team": ["risk", "lending"]},
        },
    },
}
CANONICAL = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Loans",
            "Effect": "Allow",
            "Principal": {
                "AWS": ["123456789012"],
                "Service": ["a.amazonaws.com", "b.amazonaws.com"],
            },
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": ["arn:aws:s3:::loans/*"],
            "Condition": {
                "Bool": {"aws:SecureTransport": ["true"]},
                "NumericLessThan": {"s3:max-keys": ["10"]},
                "StringEquals": {"aws:PrincipalTag/team": ["lending", "risk"]},
            },
        }
    ],
}


def test_lists_have_no_order_and_one_value_is_a_list_of_one() -> None:
    assert canonical_document(WRITTEN) == CANONICAL


def test_the_canonical_form_of_the_canonical_form_is_itself() -> None:
    assert canonical_document(CANONICAL) == CANONICAL


def test_statements_keep_their_order_and_everybody_stays_everybody() -> None:
    document = {
        "Statement": [
            {"Effect": "Deny", "Principal": "*", "NotAction": "s3:*", "NotResource": "*"},
            {"Effect": "Allow", "NotPrincipal": {"AWS": "1"}, "Action": "*", "Resource": "*"},
        ]
    }
    first, second = canonical_document(document)["Statement"]
    assert first == {
        "Effect": "Deny",
        "Principal": "*",
        "NotAction": ["s3:*"],
        "NotResource": ["*"],
    }
    assert second["NotPrincipal"] == {"AWS": ["1"]}


def test_what_is_sent_means_the_same_and_is_not_longer() -> None:
    """A managed policy may have 6,144 characters; the brackets of lists of one must not be more."""
    document = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
    }
    sent = sent_document(canonical_document(document))
    assert json.loads(sent) == document
    assert len(sent) == len(json.dumps(document, separators=(",", ":")))
