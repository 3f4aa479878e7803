"""What every DAG of ours has in common, so that a DAG file holds only its procedure.

`dag_arguments` gives the id (`{environment}_{component}_{action}`), schedule, tags, owner and the
defaults of its tasks. Nothing here reads anything but the policy it is given.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    Asset,
    AssetOrTimeSchedule,
    AssetWatcher,
    CronTriggerTimetable,
    DeltaTriggerTimetable,
    Param,
)

if TYPE_CHECKING:
    from ledgerkeep.policy.model import Policy


_WITH_OFFSET = "2026-03-01T14:30:00+00:00"
NAIVE_MOMENT = {
    # Airflow shows the refused schema with what was typed, so the words help.
    "description": "a time without its offset from UTC; add +00:00 if it is UTC",
    "type": "string",
    "pattern": r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}(:\d{2}){0,2}([.,]\d+)?)?\s*$",
}
"""What a form refuses where it asks for a moment."""
BACK_TO_BACK = DeltaTriggerTimetable(timedelta(seconds=1))
"""One run after the other: the next is due a second after one began, and starts when it has ended.

Airflow's `@continuous` begins an interval where the last one ended. After a run whose interval has
no length (its own first one, or any run of a cron schedule) the next would have the same logical
date, and then Airflow creates none, ever, with no more than a warning in the scheduler's log.
"""


def dag_arguments(
    policy: Policy,
    name: str,
    *,
    component: str,
    kind: str,
    schedule: str | DeltaTriggerTimetable | None,
    doc: str | None,
    events: Asset | None = None,
) -> dict[str, Any]:
    """Arguments of `airflow.sdk.DAG` for one environment's DAG.

    There is no `dagrun_timeout`: it would skip teardowns and leave restored copies behind. There
    is no start date and no first run "immediately": a DAG that is switched on for the first time
    waits for its time (one that ran before makes up for the last time it missed).

    :param name: component and action, such as `database_full_backup`
    :param component: what it is about: database, documents, configuration or evidence
    :param kind: backup, check, recovery, restore-test or report
    :param schedule: cron in UTC; or `BACK_TO_BACK`; None: on demand only
    :param events: what starts a run besides
    """
    return {
        "dag_id": f"{policy.environment}_{name}",
        "schedule": _with_events(_timetable(schedule), events),
        "catchup": False,
        "max_active_runs": 1,
        "doc_md": doc,
        "tags": sorted({policy.environment, component, kind, f"criticality:{policy.criticality}"}),
        "default_args": {
            "owner": policy.owner,
            "retries": 2,
            "retry_delay": timedelta(seconds=30),
        },
    }


def recovery_points(policy: Policy) -> Asset:
    """The asset that stands for the database's recovery points; updated by each new one."""
    # For the scheme s3 Airflow would import boto3 whenever it reads a DAG file.
    return Asset(
        name=f"{policy.environment}_database_recovery_points",
        uri=f"x-ledgerkeep://{policy.storage.bucket}/{policy.environment}/database",
        group="ledgerkeep",
    )


def configuration_changes(policy: Policy) -> Asset | None:
    """The asset that a change of the configuration updates, where the policy names a queue."""
    from ledgerkeep.triggers.configuration_changes import ConfigurationChangesTrigger

    configuration = policy.configuration
    if configuration is None or configuration.events is None:
        return None
    watcher = AssetWatcher(
        name=f"{policy.environment}_configuration_changes",
        trigger=ConfigurationChangesTrigger(environment=policy.environment),
    )
    return Asset(
        name=f"{policy.environment}_configuration",
        uri=f"x-ledgerkeep://{configuration.events.queue}/{policy.environment}/configuration",
        group="ledgerkeep",
        watchers=[watcher],
    )


def optional_text(**schema: Any) -> Param:
    """A field of a trigger form that may stay empty; `given` reads it.

    Airflow's form takes an empty field of the type string for one that was forgotten, and does not
    let the run start.
    """
    return Param(None, type=["null", "string"], **schema)


def optional_moment(title: str, description: str) -> Param:
    """A field of a trigger form for a moment; it may stay empty, but not be without offset."""
    return optional_text(
        title=title,
        maxLength=40,
        description=f"{description} Write it with its offset from UTC: {_WITH_OFFSET}.",
        examples=[_WITH_OFFSET, "2026-03-01 15:30:00+01:00"],
        **{"not": NAIVE_MOMENT},
    )


def given(name: str) -> str:
    """The template of a field that may stay empty: its text, or none."""
    return f"{{{{ params.{name} or '' }}}}"


def deployment_param() -> Param:
    """The field of a trigger form that asks for a deployment's id; it has to be filled in."""
    from ledgerkeep.catalog.deployments import DEPLOYMENT_ID

    return Param(
        type="string",
        pattern=DEPLOYMENT_ID,
        title="Deployment",
        description="Id of the release or build, such as 2026.11.3: letters, digits, dots, "
        "hyphens and underscores.",
    )


def reason_param() -> Param:
    """The field of a recovery's form that asks why; it has to be filled in."""
    from ledgerkeep.recovery.form import SHORTEST_REASON

    return Param(
        type="string",
        minLength=SHORTEST_REASON,
        maxLength=500,
        title="Reason",
        description="For whoever approves it, and for the evidence: what happened, and the "
        "incident's number. No passwords or personal data.",
    )


def _timetable(
    schedule: str | DeltaTriggerTimetable | None,
) -> CronTriggerTimetable | DeltaTriggerTimetable | None:
    if isinstance(schedule, str):
        return CronTriggerTimetable(schedule, timezone="UTC", run_immediately=timedelta(0))
    return schedule


def _with_events(
    timetable: CronTriggerTimetable | DeltaTriggerTimetable | None, events: Asset | None
) -> CronTriggerTimetable | DeltaTriggerTimetable | AssetOrTimeSchedule | list[Asset] | None:
    if events is None:
        return timetable
    if timetable is None:
        return [events]
    return AssetOrTimeSchedule(timetable=timetable, assets=[events])
