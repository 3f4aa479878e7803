"""What is taken when an incremental backup is asked for; no server, no store."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerkeep.catalog.models import BaseBackup, Deployment
from ledgerkeep.database.postgres.description import ServerDescription
from ledgerkeep.database.postgres.increment import Full, Increment, choose_parent, decide
from ledgerkeep.database.postgres.wal_summaries import WalSummaries, WalSummary
from ledgerkeep.errors import DatabaseError
from ledgerkeep.policy.model import IncrementalBackup
from ledgerkeep.storage.port import StoredObject

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = IncrementalBackup(schedule=None, longest_chain=3)


def server(**other: Any) -> ServerDescription:
    fields: dict[str, Any] = {
        "system_identifier": "7",
        "timeline": 1,
        "server_version": 180006,
        "in_recovery": False,
        "lsn": "0/9000000",
        "wal_level": "replica",
        "segment_size": 2**24,
        "data_checksums": True,
        "clock": NOON,
        "next_xid": 900,
        "standby_settings": {},
    }
    return ServerDescription.model_validate(fields | other)


def backup(name: str, parent: str | None = None, hours: int = 0, **other: Any) -> BaseBackup:
    at = NOON - timedelta(days=1) + timedelta(hours=hours)
    fields: dict[str, Any] = {
        "id": name,
        "environment": "production",
        "cluster": "loans",
        "system_identifier": "7",
        "created_at": at,
        "made_by": "ledgerkeep",
        "method": "incremental" if parent else "full",
        "parent_id": parent,
        "server_version": 180006,
        "timeline": 1,
        "start_lsn": "0/3000028",
        "stop_lsn": "0/3000100",
        "started_at": at,
        "stopped_at": at,
        "next_xid": 800,
        "segment_size": 2**24,
        "wal_level": "replica",
        "data_checksums": True,
        "archives": [],
        "manifest": StoredObject(key="m", size=1, sha256="0" * 64),
        "raw_bytes": 1,
        "stored_bytes": 1,
        "file_count": 1,
    }
    return BaseBackup.model_validate(fields | other)


def summaries(*stretches: tuple[str, str], until: str = "0/8000000", **other: Any) -> WalSummaries:
    fields: dict[str, Any] = {
        "enabled": True,
        "keep_time": "10d",
        "summarized_lsn": until,
        "summaries": [
            WalSummary(timeline=1, start_lsn=start, end_lsn=end) for start, end in stretches
        ],
    }
    return WalSummaries.model_validate(fields | other)


WHOLE = summaries(("0/1000000", "0/3000028"), ("0/3000028", "0/8000000"))
FULL = backup("F")


def because(
    told: ServerDescription | None = None,
    backups: list[BaseBackup] | None = None,
    summarized: WalSummaries | None = WHOLE,
    policy: IncrementalBackup = POLICY,
) -> str:
    """Why it is a full one; fails when it is none."""
    choice = decide(told or server(), [FULL] if backups is None else backups, summarized, policy)
    assert isinstance(choice, Full)
    return choice.because


# -- incremental


def test_increment_builds_on_the_newest_backup() -> None:
    chain = [FULL, backup("I1", "F", 1), backup("I2", "I1", 2)]
    assert decide(server(), chain, WHOLE, POLICY) == Increment(chain[2])


def test_newest_backup_counts_whatever_the_order() -> None:
    """A full one that was taken after the incrementals starts a chain of its own."""
    backups = [backup("F2", hours=5), FULL, backup("I1", "F", 1)]
    assert decide(server(), backups, WHOLE, POLICY) == Increment(backups[0])


def test_broken_chain_is_passed_over() -> None:
    """What cannot be restored is no base for anything; the last whole one is."""
    backups = [FULL, backup("I2", "I1, which is gone", 2)]
    assert choose_parent(backups) == FULL


def test_backup_before_a_deployment_is_no_parent() -> None:
    """It goes once the deployment is verified, and must not be held back."""
    backups = [FULL, backup("P", hours=3, deployment=Deployment(id="v2"))]
    assert choose_parent(backups) == FULL


# -- full, and why


def test_first_backup_is_a_full_one() -> None:
    assert because(backups=[]) == "there is no backup to build on yet"


def test_other_timeline_makes_it_full() -> None:
    """A failover, or the first backup of a restored cluster."""
    assert because(server(timeline=2)) == "the server is on timeline 2, backup F on timeline 1"


def test_server_behind_the_backup_makes_it_full() -> None:
    assert because(server(lsn="0/3000050")) == (
        "the server stands at 0/3000050, before the end of backup F at 0/3000100"
    )


@pytest.mark.parametrize(("now", "word"), [(True, "on"), (False, "off")])
def test_switched_checksums_make_it_full(now: bool, word: str) -> None:
    backups = [backup("F", data_checksums=not now)]
    assert because(server(data_checksums=now), backups) == (
        f"data checksums were switched {word} since backup F"
    )


def test_damaged_pages_are_not_built_on() -> None:
    backups = [backup("F", page_checksum_failures=["block 3"])]
    assert because(backups=backups) == "the server found wrong page checksums in backup F"


def test_chain_grows_to_its_length_and_not_beyond() -> None:
    chain = [FULL, backup("I1", "F", 1), backup("I2", "I1", 2)]
    assert isinstance(decide(server(), chain, WHOLE, POLICY), Increment)
    chain.append(backup("I3", "I2", 3))
    assert because(backups=chain) == "the chain of F has its 3 incremental backups"


def test_summarizing_switched_off_makes_it_full() -> None:
    assert because(summarized=summaries(enabled=False)) == (
        "the server does not summarize its WAL (summarize_wal is off)"
    )


def test_old_server_gets_a_full_one_where_the_policy_says_so() -> None:
    assert because(server(server_version=160004), summarized=None) == (
        "PostgreSQL 16 takes no incremental backups"
    )


def test_old_server_is_refused_where_the_policy_says_so() -> None:
    policy = IncrementalBackup(schedule=None, before_17="refuse")
    with pytest.raises(DatabaseError) as caught:
        decide(server(server_version=160004), [FULL], None, policy)
    assert caught.value.message == (
        "the server is PostgreSQL 16, which takes no incremental backups, "
        "and the policy refuses a full one in their place"
    )
    assert caught.value.hint == (
        "upgrade to PostgreSQL 17 or later, or set database.incremental_backup.before_17: full"
    )


# -- do the summaries reach back?


@pytest.mark.parametrize(
    ("summarized", "start", "end"),
    [
        (summaries(("0/4000000", "0/8000000")), "0/3000028", "0/4000000"),
        (
            summaries(("0/1000000", "0/4000000"), ("0/5000000", "0/8000000")),
            "0/4000000",
            "0/5000000",
        ),
        (summaries(("0/1000000", "0/4000000")), "0/4000000", "0/8000000"),
        (summaries(), "0/3000028", "0/8000000"),
    ],
    ids=["removed", "in between", "not written", "none"],
)
def test_gap_in_the_summaries_makes_it_full(summarized: WalSummaries, start: str, end: str) -> None:
    assert because(summarized=summarized) == (
        f"the server has no WAL summary from {start} to {end}, "
        "after the start of backup F (it keeps them for 10d)"
    )


def test_gap_before_the_parent_does_not_matter() -> None:
    summarized = summaries(("0/1000000", "0/2000000"), ("0/3000028", "0/8000000"))
    assert isinstance(decide(server(), [FULL], summarized, POLICY), Increment)


def test_summaries_of_another_timeline_do_not_count() -> None:
    foreign = WHOLE.model_copy(
        update={"summaries": [one.model_copy(update={"timeline": 2}) for one in WHOLE.summaries]}
    )
    assert "no WAL summary from 0/3000028 to 0/8000000" in because(summarized=foreign)


def test_server_that_was_set_back_is_not_built_on() -> None:
    """Its summaries reach back without a gap, but they are of other WAL than the backup's."""
    summarized = summaries(("0/1000000", "0/4000000"), ("0/4000000", "0/8000000"))
    assert because(summarized=summarized) == (
        "backup F is not in this server's past: no checkpoint began at 0/3000028; "
        "was its disk set back to an earlier state?"
    )


@pytest.mark.parametrize("until", ["0/0", "0/3000000"])
def test_summaries_that_are_behind_are_no_gap(until: str) -> None:
    """The server makes the rest while the backup waits."""
    summarized = summaries(("0/1000000", "0/3000000"), until=until)
    assert isinstance(decide(server(), [FULL], summarized, POLICY), Increment)
