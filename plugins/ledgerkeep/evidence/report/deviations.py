"""Exceptions: everything in the period that is not as the policy, or common sense, wants it.

Each is a sentence that stands by itself. Critical is what makes the promise of recovery doubtful:
evidence that was changed, a restore test that failed, more to lose than agreed, something gone
that had to be kept. Everything else that deviates is a warning.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.evidence.records import EvidenceRecord, Severity
from ledgerkeep.evidence.report.gather import Material
from ledgerkeep.evidence.report.model import (
    ConfigurationRow,
    Control,
    Currency,
    DurableRow,
    HistoryComparison,
    ReportException,
    RestoreTestRow,
    RetentionRow,
    Verification,
)
from ledgerkeep.evidence.report.words import duration, moment
from ledgerkeep.policy.schedule import firings
from ledgerkeep.progress import format_bytes

_Found = Iterator[tuple[datetime, Severity, str, str | None]]


def deviations(
    material: Material,
    records: list[EvidenceRecord],
    currency: Currency,
    durable: list[DurableRow],
    tests: list[RestoreTestRow],
    retention: list[RetentionRow],
    verification: Verification,
    configuration: list[ConfigurationRow],
    controls: list[Control],
) -> list[ReportException]:
    """All exceptions, the critical ones first, then by time."""
    found = [
        *_chain(material),
        *_currency(material, currency),
        *_durable(durable),
        *_tests(tests),
        *_runs(records),
        *_late(material, records),
        *_backups(material),
        *_retention(material, retention),
        *_verification(material, verification),
        *_configuration(material, configuration),
        *_controls(material, controls),
        *_history(material, records),
    ]
    order: list[Severity] = ["critical", "warning", "info"]
    found.sort(key=lambda one: (order.index(one[1]), one[0]))
    return [
        ReportException(at=at, severity=severity, what=what, run=run, owner=material.policy.owner)
        for at, severity, what, run in found
    ]


def history_comparison(material: Material, records: list[EvidenceRecord]) -> HistoryComparison:
    """How far Airflow's own history agrees with the evidence."""
    if material.history is None:
        why = material.history_problem or "Airflow's run history was not given"
        return HistoryComparison(runs=None, agreeing=0, why_not=why)
    outcomes = {record.run: record.outcome for record in records}
    finished = _finished(material)
    agreeing = sum(outcomes.get(run) == state for run, (state, _) in finished.items())
    return HistoryComparison(runs=len(finished), agreeing=agreeing)


def _chain(material: Material) -> _Found:
    if not material.chain.verified:
        yield (
            material.now,
            "critical",
            f"the evidence cannot be trusted: {material.chain.problem}",
            None,
        )


def _currency(material: Material, currency: Currency) -> _Found:
    if currency.newest is None:
        yield material.now, "critical", "there is no recovery point at all", None
        return
    if currency.met is False:
        yield (
            material.now,
            "critical",
            f"a failure now would lose {duration(currency.age_seconds)}; the objective is "
            f"{duration(currency.target_seconds)}",
            None,
        )
    # A run that starts on time still needs some: the alert threshold is what may pass.
    allowed = (currency.target_seconds or 0) + material.policy.alerts.backup_delay.total_seconds()
    for one in currency.coverage if currency.target_seconds is not None else []:
        if one.gap_seconds > allowed and not one.streamed:
            yield (
                one.at,
                "warning",
                f"for {duration(one.gap_seconds)} before {moment(one.at)} nothing was made "
                f"recoverable; the objective is {duration(currency.target_seconds)}",
                None,
            )


def _durable(rows: list[DurableRow]) -> _Found:
    for row in rows:
        if row.met is False:
            stretches = f"{row.over_target} of {row.stretches} streamed stretches of WAL"
            yield (
                row.worst_at,
                "warning",
                f"in {stretches} a commit took longer to be durable than the objective of "
                f"{duration(row.target_seconds)}, at worst {duration(row.worst_seconds)} "
                f"before {moment(row.worst_at)}",
                None,
            )


def _tests(tests: list[RestoreTestRow]) -> _Found:
    for test in tests:
        if test.outcome == "failed":
            yield test.started_at, "critical", "a restore failed", test.run
        for name, met, reached, target in (
            ("recovery time", test.rto_met, test.rto_seconds, _rto(test)),
            ("recovery point", test.rpo_met, test.rpo_seconds, _rpo(test)),
        ):
            if met is False:
                yield (
                    test.started_at,
                    "critical",
                    f"a restore reached a {name} of {duration(reached)}; the objective is "
                    f"{duration(target)}",
                    test.run,
                )


def _rto(test: RestoreTestRow) -> float | None:
    return test.target.rto_seconds if test.target else None


def _rpo(test: RestoreTestRow) -> float | None:
    return test.target.rpo_seconds if test.target else None


def _runs(records: list[EvidenceRecord]) -> _Found:
    for record in records:
        if record.outcome == "failed" and record.kind not in ("restore-test", "recovery"):
            bad = [f"{task} {state}" for task, state in record.tasks.items() if state != "success"]
            yield record.started_at, "warning", f"the run failed: {', '.join(bad)}", record.run


