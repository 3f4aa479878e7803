"""`backup-db`: the procedures' backup script, with their long options, as a client of Airflow.

    backup-db --type full --environment production
    backup-db --type transaction_log --environment production --database loan_management
    backup-db --type pre_deployment --environment production --deployment release-42

It backs nothing up itself. It starts the environment's DAG over Airflow's REST API, follows the
run, prints the recovery point that came out, and ends with the run's verdict as its exit code: so
a backup by hand is the same backup, with the same checks and the same evidence, as the scheduled
one. Ctrl-C leaves the run alone.

What is backed up and where it goes stands in the policy. An option that says so too
(`--database`, `--bucket`, `--region`, `--prefix`, `--retention`) is a check, not a setting: the run
starts only if the policy says the same. A password is never an argument.

Exit codes: 0 the run passed; 1 it did not, or could not be started; 2 the command was not
understood; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.cli.output import Output
from ledgerkeep.errors import AirflowRefused, LedgerkeepError, PolicyError
from ledgerkeep.policy.model import Policy
from ledgerkeep.policy.values import format_duration

if TYPE_CHECKING:
    from ledgerkeep.cli.airflow_api import AirflowApi, DagRun

ACTIONS = {
    "full": "database_full_backup",
    "incremental": "database_incremental_backup",
    "transaction_log": "database_wal_shipping",
    "pre_deployment": "database_pre_deployment_backup",
}
"""Type → the DAG's id after the environment."""

