"""What the policy schedules is there: looked at from explicit moments."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerkeep.catalog.models import BaseBackup, DatabaseFingerprint, Fingerprint, WalStretch
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.evidence.verification.completeness import Facts, check_completeness
from ledgerkeep.evidence.verification.part import Part
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import StoredObject
from tests.evidence.month import COMMON, SEGMENT
from tests.evidence.support import policy_of

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=31)  # the verification of the next day, at 07:00
SINCE = NOW - timedelta(hours=26)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
INSTALLED = MIDNIGHT - timedelta(days=20)


def backup(at: datetime, minutes: float = 2, **fields: Any) -> BaseBackup:
    """A full backup that began at a moment and took so long."""
    made = {
        **COMMON,
        "id": f"{at:%Y%m%dT%H%M%SZ}-F-0",
        "created_at": at + minutes * MINUTE,
        "server_version": 180006,
        "timeline": 1,
        "start_lsn": SEGMENT,
        "stop_lsn": SEGMENT + 1,
        "started_at": at,
        "stopped_at": at + minutes * MINUTE,
        "next_xid": 1,
        "segment_size": SEGMENT,
        "wal_level": "logical",
        "data_checksums": True,
        "archives": [],
        "manifest": StoredObject(key="m", size=1, sha256="0" * 64),
        "file_count": 1,
        "raw_bytes": 1,
        "stored_bytes": 1,
    }
    return BaseBackup.model_validate(made | fields)


def incremental(at: datetime, minutes: float = 2) -> BaseBackup:
    return backup(at, minutes, method="incremental", parent_id="p")


def stretch(at: datetime) -> WalStretch:
    return WalStretch(
        **COMMON,
        id=f"w{at:%d%H%M}",
        created_at=at,
        timeline=1,
        segment_size=SEGMENT,
        start_lsn=0,
        end_lsn=SEGMENT,
        first_segment="000000010000000000000000",
        last_segment="000000010000000000000000",
        segment_count=1,
        raw_bytes=SEGMENT,
        stored_bytes=1,
        covered_until=at,
        next_xid=1,
    )


def fingerprint(at: datetime) -> Fingerprint:
    one = DatabaseFingerprint(
        database="d", lsn=1, taken_at=at, method="1", tables=[], structure_hash="0"
    )
    return Fingerprint(
        **COMMON, id=f"f{at:%d%H%M}", created_at=at, timeline=1, databases=[one], next_xid=1
    )


def run(action: str, at: datetime, outcome: str = "success", **fields: Any) -> EvidenceRecord:
    return EvidenceRecord.model_validate(
        {
            "environment": "production",
            "dag_id": f"production_{action}",
            "run_id": f"scheduled__{at.isoformat()}",
            "kind": "backup",
            "outcome": outcome,
            "started_at": at,
            "ended_at": at + MINUTE,
            "triggered_by": "scheduled",
            **fields,
        }
    )


def every(step: timedelta, since: datetime = SINCE, until: datetime = NOW) -> list[datetime]:
    return [since + number * step for number in range(int((until - since) / step))]


QUARTERS = every(15 * MINUTE)
HALVES = every(HOUR, SINCE + 30 * MINUTE)  # hourly, at half past


def facts(**changes: Any) -> Facts:
    """A day in which everything went as production's policy wants it."""
    usual: dict[str, Any] = {
        "backups": [
            backup(MIDNIGHT + HOUR),
            backup(MIDNIGHT + 25 * HOUR),
            *(incremental(at + timedelta(seconds=5)) for at in [SINCE - 30 * MINUTE, *HALVES]),
        ],
        "stretches": [stretch(at + timedelta(seconds=4)) for at in [SINCE - HOUR, *QUARTERS]],
        "fingerprints": [fingerprint(MIDNIGHT + 4 * HOUR), fingerprint(MIDNIGHT + 28 * HOUR)],
        "evidence_began": INSTALLED,
    }
    return Facts(**{**usual, **changes})


def check(known: Facts, policy: Policy | None = None, *, now: datetime = NOW) -> Part:
    return check_completeness(
        policy or policy_of("production"), known, since=now - timedelta(hours=26), now=now
    )


def told(part: Part) -> list[tuple[str, str]]:
    return [(one.severity, one.what) for one in part.findings]


def without(made: Any, *moments: datetime) -> list[Any]:
    """All but those that were made within five minutes of a moment."""
    return [
        one for one in made if not any(abs(_at(one) - moment) < 5 * MINUTE for moment in moments)
    ]


def _at(one: Any) -> datetime:
    return one.started_at if isinstance(one, BaseBackup) else one.created_at