def _late(material: Material, records: list[EvidenceRecord]) -> _Found:
    """Firings of a schedule without a successful run soon after, once the DAG has begun to run."""
    database, delay = material.policy.database, material.policy.alerts.backup_delay
    for action, section in (
        ("database_full_backup", database.full_backup),
        ("database_incremental_backup", database.incremental_backup),
        ("database_wal_shipping", database.wal_shipping),
        ("database_backup_verification", database.verification),
        ("configuration_backup", material.policy.configuration),
    ):
        schedule = section.schedule if section else None
        dag_id = f"{material.policy.environment}_{action}"
        starts = [record.started_at for record in records if record.dag_id == dag_id]
        good = [
            record.started_at
            for record in records
            if record.dag_id == dag_id and record.outcome == "success"
        ]
        if schedule is None or not starts:
            continue
        until = min(material.period.until, material.now) - delay
        due = firings(schedule, starts[0], until)
        missed = [at for at in due if not _started_between(good, at, at + delay)]
        if missed:
            yield (
                missed[0],
                "warning",
                f"{dag_id}: {len(missed)} of {len(due)} scheduled runs did not start and pass "
                f"within {duration(delay.total_seconds())}; the first was due {moment(missed[0])}",
                None,
            )


def _started_between(starts: list[datetime], since: datetime, until: datetime) -> bool:
    at = bisect_left(starts, since)
    return at < len(starts) and starts[at] <= until


def _backups(material: Material) -> _Found:
    percent = material.policy.alerts.size_deviation_percent
    for snapshot in material.snapshots:
        fulls = [backup for backup in snapshot.backups if backup.method == "full"]
        for before, after in pairwise(fulls):
            deviation = 100 * (after.raw_bytes - before.raw_bytes) / max(1, before.raw_bytes)
            if _inside(material, after.stopped_at) and abs(deviation) > percent:
                yield (
                    after.stopped_at,
                    "warning",
                    f"full backup {after.id} holds {format_bytes(after.raw_bytes)}, "
                    f"{deviation:+.0f} % against the one before; up to {percent:g} % is usual",
                    None,
                )
        for backup in snapshot.backups:
            yield from _page_failures(backup)


def _page_failures(backup: BaseBackup) -> _Found:
    if backup.page_checksum_failures:
        yield (
            backup.stopped_at,
            "critical",
            f"base backup {backup.id} holds pages whose checksum was wrong on the source: "
            f"{'; '.join(backup.page_checksum_failures)}",
            None,
        )


def _retention(material: Material, retention: list[RetentionRow]) -> _Found:
    for row in retention:
        if row.missing:
            yield (
                material.now,
                "critical",
                f"{len(row.missing)} of {row.made} {row.what} that had to be kept for "
                f"{duration(row.promised_seconds)} are gone: {', '.join(row.missing[:5])}",
                None,
            )


def _verification(material: Material, verification: Verification) -> _Found:
    section = material.policy.database.verification
    if section is None or section.schedule is None:
        return
    if verification.met is False:
        late = verification.stored_objects - verification.read_in_time
        yield (
            material.now,
            "warning",
            f"{late} of {verification.stored_objects} stored objects were not read back for longer "
            f"than {duration(verification.promised_seconds)}, the oldest for "
            f"{duration(verification.oldest_seconds)}",
            None,
        )
    if verification.run is None and firings(section.schedule, *_judged(material)):
        what = "no backup verification ran in the period, although the policy schedules it"
        yield material.now, "warning", what, None
    if verification.at is not None and verification.outcome == "failed":
        grave = [one.what for one in verification.findings if one.severity == "critical"]
        words = f": {grave[0]}" if grave else ""
        more = f", and {len(grave) - 1} more" if len(grave) > 1 else ""
        what = f"the latest backup verification failed{words}{more}"
        yield verification.at, "critical", what, verification.run


def _judged(material: Material) -> tuple[datetime, datetime]:
    """The part of the period in which something may be late: from the first run in it on."""
    first = min((one.started_at for one in material.records), default=material.period.until)
    until = min(material.period.until, material.now) - material.policy.alerts.backup_delay
    return first, until


def _configuration(material: Material, configuration: list[ConfigurationRow]) -> _Found:
    for row in configuration:
        if row.newest_id is None:
            what = f"the policy names {row.source}, and nothing of it was ever exported"
            yield material.now, "warning", what, None


def _controls(material: Material, controls: list[Control]) -> _Found:
    for control in controls:
        if not control.met:
            yield (
                material.now,
                "warning",
                f"{control.name}: the policy wants {control.wanted}, found {control.found}",
                None,
            )


def _history(material: Material, records: list[EvidenceRecord]) -> _Found:
    if material.history is None:
        return
    outcomes = {record.run: record for record in records}
    finished = _finished(material)
    for run, (state, at) in finished.items():
        record = outcomes.get(run)
        if record is None:
            yield at, "warning", f"the run ended {state} in Airflow but left no evidence", run
        elif record.outcome != state:
            words = f"Airflow shows the run as {state}; by its evidence it {_ended(record)}"
            yield at, "warning", words, run
    known = {row.run for row in material.history}
    for run, record in outcomes.items():
        if run not in known:
            words = "Airflow no longer knows the run; its evidence is here"
            yield record.started_at, "warning", words, run


def _finished(material: Material) -> dict[str, tuple[str, datetime]]:
    return {
        row.run: (row.state, row.start_date)
        for row in material.history or []
        if row.state in ("success", "failed")
        and row.start_date
        and _inside(material, row.start_date)
    }


def _ended(record: EvidenceRecord) -> str:
    return "passed" if record.outcome == "success" else "failed"


def _inside(material: Material, at: datetime) -> bool:
    return material.period.since <= at < material.period.until
