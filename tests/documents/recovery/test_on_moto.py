"""What no store of the sandbox can do: cold storage, and keys that it refuses."""

from datetime import timedelta

import pytest

from ledgerkeep.documents.recovery.cold import ask_for_cold, still_cold
from ledgerkeep.documents.recovery.request import DocumentRequest, ToMoment, Undelete
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.model import utc_now
from tests.documents.recovery.support import Ward, ward_on_moto

ODD_KEYS = [
    "../a/./b//c.pdf",
    "..",
    "/leading",
    "ends/",
    "back\\slash\t.pdf",
    "a+b%2Fc d\u00a0é.pdf",
    "\u00e9" * 512,
]


def undelete() -> DocumentRequest:
    hour = timedelta(hours=1)
    return DocumentRequest(
        prefix="", goal=Undelete(deleted_from=utc_now() - hour, deleted_to=utc_now() + hour)
    )


def test_keys_that_are_no_paths_come_back() -> None:
    with ward_on_moto() as there:
        for key in ODD_KEYS:
            there.put(key, key.encode()[:9])
            there.delete(key)
        _, report = there.recover(undelete())
        assert {key: there.get(key) for key in ODD_KEYS} == {
            key: key.encode()[:9] for key in ODD_KEYS
        }
        assert set(report) == set(ODD_KEYS)


def test_cold_documents_are_asked_for_waited_for_and_copied() -> None:
    """Copied beside themselves, since moto lays out only what is current."""
    with ward_on_moto() as there:
        there.put("archived", b"cold", StorageClass="GLACIER")
        there.put("deep", b"colder", StorageClass="DEEP_ARCHIVE")
        there.put("warm", b"warm", StorageClass="STANDARD_IA")
        beside = Route(there.bucket, there.bucket, into="beside/")
        request = DocumentRequest(
            keys=("archived", "deep", "warm"), goal=ToMoment(at=utc_now() + timedelta(hours=1))
        )
        plan = there.plan(request, beside)
        assert plan.cold == 2
        waiting = still_cold(there.catalog, plan, there.bucket, concurrency=2)
        assert waiting is not None
        assert waiting.key == "archived"
        assert there.carry_out(plan, beside).failures == [
            "archived: s3://documents/beside/archived lies in cold storage and cannot be read yet",
            "deep: s3://documents/beside/deep lies in cold storage and cannot be read yet",
        ]

        assert _asked(there, plan) == 2
        assert _asked(there, plan) == 2  # as by a task that is tried again
        assert still_cold(there.catalog, plan, there.bucket, concurrency=2) is None

        done = there.carry_out(plan, beside)
        assert (done.outcomes, done.found_done) == ({"copied": 3}, 1)
        assert [there.get(f"beside/{key}") for key in request.keys] == [
            b"cold",
            b"colder",
            b"warm",
        ]


def _asked(there: Ward, plan: object) -> int:
    return ask_for_cold(
        there.catalog,
        plan,  # type: ignore[arg-type]
        there.bucket,
        tier="Standard",
        days=2,
        concurrency=2,
    )


def test_plan_without_cold_documents_waits_for_nothing() -> None:
    with ward_on_moto() as there:
        there.put("a")
        there.delete("a")
        plan = there.plan(undelete())
        assert _asked(there, plan) == 0
        assert still_cold(there.catalog, plan, there.bucket, concurrency=2) is None


@pytest.mark.parametrize("encrypted", [True, False])
def test_key_of_kms_is_kept(encrypted: bool) -> None:
    """Another than the policy's, in the same region."""
    key = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    about = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if encrypted else {}
    with ward_on_moto() as there:
        bucket = there.bucket
        object.__setattr__(
            bucket, "encryption", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/ours"}
        )
        there.put("a", b"1", **about)
        there.delete("a")
        there.recover(undelete())
        head = bucket.client.head_object(Bucket=bucket.name, Key="a")
        assert head["SSEKMSKeyId"] == (key if encrypted else "alias/ours")
