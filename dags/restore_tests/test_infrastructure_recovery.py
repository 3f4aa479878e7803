"""# Restore test: infrastructure recovery

Restores the newest version of each source of the infrastructure (repositories, Terraform state,
IAM, security groups, KMS, WAF) beside what is live, reads it back and compares. What is live
otherwise than the version holds it is told as drift, and fails nothing. Everything that was
restored is removed; no production name is written. A service that has no isolated place shows that
its version is whole and opens.

It has passed only if its `verdict` task succeeded.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.configuration_restore_test import (
    carry_out_test,
    configuration_test_arguments,
)
from ledgerkeep.policy.load import load_policies

SCENARIO = (
    "The infrastructure's code, its state, and who may do what in it are lost. Each is restored "
    "beside from its newest version, and must read back as it was stored."
)

for policy in load_policies():
    test = policy.restore_tests.infrastructure_recovery
    if test is None:
        continue
    with DAG(**configuration_test_arguments(policy, "infrastructure", test, __doc__)):
        carry_out_test(policy, "infrastructure", scenario=SCENARIO)