_VERDICT = "verdict"
_NEVER = (
    "a password is never an argument: everybody on this machine can read it there. "
    "Ledgerkeep takes it from the Airflow connection of the policy"
)
_WORKERS = (
    "host, user, port and credentials are the worker's: they stand in the Airflow connections that "
    "the policy names"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Start a backup, follow it, and give the exit code."""
    parser = _parser()
    try:
        given = parser.parse_args(argv)
        if (given.type == "pre_deployment") != (given.deployment is not None):
            parser.error("--deployment belongs to --type pre_deployment, and the other way round")
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    output = Output(machine=given.json)
    try:
        return _back_up(given, output)
    except LedgerkeepError as problem:
        output.error(problem)
        return 1
    except KeyboardInterrupt:
        print("interrupted; a run that was started goes on in Airflow", file=sys.stderr)
        return 130


def disagreements(given: Mapping[str, Any], policy: Policy) -> list[str]:
    """What the command says otherwise than the policy, one sentence each."""
    storage, database = policy.storage, policy.database
    kept = database.retention.daily
    found = []
    if given.get("database") and given["database"] not in database.databases:
        found.append(
            f"the policy backs up {', '.join(database.databases)}, not {given['database']}"
        )
    if given.get("bucket") and given["bucket"] != storage.bucket:
        found.append(f"the policy's bucket is {storage.bucket}, not {given['bucket']}")
    if given.get("region") and given["region"] != storage.region:
        found.append(f"the policy's region is {storage.region}, not {given['region']}")
    if given.get("prefix") and given["prefix"].strip("/").split("/")[0] != policy.environment:
        found.append(f"backups of {policy.environment} lie below {policy.environment}/")
    if given.get("retention") and given["retention"] != kept.days:
        found.append(f"the policy keeps backups {format_duration(kept)}, not {given['retention']}d")
    return found


def _back_up(given: argparse.Namespace, output: Output) -> int:
    from ledgerkeep.policy.load import load_environment
    from ledgerkeep.worker import worker_settings

    policy = load_environment(given.environment, worker_settings().policies)
    wrong = disagreements(vars(given), policy)
    if wrong:
        raise PolicyError(
            "; ".join(wrong),
            hint="nothing was started; leave the option out, or change the policy",
        )
    airflow = _airflow(os.environ)
    dag_id = f"{policy.environment}_{ACTIONS[given.type]}"
    if not airflow.is_on(dag_id):
        raise AirflowRefused(
            f"the DAG {dag_id} is switched off, so a run would wait for ever",
            hint="nothing was started; switch it on in Airflow first",
        )
    run = airflow.trigger(dag_id, _conf(given), prefix="backup-db")
    return _follow(airflow, run, output, verbose=given.verbose)


def _conf(given: argparse.Namespace) -> dict[str, str]:
    if given.type != "pre_deployment":
        return {}
    return {"deployment_id": given.deployment, "description": given.description}


def _airflow(environment: Mapping[str, str]) -> AirflowApi:
    from ledgerkeep.cli.airflow_api import AirflowApi

    names = ("AIRFLOW_API_URL", "AIRFLOW_USERNAME", "AIRFLOW_PASSWORD")
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise AirflowRefused(
            f"it is not said where Airflow is, or who asks: {', '.join(missing)} not set",
            hint="export them (the sandbox writes them to .sandbox/env)",
        )
    return AirflowApi(*(environment[name] for name in names))


def _follow(airflow: AirflowApi, run: DagRun, output: Output, *, verbose: bool) -> int:
    from rich.console import Console

    from ledgerkeep.cli.watch import Watcher

    console = Console(stderr=True, quiet=output.machine)
    console.print(f"started {run.name}", soft_wrap=True, highlight=False)
    seconds = Watcher(airflow, console).follow(run)
    verdict = airflow.returned(run, _VERDICT) or {}
    if verbose and not output.machine:
        for task in airflow.tasks(run):
            console.print(f"--- {task.task_id}", highlight=False)
            console.print("\n".join(airflow.log(run, task)), markup=False, highlight=False)
    _tell(run, verdict, seconds, output)
    return 0


def _tell(run: DagRun, verdict: Mapping[str, Any], seconds: float, output: Output) -> None:
    points = verdict.get("recovery_point_ids", [])
    if output.machine:
        output.document(
            {
                "run": run.name,
                "recovery_points": points,
                "not_taken": verdict.get("not_taken"),
                "measurements": verdict.get("measurements", {}),
                "evidence": verdict.get("evidence"),
                "seconds": round(seconds, 1),
            }
        )
        return
    why = verdict.get("not_taken") or "nothing was written since the last one"
    output.lines(
        [
            *(f"recovery point: {point}" for point in points),
            *([] if points else [f"recovery point: none; {why}"]),
            f"evidence:       {verdict.get('evidence')}",
        ]
    )


class _Refused(argparse.Action):
    """An option of the old script that would be wrong or unsafe here; it says why."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        parser.error(f"{option_string}: {self.const}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="backup-db",
        description="Start a database backup in Airflow, follow it, and print its recovery point.",
        epilog="Airflow is found by AIRFLOW_API_URL, AIRFLOW_USERNAME and AIRFLOW_PASSWORD.",
        allow_abbrev=False,
    )
    parser.add_argument("-t", "--type", required=True, choices=ACTIONS, help="what to take")
    parser.add_argument("-e", "--environment", required=True, metavar="ENV", help="whose policy")
    deployment = parser.add_argument_group("before a deployment (--type pre_deployment)")
    deployment.add_argument("-D", "--deployment", metavar="ID", help="what will be deployed")
    deployment.add_argument("--description", default="", metavar="TEXT", help="in your words")
    checks = parser.add_argument_group("checks: the run starts only if the policy says the same")
    checks.add_argument("-d", "--database", metavar="NAME")
    checks.add_argument("-b", "--bucket", metavar="BUCKET")
    checks.add_argument("-x", "--prefix", metavar="PREFIX")
    checks.add_argument("-R", "--region", metavar="REGION")
    checks.add_argument("-k", "--retention", metavar="DAYS", type=int)
    parser.add_argument("-v", "--verbose", action="store_true", help="the tasks' logs as well")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    refused = {"--password": _NEVER}
    refused |= dict.fromkeys(("--host", "--user", "--port", "--aws-profile"), _WORKERS)
    for name, why in refused.items():
        parser.add_argument(name, action=_Refused, const=why, nargs="?", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
