"""# Restore test: full database restore

Restores the newest chain: a full backup and every incremental on it, to the last. Where WAL is
shipped, the source is fingerprinted first and the copy replayed up to exactly that point, and
compared: every table must have the same rows. Otherwise the copy stands at its backup's own end.
Then it is promoted and checked (`pg_amcheck`, expectations), and removed.

It has passed only if its `verdict` task succeeded.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments, given
from ledgerkeep.operators.fingerprint import ProvableFingerprintOperator
from ledgerkeep.operators.restore import PlanChainOperator
from ledgerkeep.operators.restore_test import carry_out, fingerprint_param
from ledgerkeep.operators.scenario import StateScenarioOperator
from ledgerkeep.operators.wal import ShipWalPastOperator
from ledgerkeep.policy.load import load_policies

SCENARIO = (
    "The database server and its storage are lost. A full backup and all incremental ones on it "
    "are restored as one in a clean room, and the copy must be whole and usable."
)

for policy in load_policies():
    test = policy.restore_tests.full_database_restore
    if test is None:
        continue
    environment, ships_wal = policy.environment, policy.database.wal_shipping is not None
    with DAG(
        **dag_arguments(
            policy,
            "test_full_database_restore",
            component="database",
            kind="restore-test",
            schedule=test.schedule,
            doc=__doc__,
        ),
        params=fingerprint_param() if ships_wal else {},
    ):
        scenario = StateScenarioOperator(
            task_id="scenario",
            environment=environment,
            scenario=SCENARIO,
            objective="database_failure",
        )
        if ships_wal:
            fingerprint = ProvableFingerprintOperator(
                task_id="fingerprint",
                environment=environment,
                stored=given("fingerprint"),
            )
            ship = ShipWalPastOperator(
                task_id="ship_wal", environment=environment, fingerprint_id=fingerprint.output
            )
            plan = PlanChainOperator(
                task_id="plan", environment=environment, fingerprint_id=fingerprint.output
            )
            scenario >> fingerprint >> ship >> plan
            carry_out(policy, plan, fingerprint.output)
        else:
            plan = PlanChainOperator(task_id="plan", environment=environment)
            scenario >> plan
            carry_out(policy, plan, None)
