"""# Restore test: point-in-time recovery

Records what the source holds at one exact point of its WAL, restores an earlier backup into a clean
room, replays up to exactly that point, and compares: every table must have the same rows. Then the
copy is promoted and checked (`pg_amcheck`, expectations), and removed.

It has passed only if its `verdict` task succeeded.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments, given
from ledgerkeep.operators.fingerprint import ProvableFingerprintOperator
from ledgerkeep.operators.restore import PlanRecoveryOperator
from ledgerkeep.operators.restore_test import carry_out, fingerprint_param
from ledgerkeep.operators.scenario import StateScenarioOperator
from ledgerkeep.operators.wal import ShipWalPastOperator
from ledgerkeep.policy.load import load_policies

SCENARIO = (
    "The database server is lost. Its latest backup and WAL are restored to an exact point in a "
    "clean room, and the copy must be identical to the source at that point."
)

for policy in load_policies():
    test = policy.restore_tests.point_in_time_recovery
    if test is None or policy.database.wal_shipping is None:
        continue
    environment = policy.environment
    with DAG(
        **dag_arguments(
            policy,
            "test_point_in_time_recovery",
            component="database",
            kind="restore-test",
            schedule=test.schedule,
            doc=__doc__,
        ),
        params=fingerprint_param(),
    ):
        scenario = StateScenarioOperator(
            task_id="scenario",
            environment=environment,
            scenario=SCENARIO,
            objective="database_failure",
        )
        fingerprint = ProvableFingerprintOperator(
            task_id="fingerprint",
            environment=environment,
            stored=given("fingerprint"),
        )
        ship = ShipWalPastOperator(
            task_id="ship_wal",
            environment=environment,
            fingerprint_id=fingerprint.output,
        )
        plan = PlanRecoveryOperator(
            task_id="plan", environment=environment, fingerprint_id=fingerprint.output
        )
        scenario >> fingerprint >> ship >> plan
        carry_out(policy, plan, fingerprint.output)
