"""The main job, from nothing to a compliance report, through a real scheduler.

While a write load goes on: a full backup, the WAL since then, a restore in a clean room that is
proven identical to the source, and the report on all of it. Every figure of the table at the end
comes from the report that the last run stored, not from this program.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from include.sandbox.load import write_load
from include.sandbox.sandbox import Sandbox
from include.sandbox.stage import ENVIRONMENT, Stage, perform
from ledgerkeep.catalog import keys
from ledgerkeep.cli.airflow_api import DagRun
from ledgerkeep.errors import RunFailed
from ledgerkeep.progress import format_bytes

FULL_BACKUP = "database_full_backup"
WAL_SHIPPING = "database_wal_shipping"
RECOVERY_TEST = "test_point_in_time_recovery"
REPORT = "compliance_report"
STEPS = [FULL_BACKUP, WAL_SHIPPING, RECOVERY_TEST, REPORT]

_CLIENTS = 2
_TRANSACTIONS_PER_SECOND = 40.0


@dataclass(frozen=True)
class Outcome:
    """What the runs left behind: the report, and where its copy lies."""

    report: dict[str, Any]
    path: Path


def run(ours: Sandbox, *, size_mb: int, keep: bool) -> int:
    """Run the demo; returns the exit status."""
    return perform(ours, _main_job, size_mb=size_mb, keep=keep, needs=STEPS)


def _main_job(stage: Stage) -> None:
    """Run the four DAGs one after the other while a write load goes on."""
    with write_load(
        stage.database,
        clients=_CLIENTS,
        rate=_TRANSACTIONS_PER_SECOND,
        documents=stage.documents,
    ) as load:
        runs = {action: stage.run(action) for action in STEPS}
    stage.console.print(f"{load.transactions} transactions were written meanwhile")
    outcome = _outcome(stage, runs[REPORT])
    stage.console.print(_table(outcome, runs[RECOVERY_TEST], stage.url))


def _outcome(stage: Stage, run: DagRun) -> Outcome:
    """Copy the newest report from the object store.

    :raises RunFailed: the report's run stored none.
    """
    store = stage.store
    found = [one for one in store.list(keys.reports(ENVIRONMENT)) if one.key.endswith(".json")]
    if not found:
        raise RunFailed(
            f"{run.name} passed but stored no report", hint="look at the run's log in Airflow"
        )
    newest = max(found, key=lambda one: one.modified_at).key
    report = store.get(newest)
    path = stage.ours.home / "reports" / Path(newest).with_suffix(".html").name
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".json").write_bytes(report)
    path.write_bytes(store.get(newest.removesuffix(".json") + ".html"))
    return Outcome(json.loads(report), path)


def _table(outcome: Outcome, test: DagRun, airflow: str) -> Table:
    report = outcome.report
    proven = next(row for row in report["restore_tests"] if row["run"] == test.name)
    backup = next(
        row
        for row in reversed(report["backups"])
        if row["id"] in proven["recovery_point_ids"] and row["kind"] == "base_backup"
    )
    target = proven["target"] or {}
    table = Table(show_header=False)
    table.add_row("recovery point", f"{backup['id']}, {backup['at']}")
    table.add_row(
        "size",
        f"{format_bytes(backup['raw_bytes'])}, stored as {format_bytes(backup['stored_bytes'])}",
    )
    table.add_row("RTO reached", _objective(proven, target, "rto"))
    table.add_row("RPO reached", _objective(proven, target, "rpo"))
    table.add_row("proof level", _proof(proven))
    table.add_row("report", f"{_shown(outcome.path)} (conclusion: {report['conclusion']})")
    table.add_row("Airflow", f"{airflow} (user admin)")
    return table


def _objective(row: dict[str, Any], target: dict[str, Any], name: str) -> str:
    reached, wanted = row[f"{name}_seconds"], target.get(f"{name}_seconds")
    if reached is None:
        return "not measured"
    if wanted is None:
        return f"{reached:.0f} s"
    met = "met" if row[f"{name}_met"] else "MISSED"
    return f"{reached:.0f} s of {wanted:.0f} s allowed: {met}"


def _proof(row: dict[str, Any]) -> str:
    compared = f"{row['tables_compared']} tables, {row['rows_compared']:,} rows compared"
    return f"{row['level']} ({row['stops_because'] or compared})"


def _shown(path: Path) -> str:
    return os.path.relpath(path)
