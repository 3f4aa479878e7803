"""# Point-in-time recovery

Restores the database to a moment, a WAL position, a transaction or a named restore point, as a
**copy in a directory of its own**. The running database is not touched: switching the application
over is a person's step, and the runbook that the run writes has every command for it.

1. **Trigger** it and fill in the form. A time needs its offset from UTC, such as `+00:00`.
2. **plan** refuses what cannot be reached, with the nearest targets that can. **prepare_room**
   looks for everything that would make it fail later.
3. **approve** waits for a second person under *Required Actions*, where the policy asks for one.
   Nobody can approve a recovery of their own. No answer is a no.
4. **restore**, **validate** and **check_application** show bytes, WAL position and the time left
   in their logs.
5. **check_documents**, where it was asked for, looks whether every document row of the copy has its
   object as of that moment, and writes down which version that is.
6. **runbook** shows what to do next, command by command; it lies beside the copy, too.

If a task fails after the restore, the copy is kept. Clear that task to try it again; clearing
*restore* starts over. To take over a copy that failed a check all the same, mark that task as
success and clear the tasks after it: the evidence keeps what did not hold, and Airflow's audit log
who decided so. A copy that was handed over is never touched again by any task.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.recovery import PlanPointInTimeOperator
from ledgerkeep.operators.recovery_form import point_in_time_form
from ledgerkeep.operators.recovery_steps import carry_out, recovery_dag_arguments
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    recovery = policy.database.recovery
    if recovery is None:
        continue
    with DAG(
        **recovery_dag_arguments(policy, "database_point_in_time_recovery", __doc__),
        params=point_in_time_form(),
    ):
        plan = PlanPointInTimeOperator(task_id="plan", environment=policy.environment)
        documents = policy.documents is not None and policy.documents.rows is not None
        carry_out(plan, policy, recovery, documents=documents)
