"""The database family, from nothing, through a real scheduler.

A full backup, changes, two incrementals, the WAL, a backup before a deployment; then a recovery to
a moment in between, approved by a second person over the REST API, and the copy that came out of
it is started and counted. Last, retention: what it would do now, and, with the sizes of this
demo's own backups, what it would have kept of fourteen months of the policy's schedule.
"""

from datetime import UTC, datetime

from rich.table import Table

from include.sandbox.copies import Counts, count_copy, quiet_moment
from include.sandbox.load import write_load
from include.sandbox.retention_show import simulated_months
from include.sandbox.sandbox import Sandbox
from include.sandbox.stage import Stage, perform
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.cli.airflow_api import DagRun
from ledgerkeep.cli.session import choose_cluster
from ledgerkeep.errors import ProofMismatch
from ledgerkeep.progress import format_bytes

FULL = "database_full_backup"
INCREMENTAL = "database_incremental_backup"
WAL = "database_wal_shipping"
BEFORE_DEPLOYMENT = "database_pre_deployment_backup"
VERIFIED = "database_deployment_verified"
RECOVERY = "database_point_in_time_recovery"
VERIFICATION = "database_backup_verification"
RETENTION = "database_retention"
NEEDS = [FULL, INCREMENTAL, WAL, BEFORE_DEPLOYMENT, VERIFIED, RECOVERY, VERIFICATION, RETENTION]

_SECONDS_OF_WRITING = 3.0


def run(ours: Sandbox, *, size_mb: int, keep: bool) -> int:
    """Run the demo; returns the exit status."""
    return perform(ours, _family, size_mb=size_mb, keep=keep, needs=NEEDS)


def _family(stage: Stage) -> None:
    # A chain: everything, then what changed, twice.
    runs = {"full": stage.run(FULL)}
    _write(stage)
    runs["first incremental"] = stage.run(INCREMENTAL)
    _write(stage)
    moment, then = quiet_moment(stage)
    _write(stage)
    runs["second incremental"] = stage.run(INCREMENTAL)
    runs["WAL"] = stage.run(WAL)

    # A deployment, with a way back until it is verified.
    deployment = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    runs["before a deployment"] = stage.run(
        BEFORE_DEPLOYMENT, {"deployment_id": deployment, "description": "a demo"}
    )
    stage.run(VERIFIED, {"deployment_id": deployment})

    # Back to the moment in between, with a second person's approval.
    recovery = _recover(stage, moment)
    found = count_copy(stage, recovery)
    if found != then:
        raise ProofMismatch(f"the copy holds {found}, the database held {then} at {moment}")

    # Is what is stored still good, and what may go?
    stage.run(VERIFICATION)
    stage.run(RETENTION, {"dry_run": True})
    catalog = Catalog(stage.store, stage.policy)
    backups = _backups(catalog)
    stage.console.print(_months(stage, backups))
    stage.console.print(_table(stage, runs, backups, recovery, moment, then))


def _write(stage: Stage) -> None:
    with write_load(stage.database, clients=2, documents=stage.documents) as load:
        load.wait(_SECONDS_OF_WRITING)
    stage.console.print(f"{load.transactions} transactions were written")


def _recover(stage: Stage, moment: datetime) -> DagRun:
    with stage.approving() as approve:
        return stage.run(
            RECOVERY,
            {
                "target_kind": "time",
                "target_value": moment.isoformat(),
                "reason": "a demo of the recovery to a moment",
                "scenario": "accidental_deletion",
            },
            meanwhile=approve,
        )


def _backups(catalog: Catalog) -> list[BaseBackup]:
    return catalog.backups(choose_cluster(catalog, None))


def _months(stage: Stage, backups: list[BaseBackup]) -> Table:
    table = Table(title="retention over fourteen simulated months of production's schedule")
    for column in ("after", "taken", "kept", "full", "incremental", "would be stored", "is stored"):
        table.add_column(column, justify="right")
    for month in simulated_months(stage.policy, backups, months=14):
        table.add_row(
            f"{month.number} months",
            f"{month.taken:,}",
            f"{month.kept:,}",
            f"{month.kept_full:,}",
            f"{month.kept - month.kept_full:,}",
            format_bytes(month.taken_bytes),
            format_bytes(month.kept_bytes),
        )
    return table


def _table(
    stage: Stage,
    runs: dict[str, DagRun],
    backups: list[BaseBackup],
    recovery: DagRun,
    moment: datetime,
    then: Counts,
) -> Table:
    table = Table(show_header=False)
    by_run = {backup.run: backup for backup in backups}
    for what, run in runs.items():
        backup = by_run.get(run.name)
        if backup is not None:
            on = f" on {backup.parent_id}" if backup.parent_id else ""
            because = f" ({backup.full_because})" if backup.full_because else ""
            stored = format_bytes(backup.stored_bytes)
            table.add_row(what, f"{backup.id}{on}, stored as {stored}{because}")
    verdict = stage.api.returned(recovery, "verdict")
    table.add_row("recovered to", f"{moment.isoformat()}, from {verdict['recovery_point_ids'][0]}")
    table.add_row("RTO reached", f"{verdict['measurements']['rto_seconds']:.0f} s")
    rows = ", ".join(f"{count:,} {name}" for name, count in then.items())
    table.add_row("in the copy, as then", rows)
    table.add_row("runbook", str(stage.api.returned(recovery, "runbook")))
    table.add_row("Airflow", f"{stage.url} (user admin)")
    return table