def with_recent(policy: Policy, **fields: Any) -> Policy:
    retention = policy.database.retention.model_copy(update=fields)
    database = policy.database.model_copy(update={"retention": retention})
    return policy.model_copy(update={"database": database})


def test_day_on_which_everything_ran_has_no_finding() -> None:
    part = check(facts())
    assert told(part) == []
    # 26 hours without the last 30 minutes, which are not late yet: 1 full, 25 incrementals,
    # 102 shippings, 1 fingerprint
    nothing = dict.fromkeys(("missing", "not_taken", "late", "worst_delay_seconds"), 0)
    assert part.measurements == {"due": 129, **nothing}


def test_missing_full_backup_is_critical_and_its_failed_runs_are_named() -> None:
    usual = facts()
    known = facts(
        backups=without(usual.backups, MIDNIGHT + 25 * HOUR),
        records=[run("database_full_backup", MIDNIGHT + 25 * HOUR, "failed")],
    )
    assert told(check(known)) == [
        (
            "critical",
            "the full backup due 2026-03-03 01:00 UTC was not made; there is none since "
            "2026-03-02 01:00 UTC; 1 run of production_database_full_backup failed, the last at "
            "2026-03-03 01:00 UTC",
        )
    ]


def test_backup_that_still_runs_is_told_from_one_that_never_began() -> None:
    usual = facts()
    kept = without(usual.backups, MIDNIGHT + 25 * HOUR)
    (found,) = check(facts(backups=kept, begun=[MIDNIGHT + 25 * HOUR + MINUTE])).grave
    assert found.endswith("; one began at 2026-03-03 01:01 UTC and has not been recorded")
    (found,) = check(facts(backups=kept)).grave
    assert found.endswith(
        "; no run of production_database_full_backup left evidence: is it switched on?"
    )


def test_dag_that_was_never_switched_on_is_found() -> None:
    """Nothing of its kind exists: no failed run tells of it, only the policy does."""
    fulls = [one for one in facts().backups if one.method == "full"]
    part = check(facts(backups=fulls))
    assert told(part) == [
        (
            "critical",
            "there is no incremental backup at all; the first was due 2026-02-10 00:30 UTC; no run "
            "of production_database_incremental_backup left evidence: is it switched on?",
        )
    ]
    assert part.measurements["missing"] == 1


def test_backup_that_began_late_is_a_warning_with_the_minutes() -> None:
    usual = facts()
    late = backup(MIDNIGHT + 25 * HOUR + 45 * MINUTE)
    part = check(facts(backups=[*without(usual.backups, MIDNIGHT + 25 * HOUR), late]))
    assert told(part) == [
        (
            "warning",
            "the full backup due 2026-03-03 01:00 UTC began 45 minutes late; 30 are allowed",
        )
    ]
    assert part.measurements["worst_delay_seconds"] == 45 * 60


def test_delay_within_the_threshold_is_none() -> None:
    usual = facts()
    late = backup(MIDNIGHT + 25 * HOUR + 30 * MINUTE)
    assert told(check(facts(backups=[*without(usual.backups, MIDNIGHT + 25 * HOUR), late]))) == []


def test_backup_that_was_tried_again_is_as_punctual_as_its_run() -> None:
    """Its run began on time and failed twice before this stream."""
    usual = facts()
    record = run("database_full_backup", MIDNIGHT + 25 * HOUR)
    retried = backup(MIDNIGHT + 26 * HOUR, run=record.run)
    known = facts(
        backups=[*without(usual.backups, MIDNIGHT + 25 * HOUR), retried], records=[record]
    )
    assert told(check(known)) == []


def test_full_backup_instead_of_an_incremental_counts() -> None:
    usual = facts()
    at = MIDNIGHT + 10 * HOUR + 30 * MINUTE
    instead = backup(at + timedelta(seconds=5), full_because="the timeline changed")
    assert told(check(facts(backups=[*without(usual.backups, at), instead]))) == []
    by_hand = backup(at + 10 * MINUTE)
    assert [
        severity
        for severity, _ in told(check(facts(backups=[*without(usual.backups, at), by_hand])))
    ] == ["critical"]


def test_incremental_that_had_to_wait_for_a_full_backup_is_not_missing() -> None:
    usual = facts()
    at = MIDNIGHT + 25 * HOUR + 30 * MINUTE
    long = backup(MIDNIGHT + 25 * HOUR, minutes=50, run="full/1")
    kept = without(usual.backups, MIDNIGHT + 25 * HOUR, at)
    part = check(facts(backups=[*kept, long]))
    assert told(part) == [
        (
            "info",
            "the incremental backup due 2026-03-03 01:30 UTC was not taken while a full backup of "
            "full/1 ran since 2026-03-03 01:00 UTC",
        )
    ]
    assert (part.measurements["missing"], part.measurements["not_taken"]) == (0, 1)


