"""# Restore test: single document recovery

Draws one document, any of its versions, restores it beside, reads it back and compares: bytes,
content type, metadata and tags. The copy lies in the backup bucket and is removed with all of its
versions; no production key is written.

It has passed only if its `verdict` task succeeded.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.document_restore_test import carry_out_test, document_test_arguments
from ledgerkeep.policy.load import load_policies

NAME = "single_document_recovery"
SCENARIO = (
    "A document is deleted or overwritten by mistake. One of its versions is restored beside, and "
    "must be byte for byte what it was."
)

for policy in load_policies():
    test = policy.restore_tests.single_document_recovery
    if test is None:
        continue
    with DAG(**document_test_arguments(policy, NAME, test, __doc__)):
        carry_out_test(
            policy, NAME, scenario=SCENARIO, objective="accidental_deletion", taken_from="primary"
        )
