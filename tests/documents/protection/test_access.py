"""Who may undo the protection by the bucket's policy, read as AWS reads it."""

from typing import Any

import pytest

from ledgerkeep.documents.protection.access import (
    compare_access,
    refuses_plain_requests,
    who_may,
)
from tests.documents.protection.samples import APP, ARN, BUCKET, settings, told, wanted

OPS = "arn:aws:iam::111122223333:role/ops"
READ, DELETE = "s3:GetObjectVersion", "s3:DeleteObjectVersion"


def allow(
    principal: Any, action: Any = "s3:*", resource: Any = f"{ARN}/*", **more: Any
) -> dict[str, Any]:
    named = {"Principal": principal} if principal is not None else {}
    return {"Effect": "Allow", **named, "Action": action, "Resource": resource, **more}


def deny(principal: Any = "*", action: Any = "s3:*", **more: Any) -> dict[str, Any]:
    return allow(principal, action, **{"resource": [ARN, f"{ARN}/*"], **more}) | {"Effect": "Deny"}


def may(action: str, *statements: dict, prefix: str = "") -> list[str]:
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return [one.words for one in who_may(action, policy, BUCKET, prefix)]


@pytest.mark.parametrize(
    ("principal", "words"),
    [
        ("*", "everybody"),
        ({"AWS": "*"}, "everybody"),
        ({"AWS": APP}, APP),
        ({"AWS": "111122223333"}, "111122223333"),
        ({"AWS": "arn:aws:iam::111122223333:root"}, "111122223333"),
        ({"Service": "backup.amazonaws.com"}, "backup.amazonaws.com"),
        ({"CanonicalUser": "79a5"}, "79a5"),
        ({"Federated": "arn:aws:iam::1:saml-provider/x"}, "arn:aws:iam::1:saml-provider/x"),
    ],
)
def test_each_kind_of_principal_is_found(principal: Any, words: str) -> None:
    assert may(READ, allow(principal)) == [words]


@pytest.mark.parametrize(
    "action",
    ["*", "s3:*", "s3:Get*", "S3:getobjectversion", "s3:GetObject?ersion", [READ, "s3:ListBucket"]],
)
def test_action_is_matched_with_wildcards_and_in_any_case(action: Any) -> None:
    assert may(READ, allow({"AWS": APP}, action)) == [APP]


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:List*", "s3:GetObjectVersionTagging"])
def test_another_action_is_another(action: str) -> None:
    assert may(READ, allow({"AWS": APP}, action)) == []


def test_all_actions_but_some_and_everybody_but_some() -> None:
    statement = allow({"AWS": APP})
    del statement["Action"]
    assert may(READ, statement | {"NotAction": "s3:Delete*"}) == [APP]
    assert may(DELETE, statement | {"NotAction": "s3:Delete*"}) == []
    others = allow(None, NotPrincipal={"AWS": OPS})
    assert may(READ, others) == [f"everybody but {OPS}"]


@pytest.mark.parametrize(
    ("resource", "reached"),
    [
        (f"{ARN}/*", True),
        ("*", True),
        ("arn:aws:s3:::doc*", True),
        (f"{ARN}/loans/2026/*", True),
        (f"{ARN}/loans/one.pdf", True),
        ("arn:aws-cn:s3:::documents/*", True),
        (f"{ARN}/letters/*", False),
        (ARN, False),
        ("arn:aws:s3:::documents-too/*", False),
    ],
)
def test_only_what_reaches_documents_counts(resource: str, reached: bool) -> None:
    found = may(READ, allow({"AWS": APP}, resource=resource), prefix="loans/")
    assert found == ([APP] if reached else [])


def test_lifecycle_is_a_matter_of_the_bucket() -> None:
    action = "s3:PutLifecycleConfiguration"
    assert may(action, allow({"AWS": APP}, resource=ARN)) == [APP]
    assert may(action, allow({"AWS": APP}, resource=f"{ARN}/*")) == []


# -- denials


def test_a_denial_takes_the_permission_back() -> None:
    assert may(READ, allow("*"), deny()) == []
    assert may(READ, allow({"AWS": APP}), deny({"AWS": APP})) == []
    assert may(READ, allow({"AWS": APP}), deny({"AWS": "111122223333"})) == []
    session = "arn:aws:sts::111122223333:assumed-role/app/worker"
    assert may(READ, allow({"AWS": session}), deny({"AWS": APP})) == []


