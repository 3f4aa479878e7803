"""# Protection check of the documents

Holds the documents' bucket, and its replica, against the policy: versions, replication, encryption,
lifecycle, Object Lock, publicity, who may read or delete versions, TLS, logs and ownership. Each
property is one line, expected against found, in the log and in the evidence. Counts and prices
every version, says what other lifecycles would save, and how far the replica is behind.

Red means that documents can be lost which the policy promises to keep, or that the check was not
allowed to see. What the store does not have at all is said as *not applicable here*.

With **repair** the check also says what would be set, property by property, before and after. A
second person approves it under *Required Actions* where the policy asks for one; then one property
after the other is set and read back. Whom to take a permission from stays a person's decision.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.protection_steps import check_protection, protection_dag_arguments
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    documents = policy.documents
    protection = documents.protection if documents else None
    if documents is None or protection is None:
        continue
    with DAG(**protection_dag_arguments(policy, protection, __doc__)):
        check_protection(policy, documents, protection)