def made_way(at: datetime, full: BaseBackup) -> EvidenceRecord:
    """The evidence of an incremental backup that took none."""
    reason = {"backup_id": full.id, "run": full.run, "since": full.started_at}
    return run("database_incremental_backup", at + timedelta(seconds=9), not_taken=reason)


def test_run_that_made_way_for_a_full_backup_says_why_nothing_was_taken() -> None:
    """The full one failed in the end: that no incremental was taken for it is worth a look."""
    usual = facts()
    first = MIDNIGHT + 25 * HOUR + 30 * MINUTE
    full = backup(MIDNIGHT + 25 * HOUR + 10 * MINUTE, minutes=170, run="full/1")
    kept = without(usual.backups, first, first + HOUR)
    known = [made_way(first, full), made_way(first + HOUR, full)]
    words = (
        "2 of 25 incremental backups, the first due 2026-03-03 01:30 UTC, were not taken while a "
        "full backup of full/1 ran since 2026-03-03 01:10 UTC"
    )
    assert told(check(facts(backups=[*kept, full], records=known))) == [("info", words)]
    part = check(facts(backups=kept, records=known))
    assert told(part) == [("warning", f"{words}, which has not been recorded")]
    assert part.grave == []


def test_run_that_made_way_vouches_for_no_other_hour() -> None:
    usual = facts()
    at = MIDNIGHT + 25 * HOUR + 30 * MINUTE
    full = backup(MIDNIGHT + 25 * HOUR + 10 * MINUTE, minutes=5, run="full/1")
    kept = [*without(usual.backups, at, at + HOUR), full]
    (reason, missing) = told(check(facts(backups=kept, records=[made_way(at, full)])))
    assert reason[0] == "info"
    assert missing == (
        "critical",
        "1 of 25 incremental backups due since 2026-03-02 05:30 UTC were not made, the first "
        "at 2026-03-03 02:30 UTC",
    )


def test_run_that_made_way_is_no_backup_where_retention_keeps_few() -> None:
    """There a run that passed vouches for an incremental that is gone already: not such a one."""
    usual = facts()
    at = MIDNIGHT + 9 * HOUR + 30 * MINUTE
    full = backup(at - HOUR / 2, run="full/1")
    known = facts(backups=without(usual.backups, at), records=[made_way(at, full)])
    part = check(known, with_recent(policy_of("production"), recent=None))
    assert [severity for severity, _ in told(part)] == ["warning"]
    assert part.measurements["not_taken"] == 1


def test_first_incremental_may_have_to_wait_for_the_first_full_backup() -> None:
    """Nothing of the kind exists yet, and rightly so."""
    begun = NOW - 3 * HOUR
    long = backup(begun, minutes=175)
    found = told(check(Facts(backups=[long], evidence_began=begun)))
    assert not any("there is no incremental backup at all" in words for _, words in found)


def test_several_missing_incrementals_are_one_finding() -> None:
    usual = facts()
    first = MIDNIGHT + 9 * HOUR + 30 * MINUTE
    kept = without(usual.backups, first, first + HOUR, first + 5 * HOUR)
    part = check(facts(backups=kept, records=[run("database_incremental_backup", first)]))
    assert told(part) == [
        (
            "critical",
            "3 of 25 incremental backups due since 2026-03-02 05:30 UTC were not made, the first "
            "at 2026-03-02 09:30 UTC",
        )
    ]


def test_incremental_that_retention_may_have_removed_is_vouched_for_by_its_run() -> None:
    usual = facts()
    at = MIDNIGHT + 9 * HOUR + 30 * MINUTE
    known = facts(
        backups=without(usual.backups, at), records=[run("database_incremental_backup", at)]
    )
    assert len(check(known).grave) == 1
    assert check(known, with_recent(policy_of("production"), recent=None)).grave == []


def test_idle_database_is_told_from_shipping_that_did_not_run() -> None:
    """No WAL for ten hours: by the evidence there was none to ship."""
    usual = facts()
    quiet = [at for at in QUARTERS if 10 <= (at - SINCE) / HOUR < 20]
    kept = [one for one in usual.stretches if not any(_near(one, at) for at in quiet)]
    idle = [run("database_wal_shipping", at + timedelta(seconds=3)) for at in quiet]
    assert told(check(facts(stretches=kept, records=idle))) == []
    assert told(check(facts(stretches=kept, records=idle[:20]))) == [
        (
            "warning",
            # the last two were made up for within half an hour
            "18 of 102 shippings of WAL due since 2026-03-02 05:00 UTC were not made, the first "
            "at 2026-03-02 20:00 UTC",
        )
    ]