@pytest.mark.parametrize(
    "denial",
    [
        deny({"AWS": OPS}),
        deny(action="s3:PutObject"),
        deny(resource=f"{ARN}/letters/*"),
        deny(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        deny(Condition={"Bool": {"aws:SecureTransport": "false"}}),
    ],
)
def test_a_denial_of_something_else_does_not(denial: dict) -> None:
    """What cannot be decided here is read to the worse side."""
    assert may(READ, allow({"AWS": APP}), denial) == [APP]


@pytest.mark.parametrize(
    "denial",
    [
        deny(None, NotPrincipal={"AWS": [OPS]}),
        deny(Condition={"ArnNotLike": {"aws:PrincipalArn": OPS}}),
        deny(Condition={"StringNotEquals": {"AWS:PrincipalARN": [OPS]}}),
    ],
)
def test_denial_for_all_but_some_leaves_those(denial: dict) -> None:
    assert may(READ, allow("*"), denial) == [OPS]
    assert may(READ, allow({"AWS": "111122223333"}), denial) == [OPS]
    assert may(READ, allow({"AWS": APP}), denial) == []
    assert may(READ, allow({"AWS": OPS}), denial) == [OPS]


def test_allow_to_everybody_of_certain_names_is_to_those() -> None:
    only = allow("*", Condition={"ArnLike": {"aws:PrincipalArn": [OPS]}})
    assert may(READ, only) == [OPS]


def test_condition_of_an_allow_is_told() -> None:
    statement = allow("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})
    assert may(READ, statement) == ["everybody (if aws:PrincipalOrgID StringEquals)"]


# -- against the policy


def compare(*statements: dict, **access: list[str]) -> list[tuple[str, str]]:
    named = {f"s3:{action}": principals for action, principals in access.items()}
    policy = {"Statement": [*statements, TLS]}
    lines = compare_access(settings(bucket_policy=policy), wanted(access=named))
    return [(severity, words.removeprefix("s3://documents: ")) for severity, words in told(lines)]


TLS = deny(Condition={"Bool": {"aws:SecureTransport": "false"}})


def test_everybody_who_is_not_named_is_named_by_the_check() -> None:
    grant = allow({"AWS": [APP, OPS]}, [READ, DELETE])
    assert compare(grant, GetObjectVersion=[APP]) == [
        ("critical", f"who may {READ}: expected {APP}, found {OPS} besides"),
        ("critical", f"who may {DELETE}: expected nobody, found {APP} and {OPS}"),
    ]


def test_named_principals_hold_by_pattern_account_and_session() -> None:
    session = "arn:aws:sts::111122223333:assumed-role/app/worker"
    grant = allow({"AWS": [APP, session]}, READ)
    assert compare(grant, GetObjectVersion=["arn:aws:iam::111122223333:role/a*"]) == []
    assert compare(grant, GetObjectVersion=["111122223333"]) == []
    assert compare(grant, GetObjectVersion=["arn:aws:iam::111122223333:root"]) == []


def test_everybody_is_never_meant_by_a_pattern() -> None:
    ((_, words),) = compare(allow("*", READ), GetObjectVersion=["arn:*"])
    assert words.endswith("found everybody besides")


def test_bucket_without_a_policy_lets_nobody() -> None:
    assert told(compare_access(settings(), wanted())) == [
        ("warning", "s3://documents: requests without TLS: expected refused, found accepted")
    ]


# -- TLS


@pytest.mark.parametrize(
    ("statement", "refused"),
    [
        (TLS, True),
        (deny({"AWS": "*"}, Condition={"Bool": {"AWS:SecureTransport": [False]}}), True),
        (TLS | {"Resource": f"{ARN}*"}, True),
        (TLS | {"Resource": "*"}, True),
        (TLS | {"Resource": f"{ARN}/*"}, False),
        (TLS | {"Principal": {"AWS": APP}}, False),
        (TLS | {"Action": "s3:GetObject"}, False),
        (TLS | {"Effect": "Allow"}, False),
        (TLS | {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False),
        (
            TLS
            | {
                "Condition": {
                    "Bool": {"aws:SecureTransport": "false"},
                    "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
                }
            },
            False,
        ),
    ],
)
def test_refusal_of_requests_without_tls_is_of_everything(statement: dict, refused: bool) -> None:
    assert refuses_plain_requests({"Statement": [statement]}, BUCKET) is refused


def test_refusal_may_be_written_in_two_statements() -> None:
    both = [TLS | {"Resource": ARN}, TLS | {"Resource": f"{ARN}/*"}]
    assert refuses_plain_requests({"Statement": both}, BUCKET)


def test_store_that_we_reach_without_tls_is_not_asked_to_refuse_us() -> None:
    lines = compare_access(settings(over_tls=False), wanted())
    assert lines[-1].words == (
        "s3://documents: requests without TLS: not applicable here: the store is reached without "
        "TLS by ourselves (expected refused)"
    )
