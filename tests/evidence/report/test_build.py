"""The report says what happened, and every deviation is an exception in plain words."""

from copy import deepcopy
from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.archive.record import YearlyArchive
from ledgerkeep.catalog.lsn import segment_of
from ledgerkeep.catalog.models import Checked, DurableAfter
from ledgerkeep.database.postgres.wal_goal import Mark
from ledgerkeep.evidence.criteria import INTEGRITY, Criterion, all_four
from ledgerkeep.evidence.report.model import ComplianceReport, ReportException
from ledgerkeep.evidence.report.render import render_html
from ledgerkeep.evidence.report.write import make_report
from ledgerkeep.policy.model import Policy
from tests.evidence.month import SEGMENT, SINCE, SYSTEM, Month, quiet
from tests.evidence.support import replace

DAYS = 2
UNTIL = SINCE + timedelta(days=DAYS)
NOW = UNTIL + timedelta(minutes=7)


@pytest.fixture(scope="module")
def quiet_days() -> Month:
    return quiet(DAYS)


@pytest.fixture
def month(quiet_days: Month) -> Month:
    """The quiet days, for a test to add to or to spoil."""
    return deepcopy(quiet_days)


def report_of(month: Month, **options: object) -> ComplianceReport:
    arguments: dict = {"since": SINCE, "until": UNTIL, "now": NOW, "history": month.history}
    return make_report(month.store, month.policy, **(arguments | options))


def told(report: ComplianceReport) -> list[tuple[str, str]]:
    return [(one.severity, one.what) for one in report.exceptions]


def only(report: ComplianceReport) -> ReportException:
    assert len(report.exceptions) == 1, told(report)
    return report.exceptions[0]


def test_quiet_period_meets_the_policy(month: Month) -> None:
    report = report_of(month)
    assert told(report) == []
    assert report.conclusion == "met"
    assert (report.runs, report.succeeded) == (199, 199)
    assert [(dag.dag_id, dag.runs) for dag in report.dags] == [
        ("production_database_backup_verification", 2),
        ("production_database_fingerprint", 2),
        ("production_database_full_backup", 2),
        ("production_database_wal_shipping", 192),
        ("production_test_point_in_time_recovery", 1),
    ]
    assert [(day.day, day.succeeded, day.failed) for day in report.days] == [
        ("2026-03-01", 99, 0),
        ("2026-03-02", 100, 0),
    ]
    assert report.chain.verified
    assert report.chain.head is not None
    assert report.chain.head.sequence == 200  # one run more started right at the period's end
    assert (report.history.runs, report.history.agreeing) == (199, 199)
    assert len(report.evidence) == 199


def test_recovery_points_carry_their_proof_and_why_it_is_not_higher(month: Month) -> None:
    report = report_of(month)
    first, second = report.base_backups
    assert (first.level, first.stops_because) == ("intact", "it was not restored yet")
    assert (second.level, second.stops_because) == ("proven", "")
    assert second.shown_by == report.restore_tests[0].run
    (window,) = report.windows
    assert (window.timeline, window.segments, window.holes) == (1, 193, [])
    assert window.covered_until == UNTIL


def test_restore_test_is_held_against_its_objective(month: Month) -> None:
    (test,) = report_of(month).restore_tests
    assert test.target is not None
    assert (test.rto_seconds, test.target.rto_seconds, test.rto_met) == (1130, 3600, True)
    assert (test.rpo_seconds, test.target.rpo_seconds, test.rpo_met) == (540, 900, True)
    assert (test.level, test.tables_compared, test.rows_compared) == ("proven", 11, 4_812_330)


def test_currency_is_the_age_of_the_newest_covered_moment(month: Month) -> None:
    currency = report_of(month).currency
    assert (currency.newest, currency.age_seconds, currency.met) == (UNTIL, 420, True)
    assert currency.worst_gap_seconds == 900


def test_retention_counts_what_runs_made_and_what_is_there(month: Month) -> None:
    full, recent, wal = report_of(month).retention
    assert (full.what, full.promised_seconds, full.made, full.kept) == (
        "base backups",
        30 * 86400,
        2,
        2,
    )
    assert (recent.what, recent.made, recent.missing) == ("recent backups", 0, [])
    assert (wal.made, wal.missing, wal.kept) == (192, [], 193)
    assert wal.oldest == SINCE


