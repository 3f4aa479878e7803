"""The main job, from nothing to a compliance report, through a real scheduler.

While a write load goes on: a full backup, the WAL since then, a restore in a clean room that is
proven identical to the source, and the report on all of it. Every figure of the table at the end
comes from the report that the last run stored, not from this program.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from include.sandbox import environment, sandbox
from include.sandbox.load import write_load
from include.sandbox.sandbox import Sandbox
from include.sandbox.servers import protected_server
from include.sandbox.state import State
from ledgerkeep.catalog import keys
from ledgerkeep.cli.airflow_api import AirflowApi, DagRun
from ledgerkeep.cli.watch import Watcher
from ledgerkeep.errors import AirflowRefused, RunFailed
from ledgerkeep.policy.load import load_policy
from ledgerkeep.policy.model import Policy
from ledgerkeep.progress import format_bytes
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.worker import WorkerSettings

ENVIRONMENT = "production"
FULL_BACKUP = f"{ENVIRONMENT}_database_full_backup"
WAL_SHIPPING = f"{ENVIRONMENT}_database_wal_shipping"
RECOVERY_TEST = f"{ENVIRONMENT}_test_point_in_time_recovery"
REPORT = f"{ENVIRONMENT}_compliance_report"
STEPS = (FULL_BACKUP, WAL_SHIPPING, RECOVERY_TEST, REPORT)

_CLIENTS = 2
_TRANSACTIONS_PER_SECOND = 40.0


@dataclass(frozen=True)
class Outcome:
    """What the runs left behind: the report, and where its copy lies."""

    report: dict[str, Any]
    path: Path


def run(ours: Sandbox, *, size_mb: int, keep: bool) -> int:
    """Run the demo; returns the exit status.

    :param keep: leave the sandbox running. One that was up before is left running anyway.
    """
    console = Console()
    began = monotonic()
    started = not sandbox.is_up(ours)
    try:
        sandbox.up(ours, size_mb=size_mb, say=lambda line: console.print(line, soft_wrap=True))
        runs = _main_job(ours.state(), console, ours)
        outcome = _outcome(ours, runs[REPORT])
        console.print(_table(outcome, runs[RECOVERY_TEST], ours.state()))
        console.print(f"{monotonic() - began:.0f} s in all")
    except (RunFailed, AirflowRefused, psycopg.Error) as problem:
        console.print(f"[red]{escape(str(problem))}[/]", soft_wrap=True)
        return 1
    finally:
        if started and not keep:
            sandbox.down(ours, say=console.print)
    return 0


def _main_job(state: State, console: Console, ours: Sandbox) -> dict[str, DagRun]:
    """Run the four DAGs one after the other while a write load goes on."""
    url = environment.airflow_url(state.ports)
    api = AirflowApi(url, "admin", state.secrets.airflow_admin)
    api.wait_for_dags(list(STEPS))
    watcher = Watcher(api, console)
    database = protected_server(state, ours.place()).address.to(environment.DATABASE)
    runs = {}
    with write_load(database, clients=_CLIENTS, rate=_TRANSACTIONS_PER_SECOND) as load:
        for dag_id in STEPS:
            was_on = api.switch(dag_id, on=True)
            runs[dag_id] = api.trigger(dag_id, prefix="demo")
            watcher.follow(runs[dag_id])
            # Nothing runs unasked: a DAG that was off is off again.
            api.switch(dag_id, on=was_on)
    console.print(f"{load.transactions} transactions were written meanwhile")
    return runs


def _outcome(ours: Sandbox, run: DagRun) -> Outcome:
    """Copy the newest report from the object store.

    :raises RunFailed: the report's run stored none.
    """
    state = ours.state()
    policy = load_policy(environment.POLICIES / f"{ENVIRONMENT}.yaml")
    store = _store(policy, state)
    found = [one for one in store.list(keys.reports(ENVIRONMENT)) if one.key.endswith(".json")]
    if not found:
        raise RunFailed(f"{run.name} passed but stored no report")
    newest = max(found, key=lambda one: one.modified_at).key
    report = store.get(newest)
    path = ours.home / "reports" / Path(newest).with_suffix(".html").name
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".json").write_bytes(report)
    path.write_bytes(store.get(newest.removesuffix(".json") + ".html"))
    return Outcome(json.loads(report), path)


def _store(policy: Policy, state: State) -> S3Store:
    access = StoreAccess(
        endpoint_url=environment.store_url(state.ports),
        access_key=state.secrets.store_key,
        secret_key=state.secrets.store_secret,
    )
    return open_store(policy.storage, WorkerSettings(), access)


def _table(outcome: Outcome, test: DagRun, state: State) -> Table:
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
    table.add_row("Airflow", f"{environment.airflow_url(state.ports)} (user admin)")
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
