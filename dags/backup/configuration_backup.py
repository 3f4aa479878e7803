"""# Configuration backup

Exports every source of the policy, each in a task of its own: what one lacks (a permission, a
service that is away) does not stop the others, and the run is red. A source gets a new version
only if its content has changed; the log says what, with secrets masked. Secrets leave the worker
only encrypted.

Where the policy names a queue, a change of the system starts a run at once. It exports the sources
that the change concerns, and reads only what has changed; several changes that wait are stored by
one run. A message stays in the queue until what it tells of is stored. Scheduled runs read
everything anew: they are the net below events that never came.

At the end the versions that the policy no longer keeps are shown and removed. What is under
Object Lock stays until its day.

With **major** a version is kept as long as the policy keeps major ones, and stored although
nothing has changed.
"""

from airflow.sdk import DAG, Param

from ledgerkeep.configuration.registry import source_names
from ledgerkeep.operators.configuration_backup import (
    ChooseSourcesOperator,
    ExportConfigurationOperator,
    RetainConfigurationOperator,
    SettleChangesOperator,
    export_task,
)
from ledgerkeep.operators.dags import (
    configuration_changes,
    dag_arguments,
    given,
    optional_text,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

MAJOR = optional_text(
    title="Major version",
    maxLength=200,
    description="Why this is a major version, such as the name of a release; empty: it is none.",
)
REREAD = Param(
    False,
    type="boolean",
    title="Read everything anew",
    description="Also what a source says is unchanged.",
)

for policy in load_policies():
    configuration = policy.configuration
    if configuration is None:
        continue
    environment, names = policy.environment, source_names(policy)
    sources = Param(
        None,
        type=["null", "array"],
        items={"type": "string", "enum": names},
        examples=names,
        title="Sources",
        description="What to export; empty: everything.",
    )
    with DAG(
        **dag_arguments(
            policy,
            "configuration_backup",
            component="configuration",
            kind="backup",
            schedule=configuration.schedule,
            events=configuration_changes(policy),
            doc=__doc__,
        ),
        params={"sources": sources, "major": MAJOR, "reread": REREAD},
    ):
        choose = ChooseSourcesOperator(
            task_id="choose",
            environment=environment,
            sources="{{ (params.sources or []) | join(',') }}",
            reread="{{ params.reread }}",
        )
        exports = [
            ExportConfigurationOperator(
                task_id=export_task(name),
                environment=environment,
                source=name,
                chosen=choose.output,
                major=given("major"),
            )
            for name in names
        ]
        retention = RetainConfigurationOperator(
            task_id="retention", environment=environment, chosen=choose.output
        )
        verdict = VerdictOperator(task_id="verdict", environment=environment, kind="backup")
        exports >> retention >> verdict
        if configuration.events is not None:
            settle = SettleChangesOperator(task_id="settle", environment=environment)
            exports >> settle >> verdict
