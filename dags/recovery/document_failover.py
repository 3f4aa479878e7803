"""# Failover of the documents

Lets the application use the **replica** of the documents' bucket: the parameter that names its
bucket is changed, its services are restarted, and access is tested. No document is touched.

1. **Trigger** it with a reason. *Rehearse only* does everything up to the switch.
2. **plan** says which bucket the application uses, what the replica lacks of its current documents
   (where the primary still answers), and tests that the replica can be read and written.
3. **approve** waits for a second person, where the policy asks for one.
4. **switch** changes the parameter and restarts the services; **wait_for_services** looks at them
   until each is stable, without holding a worker.
5. **test_access** works with the bucket as the application does, and asks the application.
6. **reverse_replication** lets the replica replicate to the primary, where the policy names a role.

The way back is `document_failback`. Where the policy has a watch, `document_failover_watch` starts
this by itself after failed health checks; the policy's word then stands for the second person's.
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
    with DAG(**failover_dag_arguments(policy, "failover", __doc__), params=failover_form()):
        carry_out_failover(policy, failover, "failover")