def test_one_full_backup_a_day_is_enough(month: Month) -> None:
    """Retention lets a second one of the day go; that is no breach."""
    kept = month.catalog.backups(SYSTEM)[-1]
    again = kept.stopped_at + timedelta(hours=1)
    month.run("database_full_backup", again, 290, recovery_point_ids=["gone-by-retention"])
    full, _, _ = report_of(month).retention
    assert (full.made, full.missing) == (3, [])


def test_an_incremental_that_is_gone_too_early_is_missed(month: Month) -> None:
    """All of them are promised for the recent time."""
    month.run(
        "database_incremental_backup", UNTIL - timedelta(hours=1), 9, recovery_point_ids=["gone"]
    )
    _, recent, _ = report_of(month).retention
    assert (recent.made, recent.missing) == (1, ["gone"])


def test_what_lies_in_the_vault_is_listed(month: Month) -> None:
    """Whenever it was archived: it is kept for years."""
    assert report_of(month).archives == []
    archive = YearlyArchive(
        id="2025-one",
        environment="production",
        cluster="loans",
        system_identifier=SYSTEM,
        year=2025,
        recovery_point_id="one",
        backup_ids=["one"],
        level="proven",
        findings=[],
        archived_at=SINCE - timedelta(days=200),
        run="run",
        made_by="a test",
        location="s3://vault",
        storage_class="DEEP_ARCHIVE",
        encryption="aws:kms",
        locked_until=SINCE + timedelta(days=7 * 365),
        stored_bytes=12_000_000,
        objects=[],
    )
    month.store.put(keys.archive_record("production", SYSTEM, archive.id), archive.to_json())
    (row,) = report_of(month).archives
    assert (row.year, row.recovery_point_id, row.level) == (2025, "one", "proven")
    assert (row.location, row.locked_until) == ("s3://vault", archive.locked_until)
    page = render_html(report_of(month)).decode()
    assert "In the vault of another account" in page
    assert "DEEP_ARCHIVE" in page


def test_stale_recovery_point_is_critical(month: Month) -> None:
    report = report_of(month, now=UNTIL + timedelta(minutes=20))
    found = only(report)
    assert found.severity == "critical"
    assert found.what == "a failure now would lose 20 min; the objective is 15 min"
    assert report.conclusion == "not met"


def test_idle_server_is_not_a_stale_recovery_point(month: Month) -> None:
    """A shipping run that found nothing new: nothing could have been lost."""
    month.run("database_wal_shipping", UNTIL + timedelta(minutes=15), 2)
    later = UNTIL + timedelta(minutes=20)
    report = report_of(month, until=later, now=later)
    assert (report.currency.age_seconds, report.currency.met) == (300, True)


def test_environment_without_a_recovery_point_is_critical() -> None:
    report = report_of(Month())
    assert ("critical", "there is no recovery point at all") in told(report)
    assert report.currency.met is None
    assert report.runs == 0


def test_failed_restore_and_missed_objective_are_critical(month: Month) -> None:
    at, backup = SINCE + timedelta(hours=20), month.catalog.backups(SYSTEM)[0]
    month.restore_test(at, backup.id, outcome="failed", measurements={"rto_seconds": 4100.0})
    report = report_of(month)
    assert told(report) == [
        ("critical", "a restore failed"),
        ("critical", "a restore reached a recovery time of 1 h 8 min; the objective is 1 h"),
    ]
    failed = report.restore_tests[0]
    assert (failed.rto_met, failed.level, failed.stops_because) == (
        False,
        None,
        "the run showed nothing",
    )


def test_failed_run_is_an_exception_that_names_its_tasks(month: Month) -> None:
    month.run(
        "database_full_backup",
        SINCE + timedelta(hours=20),
        9,
        outcome="failed",
        tasks={"stream": "failed", "read_back_and_record": "upstream_failed"},
    )
    report = report_of(month)
    found = only(report)
    assert found.severity == "warning"
    assert found.what == "the run failed: read_back_and_record upstream_failed, stream failed"
    assert report.conclusion == "met with exceptions"
    assert (report.runs, report.succeeded) == (200, 199)


