"""How far the replica is behind: of a sample, and against the policy."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerkeep.documents.protection.judge import allowed_lag, judge_figures, judge_lag
from ledgerkeep.documents.protection.lag import Sighting, State, is_copy, lag_of
from ledgerkeep.documents.protection.metrics import ReplicationFigures
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.policy.documents import Documents
from ledgerkeep.storage.versions import ObjectVersion

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def version(seconds: float, **more: Any) -> ObjectVersion:
    at = NOW - timedelta(seconds=seconds)
    return ObjectVersion(**{"key": "k", "version_id": f"v{seconds:g}", "modified_at": at, **more})


def seen(*states: tuple[float, State]) -> Sequence[Sighting]:
    return [Sighting(version(seconds), state) for seconds, state in states]


def test_lag_is_the_age_of_the_oldest_version_that_is_not_there() -> None:
    found = lag_of(
        seen((10, "on its way"), (20, "copied"), (300, "on its way"), (900, "copied")), now=NOW
    )
    assert (found.sample, found.seconds) == (4, 300)
    assert [one.version.version_id for one in found.lacking] == ["v300", "v10"]


def test_failed_version_counts_and_a_removed_one_does_not() -> None:
    found = lag_of(seen((10, "gone"), (20, "failed")), now=NOW)
    assert (found.sample, found.seconds, len(found.failed)) == (1, 20, 1)


def test_replica_that_has_everything_is_not_behind() -> None:
    found = lag_of(seen((10, "copied")), now=NOW)
    assert found.seconds == 0
    assert list(judge_lag("replica", found, HOUR)) == [
        ("info", "s3://replica has all of the newest 1 version")
    ]


@pytest.mark.parametrize(("seconds", "severity"), [(3600, "info"), (3601, "critical")])
def test_lag_beyond_the_policy_is_critical(seconds: int, severity: str) -> None:
    found = lag_of(seen((seconds, "on its way")), now=NOW)
    at = f"{NOW - timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}Z"
    assert list(judge_lag("replica", found, HOUR)) == [
        (
            severity,
            "s3://replica lacks 1 of the newest 1 version, the oldest for "
            f"{seconds} s (allowed: 1h): version v{seconds} of k of {at}",
        )
    ]


def test_failed_replication_is_critical_however_young() -> None:
    found = lag_of(seen(*[(number, "failed") for number in range(1, 8)]), now=NOW)
    said = list(judge_lag("replica", found, HOUR))
    assert {severity for severity, _ in said} == {"critical"}
    assert said[0][1] == (
        "s3://replica: the replication of version v7 of k of 2026-11-22 11:59:53Z has failed"
    )
    assert said[-1][1] == "s3://replica: and 2 more of the newest have failed"


def documents(**more: Any) -> Documents:
    replica = {"connection_id": "r", "bucket": "r", "region": "r", "replication": "scheduled"}
    fields = {"connection_id": "d", "bucket": "d", "region": "d"}
    if "replica" in more:
        more["replica"] = {**replica, **more["replica"]}
    return Documents.model_validate({**fields, **more})


def test_replica_that_is_copied_to_on_a_schedule_may_lag_so_much_longer() -> None:
    assert allowed_lag(documents(), HOUR) is None
    assert allowed_lag(documents(replica={"replication": "continuous"}), HOUR) == HOUR
    daily = documents(replica={}, replication={"schedule": "0 2 * * *"})
    assert allowed_lag(daily, HOUR) == timedelta(hours=25)
    by_hand = documents(replica={}, replication={"schedule": None})
    assert allowed_lag(by_hand, HOUR) is None
    found = lag_of(seen((99_999, "on its way")), now=NOW)
    ((severity, words),) = judge_lag("replica", found, None)
    assert severity == "info"
    assert "(nothing is scheduled)" in words


def test_figures_of_the_store_are_held_against_the_policy() -> None:
    figures = ReplicationFigures(
        latency_seconds=4000, pending_operations=12, pending_bytes=3_000_000, failed_operations=2
    )
    assert list(judge_figures("replica", figures, HOUR)) == [
        (
            "critical",
            "s3://replica: by CloudWatch 4000 s behind (allowed: 1h); 12 operations (3.0 MB) are "
            "pending",
        ),
        ("warning", "s3://replica: 2 operations have failed lately"),
    ]
    calm = ReplicationFigures(5, 0, 0, 0)
    assert [severity for severity, _ in judge_figures("replica", calm, HOUR)] == ["info"]
    assert list(judge_figures("replica", None, HOUR)) == [
        ("warning", "s3://replica: CloudWatch has no replication metrics of the last hour")
    ]


# -- what passes for a copy where copying makes new version ids

PLAIN = Rules(by_id=False, plain_etags=True, young_from=NOW)
SEALED = Rules(by_id=False, plain_etags=False, young_from=NOW)


@pytest.mark.parametrize(
    ("there", "here", "rules", "copied"),
    [
        ({"etag": "a", "size": 1}, {"etag": "a", "size": 1}, PLAIN, True),
        ({"etag": "a", "size": 1}, {"etag": "b", "size": 1}, PLAIN, False),
        ({"etag": "a", "size": 1}, {"etag": "b", "size": 1}, SEALED, True),
        ({"etag": "a", "size": 1}, {"etag": "b", "size": 2}, SEALED, False),
        ({"etag": "a-2", "size": 1}, {"etag": "b", "size": 1}, PLAIN, True),
        ({"is_delete_marker": True}, {"is_delete_marker": True}, PLAIN, True),
        ({"is_delete_marker": True}, {"etag": "a", "size": 0}, PLAIN, False),
    ],
)
def test_copy_is_known_by_content_or_by_size_and_time(
    there: dict, here: dict, rules: Rules, copied: bool
) -> None:
    assert is_copy(version(10, **there), version(20, **here), rules) is copied


def test_older_version_of_the_replica_is_no_copy_where_contents_cannot_be_told() -> None:
    assert not is_copy(version(30, etag="a", size=1), version(20, etag="b", size=1), SEALED)
    deleted = {"is_delete_marker": True}
    assert not is_copy(version(30, **deleted), version(20, **deleted), PLAIN)
