"""# Restore test: database and documents at one moment

Restores the database to a moment T in a clean room. Then every document row of the copy must have
its object as of T: a version, written up to T, with the SHA-256 and the size that the row says. A
sample of these versions is restored to a place of its own and compared byte for byte. The copy is
promoted and checked, and everything is removed.

It has passed only if its `verdict` task succeeded.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.application import CheckApplicationOperator
from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.document_moment import (
    CheckMomentOperator,
    ChooseMomentOperator,
    RemoveSampleOperator,
    RestoreSampleOperator,
)
from ledgerkeep.operators.proof import ValidateCopyOperator
from ledgerkeep.operators.restore import (
    PlanRecoveryOperator,
    PrepareRoomOperator,
    RemoveRoomOperator,
    RestoreClusterOperator,
)
from ledgerkeep.operators.scenario import StateScenarioOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.operators.wal import ShipWalPastOperator
from ledgerkeep.policy.load import load_policies

SCENARIO = (
    "Rows and documents were damaged together. The database is restored to the moment before, and "
    "every document that its rows name must be recoverable as it was at that moment."
)

for policy in load_policies():
    test = policy.restore_tests.one_moment_recovery
    if test is None:
        continue
    environment = policy.environment
    with DAG(
        **dag_arguments(
            policy,
            "test_one_moment_recovery",
            component="documents",
            kind="restore-test",
            schedule=test.schedule,
            doc=__doc__,
        ),
    ):
        scenario = StateScenarioOperator(
            task_id="scenario",
            environment=environment,
            scenario=SCENARIO,
            objective="accidental_deletion",
        )
        moment = ChooseMomentOperator(task_id="moment", environment=environment)
        ship = ShipWalPastOperator(task_id="ship_wal", environment=environment, fingerprint_id=None)
        plan = PlanRecoveryOperator(
            task_id="plan",
            environment=environment,
            target_kind="time",
            target_value=moment.output,
        )
        room = PrepareRoomOperator(
            task_id="prepare_room", environment=environment, plan=plan.output
        )
        restore = RestoreClusterOperator(
            task_id="restore", environment=environment, plan=plan.output
        )
        documents = CheckMomentOperator(
            task_id="check_documents",
            environment=environment,
            plan=plan.output,
            restored=restore.output,
            lost_fails=True,
        )
        sample = RestoreSampleOperator(
            task_id="restore_sample", environment=environment, check=documents.output
        )
        validate = ValidateCopyOperator(
            task_id="validate",
            environment=environment,
            plan=plan.output,
            restored=restore.output,
            proven=None,
        )
        application = CheckApplicationOperator(
            task_id="check_application", environment=environment, plan=plan.output
        )
        remove_sample = RemoveSampleOperator(
            task_id="remove_sample", environment=environment
        ).as_teardown(setups=room)
        remove_room = RemoveRoomOperator(
            task_id="remove_room", environment=environment, plan=plan.output
        ).as_teardown(setups=room)
        verdict = VerdictOperator(task_id="verdict", environment=environment, kind="restore-test")
        scenario >> moment >> ship >> plan >> room >> restore >> documents >> sample >> validate
        validate >> application >> remove_sample >> remove_room >> verdict
