"""# Restore test: bulk document recovery

Draws a sample of documents, any of their versions, restores all of them at once beside, reads them
back and compares: bytes, content type, metadata and tags. The copies lie in the backup bucket and
are removed with all of their versions; no production key is written.

It has passed only if its `verdict` task succeeded.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.document_restore_test import carry_out_test, document_test_arguments
from ledgerkeep.policy.load import load_policies

NAME = "bulk_document_recovery"
SCENARIO = (
    "Many documents are deleted or overwritten by mistake. A sample of all versions is restored "
    "beside, and each must be byte for byte what it was."
)

for policy in load_policies():
    test = policy.restore_tests.bulk_document_recovery
    if test is None:
        continue
    with DAG(**document_test_arguments(policy, NAME, test, __doc__)):
        carry_out_test(
            policy, NAME, scenario=SCENARIO, objective="accidental_deletion", taken_from="primary"
        )