def test_run_that_failed_and_then_passed_counts_as_it_ended(month: Month) -> None:
    at = SINCE + timedelta(hours=20)
    month.run("database_full_backup", at, 9, outcome="failed", tasks={"stream": "failed"})
    month.run("database_full_backup", at, 300)
    report = report_of(month, history=None)
    assert told(report) == []
    assert report.runs == 200


def test_missing_runs_of_a_schedule_are_counted() -> None:
    """From the first run of the DAG on: what was not set up yet cannot be late."""
    month = quiet(1)
    for quarter in range(96, 2 * 96):
        if not 100 <= quarter < 110:
            month.wal(SINCE + timedelta(minutes=15 * quarter))
    month.backup(SINCE + timedelta(days=1, hours=1, minutes=29), 210_000_000_000)
    month.verification(SINCE + timedelta(days=1, hours=7))
    report = report_of(month)
    assert [what for _, what in told(report) if "scheduled runs" in what] == [
        # ten were missed, the last two of them made up for within 30 minutes
        "production_database_wal_shipping: 8 of 190 scheduled runs did not start and pass within "
        "30 min; the first was due 2026-03-02 01:00 UTC"
    ]


def test_gap_in_recovery_points_is_named(month: Month) -> None:
    for item in list(month.store.list(f"production/database/{SYSTEM}/stretches/")):
        if "20260301T1" in item.key:
            del month.store.objects[item.key]
    report = report_of(month)
    gaps = [what for _, what in told(report) if "made recoverable" in what]
    assert gaps == [
        "for 10 h 15 min before 2026-03-01 20:00 UTC nothing was made recoverable; "
        "the objective is 15 min"
    ]


def test_recovery_points_gone_before_their_time_are_critical(month: Month) -> None:
    backup = month.catalog.backups(SYSTEM)[0]
    month.store.objects.pop(f"production/database/{SYSTEM}/backups/{backup.id}/recovery-point.json")
    found = only(report_of(month))
    assert found.severity == "critical"
    assert found.what == (f"1 of 2 base backups that had to be kept for 30 d are gone: {backup.id}")


def test_unusual_size_is_an_exception(month: Month) -> None:
    backup_id = month.backup(SINCE + timedelta(days=1, hours=20), 320_000_000_000)
    assert only(report_of(month)).what == (
        f"full backup {backup_id} holds 320.0 GB, +52 % against the one before; up to 20 % is usual"
    )


def test_controls_are_judged_by_what_is_found_on_objects(month: Month) -> None:
    month.store.encryption = "AES256"
    report = report_of(month)
    encryption, lock = report.controls
    assert (encryption.met, lock.met) == (False, True)
    assert (lock.wanted, lock.found) == ("COMPLIANCE", f"COMPLIANCE on {lock.objects}")
    assert only(report).what == (
        f"Encryption at rest: the policy wants aws:kms, found AES256 on {encryption.objects}"
    )


def test_changed_evidence_is_the_first_thing_said(month: Month) -> None:
    key = next(iter(month.store.list("production/evidence/2026/03/01/"))).key
    body = month.store.get(key)
    month.store.objects.pop(key)
    replace(month.store, key, body.replace(b'"scheduled"', b'"somebody!"'))
    report = report_of(month)
    assert told(report)[0] == (
        "critical",
        f"the evidence cannot be trusted: evidence record {key} was changed",
    )
    assert not report.chain.verified


def test_history_of_airflow_is_compared_run_by_run(month: Month) -> None:
    first, second, third = month.history[:3]
    month.history[0] = first.model_copy(update={"state": "failed"})
    month.history[1] = second.model_copy(update={"run_id": "manual__unseen"})
    month.history[2] = third.model_copy(update={"state": "running"})
    report = report_of(month)
    assert {(one.run, one.what) for one in report.exceptions} == {
        (first.run, "Airflow shows the run as failed; by its evidence it passed"),
        (second.run, "Airflow no longer knows the run; its evidence is here"),
        (
            "production_database_fingerprint/manual__unseen",
            "the run ended success in Airflow but left no evidence",
        ),
    }
    assert (report.history.runs, report.history.agreeing) == (198, 196)


