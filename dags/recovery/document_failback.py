"""# Failback of the documents

Lets the application use the **primary** bucket again after a failover. It is refused unless the
primary holds the current content of every document that the replica holds: let the replica
replicate back first, or repair the primary.

1. **Trigger** it with a reason. *Rehearse only* does everything up to the switch: use it to see
   whether the primary is ready.
2. **plan** compares every current document, tests access, and refuses when anything would be lost.
3. **approve**, **switch**, **wait_for_services**, **test_access**: as in the failover.
4. **reverse_replication** lets the primary replicate to the replica again.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.failover_steps import (
    carry_out_failover,
    failover_dag_arguments,
    failover_form,
)
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    failover = policy.documents.failover if policy.documents else None
    if failover is None:
        continue
    with DAG(**failover_dag_arguments(policy, "failback", __doc__), params=failover_form()):
        carry_out_failover(policy, failover, "failback")