def _near(one: WalStretch, at: datetime) -> bool:
    return abs(one.created_at - at) < MINUTE


def test_wal_that_nobody_has_made_up_for_is_critical() -> None:
    known = facts(stretches=[one for one in facts().stretches if one.created_at < NOW - 3 * HOUR])
    (found,) = told(check(known))
    assert found[0] == "critical"
    assert "; there is none since 2026-03-03 03:45 UTC; no run of" in found[1]


def test_missing_fingerprint_is_a_warning_and_one_that_cannot_be_is_none() -> None:
    kept = facts().fingerprints[:1]
    (found,) = told(check(facts(fingerprints=kept)))
    assert found[0] == "warning"
    record = run("database_fingerprint", MIDNIGHT + 28 * HOUR)
    assert told(check(facts(fingerprints=kept, records=[record]))) == []


# -- the beginning


def test_nothing_is_expected_before_anything_began() -> None:
    assert told(check(Facts())) == [
        ("info", "nothing is stored yet, and no run has left evidence: nothing was due")
    ]


def test_first_day_expects_only_what_was_due_since_the_first_evidence() -> None:
    """Installed at 06:20: the first verification, at 07:00, misses nothing of the night."""
    begun = NOW - 40 * MINUTE
    known = Facts(stretches=[stretch(begun)], evidence_began=begun)
    assert told(check(known)) == []
    later = told(check(known, now=NOW + 24 * HOUR))
    assert [(severity, what.partition(";")[0]) for severity, what in later] == [
        ("critical", "there is no full backup at all"),
        ("critical", "there is no incremental backup at all"),
        (
            "critical",
            "96 of 96 shippings of WAL due since 2026-03-03 06:30 UTC were not made, the first "
            "at 2026-03-03 06:30 UTC",
        ),
        ("critical", "there is no fingerprint at all"),
    ]


def test_weekly_schedule_is_not_missed_before_its_day() -> None:
    """Development takes a full backup on Sundays at 03:00; it was installed on a Monday."""
    monday = datetime(2026, 3, 2, 10, tzinfo=UTC)
    assert monday.isoweekday() == 1
    policy = policy_of("development")
    known = Facts(backups=[incremental(monday)], evidence_began=monday)

    def of_full(now: datetime) -> list[str]:
        return [what for _, what in told(check(known, policy, now=now)) if "full backup" in what]

    assert of_full(monday + timedelta(days=5)) == []
    assert of_full(monday + timedelta(days=6)) == [
        "there is no full backup at all; the first was due 2026-03-08 03:00 UTC; no run of "
        "development_database_full_backup left evidence: is it switched on?"
    ]


def test_schedule_that_is_null_promises_nothing() -> None:
    policy = policy_of("production")
    on_demand = policy.database.full_backup.model_copy(update={"schedule": None})
    database = policy.database.model_copy(update={"full_backup": on_demand})
    kept = [one for one in facts().backups if one.method == "incremental"]
    part = check(facts(backups=kept), policy.model_copy(update={"database": database}))
    assert told(part) == []


# -- continuous


@pytest.fixture
def continuous() -> Policy:
    policy = policy_of("production")
    shipping = type(policy.database.wal_shipping).model_validate(
        {"schedule": None, "slot": "s", "continuous": {"interval": "10m", "switch_after": "15s"}}
    )
    database = policy.database.model_copy(update={"wal_shipping": shipping})
    return policy.model_copy(update={"database": database})


def streamed(at: datetime) -> EvidenceRecord:
    return run("database_wal_shipping", at, ended_at=at + 10 * MINUTE)


def test_runs_back_to_back_cover_the_time(continuous: Policy) -> None:
    runs = [streamed(at) for at in every(10 * MINUTE, until=NOW - 10 * MINUTE)]
    assert told(check(facts(stretches=[], records=runs), continuous)) == []
    silent = [one for one in runs if not 5 <= (one.started_at - SINCE) / HOUR < 7]
    assert told(check(facts(stretches=[], records=silent), continuous)) == [
        (
            "warning",
            "WAL was not shipped 1 times for longer than 30 minutes; the longest silence was 2 h "
            "from 2026-03-02 10:00 UTC on",
        )
    ]


def test_continuous_shipping_that_stopped_or_never_began_is_critical(continuous: Policy) -> None:
    runs = [streamed(at) for at in every(10 * MINUTE, until=NOW - HOUR)]
    assert check(facts(stretches=[], records=runs), continuous).grave == [
        "no WAL has been shipped since 2026-03-03 06:00 UTC, although it is continuous"
    ]
    assert check(facts(stretches=[]), continuous).grave == [
        "there is no WAL at all, although the policy ships it continuously; no run of "
        "production_database_wal_shipping left evidence: is it switched on?"
    ]
