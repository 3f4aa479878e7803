"""# Restore test: integration configuration recovery

Restores the newest version of each source of the integrations (Auth0, DocuSign, SendGrid) into the
test tenant that the policy names, reads it back and compares. What is live otherwise than the
version holds it is told as drift, and fails nothing. Everything that was restored is removed; the
production tenant is only read. Without a test tenant it is shown that the version is whole and
opens.

It has passed only if its `verdict` task succeeded.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.configuration_restore_test import (
    carry_out_test,
    configuration_test_arguments,
)
from ledgerkeep.policy.load import load_policies

SCENARIO = (
    "The settings of an integration are lost or changed in its own console. They are restored "
    "elsewhere from their newest version, and must read back as they were stored."
)

for policy in load_policies():
    test = policy.restore_tests.integration_configuration_recovery
    if test is None:
        continue
    with DAG(**configuration_test_arguments(policy, "integration_configuration", test, __doc__)):
        carry_out_test(policy, "integration_configuration", scenario=SCENARIO)