def test_history_that_could_not_be_read_is_said(month: Month) -> None:
    report = report_of(month, history=None, history_problem="the API did not answer")
    assert (report.history.runs, report.history.why_not) == (None, "the API did not answer")
    assert report.conclusion == "met"


# -- the verification


def test_readings_are_held_against_what_is_promised(month: Month) -> None:
    """Younger than the promise, what was written counts as read."""
    seen = report_of(month).verification
    assert seen.promised_seconds == 30 * 86400
    # two backups, of which only the manifest is stored here, and 193 stretches of one segment
    assert (seen.stored_objects, seen.read_in_time, seen.met) == (195, 195, True)
    assert seen.oldest_reading == SINCE
    assert seen.oldest_seconds == (NOW - SINCE).total_seconds()
    assert (
        seen.run == "production_database_backup_verification/scheduled__2026-03-02T07:00:00+00:00"
    )
    assert seen.parts == dict.fromkeys(
        ["completeness", "reread", "wal_continuity", "size_trend"], "success"
    )


def test_objects_that_nobody_read_for_too_long_are_an_exception(month: Month) -> None:
    later = SINCE + timedelta(days=31)
    stretches = month.catalog.stretches(SYSTEM)
    read = Checked(
        run="r",
        at=later - timedelta(days=3),
        stretch_ids=[one.id for one in stretches[:100]],
        stored_bytes=1,
    )
    month.catalog.commit_checked(SYSTEM, read)
    month.prove(month.catalog.backups(SYSTEM)[0].id, later, level="intact", run="r")
    report = report_of(month, now=later)
    seen = report.verification
    # Of the other 93 stretches those of 28 hours and the second backup are younger than 30 days.
    assert (seen.stored_objects, seen.read_in_time) == (195, 195)
    report = report_of(month, now=later + timedelta(days=1, hours=1))
    seen = report.verification
    assert (seen.stored_objects - seen.read_in_time, seen.met) == (94, False)
    found = [what for _, what in told(report) if "read back" in what]
    assert found == [
        "94 of 195 stored objects were not read back for longer than 30 d, the oldest for 31 d"
    ]


def test_verification_that_never_ran_is_an_exception(month: Month) -> None:
    others = Month()
    for at in range(40):
        others.wal(SINCE + timedelta(minutes=15 * at))
    report = make_report(
        others.store, others.policy, since=SINCE, until=UNTIL, now=NOW, history=None
    )
    assert (
        "warning",
        "no backup verification ran in the period, although the policy schedules it",
    ) in told(report)
    assert report.verification.run is None


def test_verification_that_failed_is_critical_with_what_it_found(month: Month) -> None:
    at = SINCE + timedelta(days=1, hours=20)
    found = [
        {"what": "a segment is gone", "severity": "critical", "owner": "dba"},
        {"what": "a backup was late", "severity": "warning", "owner": "dba"},
    ]
    month.verification(at, outcome="failed", tasks={"reread": "failed"}, findings=found)
    report = report_of(month)
    assert (
        "critical",
        "the latest backup verification failed: a segment is gone",
    ) in told(report)
    # One that passed afterwards: what was wrong is well again.
    month.verification(at + timedelta(hours=1))
    assert "critical" not in [severity for severity, _ in told(report_of(month))]


# -- WAL that is streamed


def streamed(worst: float, *, typical: float = 5.0, samples: int = 100) -> DurableAfter:
    return DurableAfter(
        samples=samples, p50_seconds=typical, p95_seconds=typical, max_seconds=worst
    )


def streaming_month() -> Month:
    """An hour of runs that stream for ten minutes each; nothing else runs on a schedule."""
    month = Month()
    policy = month.policy.model_dump(mode="json")
    policy["database"]["wal_shipping"] |= {
        "schedule": None,
        "continuous": {"interval": "10m", "switch_after": "15s"},
    }
    policy["database"]["verification"] = None
    month.policy = Policy.model_validate(policy)
    for run in range(6):
        at = SINCE + timedelta(minutes=10 * run)
        month.wal(at, durable_after=streamed(20.0 + run))
    return month


