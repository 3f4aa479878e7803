"""# Restore test: cross-region document recovery

Draws a sample of documents from the **replica alone**, restores them beside, reads them back and
compares. The primary is asked for nothing but, before the test, how far the replica is behind it;
when it does not answer, the test goes on without.

It has passed only if its `verdict` task succeeded.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.document_restore_test import carry_out_test, document_test_arguments
from ledgerkeep.policy.load import load_policies

NAME = "cross_region_document_recovery"
SCENARIO = (
    "The region of the documents is lost. A sample is restored from the replica in the second "
    "region alone, and each must be byte for byte what the replica holds."
)

for policy in load_policies():
    test = policy.restore_tests.cross_region_document_recovery
    if test is None:
        continue
    with DAG(**document_test_arguments(policy, NAME, test, __doc__)):
        carry_out_test(
            policy, NAME, scenario=SCENARIO, objective="region_failure", taken_from="replica"
        )