def hour_of(month: Month, **options: object) -> ComplianceReport:
    until = SINCE + timedelta(minutes=55)
    return report_of(month, until=until, now=until, **options)


def test_time_from_commit_to_durable_is_told_per_cluster() -> None:
    """Typical is the median of the medians, by their samples; the worst says when it was."""
    month = streaming_month()
    month.wal(
        SINCE + timedelta(minutes=54),
        durable_after=streamed(90, typical=80, samples=601),
    )
    (row,) = hour_of(month).durable_after
    assert (row.system_identifier, row.stretches, row.samples) == (SYSTEM, 7, 1201)
    assert (row.typical_seconds, row.worst_seconds) == (80, 90)
    assert row.worst_at == SINCE + timedelta(minutes=54)
    assert (row.target_seconds, row.over_target, row.met) == (900, 0, True)
    assert hour_of(streaming_month()).durable_after[0].typical_seconds == 5


def test_shipping_on_a_schedule_has_no_time_from_commit_to_durable(month: Month) -> None:
    assert report_of(month).durable_after == []


def test_a_streamed_hour_was_at_risk_for_seconds(month: Month) -> None:
    """However long a run takes to record; a backup in between changes nothing."""
    month = streaming_month()
    month.backup(SINCE + timedelta(minutes=21), 210_000_000_000)
    report = hour_of(month)
    assert report.currency.worst_gap_seconds == 25
    assert len(report.currency.coverage) == 6
    assert all(one.streamed for one in report.currency.coverage)
    assert [one for one in told(report) if "durable" in one[1]] == []


def test_commits_that_waited_longer_than_the_objective_are_an_exception() -> None:
    month = streaming_month()
    at = SINCE + timedelta(minutes=54)
    month.wal(at, durable_after=streamed(1300))
    assert hour_of(month).currency.worst_gap_seconds == 1300
    found = [one for one in hour_of(month).exceptions if "durable" in one.what]
    assert [(one.severity, one.what, one.at) for one in found] == [
        (
            "warning",
            "in 1 of 7 streamed stretches of WAL a commit took longer to be durable than the "
            "objective of 15 min, at worst 21 min 40 s before 2026-03-01 00:54 UTC",
            at,
        )
    ]


def test_an_idle_run_that_streams_has_covered_its_interval() -> None:
    """It looked until its end, and there was nothing."""
    month = streaming_month()
    month.run("database_wal_shipping", SINCE + timedelta(minutes=51), 607)
    until = SINCE + timedelta(minutes=65)
    report = report_of(month, until=until, now=until)
    assert report.currency.newest == SINCE + timedelta(minutes=61)


def test_what_a_run_has_stored_so_far_counts() -> None:
    """It has recorded nothing yet; the segments tell up to when they reach."""
    month = streaming_month()
    last = month.catalog.last_stretch(SYSTEM)
    assert last is not None
    at = SINCE + timedelta(minutes=54, seconds=30)
    name = segment_of(1, last.end_lsn, SEGMENT)
    mark = Mark(last.end_lsn + SEGMENT, at, 3000)
    month.store.put(
        keys.wal_segment("production", SYSTEM, name), b"WAL", metadata=mark.as_metadata()
    )
    report = hour_of(month)
    assert (report.currency.newest, report.currency.age_seconds) == (at, 30)


# -- what recoveries had to show


def test_recoveries_tell_their_criteria_and_who_decided(month: Month) -> None:
    backup = month.catalog.backups(SYSTEM)[0]
    at = SINCE + timedelta(hours=20)
    criteria = all_four([Criterion(name=INTEGRITY, met=True, words="all of it is there")], None)
    facts = {
        "requested_by": "ada",
        "reason": "somebody dropped a table",
        "answer": "Approve",
        "answered_by": "grace",
        "answered_at": "2026-03-01T20:04:00+00:00",
    }
    month.restore_test(at, backup.id, criteria=criteria, facts=facts, triggered_by="ada")
    recovery, test = report_of(month).restore_tests
    assert recovery.criteria == criteria
    assert (recovery.asked_by, recovery.facts) == ("ada", facts)
    assert (test.criteria, test.facts, test.asked_by) == ([], {}, "scheduled")
