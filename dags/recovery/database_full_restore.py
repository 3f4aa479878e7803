"""# Full restore

Restores the whole database from one recovery point, the latest proven one by default, as a **copy
in a directory of its own**. The running database, if there still is one, is not touched: switching
the application over is a person's step, and the runbook that the run writes has every command for
it.

1. **Trigger** it and fill in the form. Choose whether everything that is stored after the backup is
   replayed, so that the least is lost, or the copy shall be exactly the backup.
2. **plan** and **prepare_room** refuse what cannot succeed, before anything is written.
3. **approve** waits for a second person under *Required Actions*, where the policy asks for one.
   Nobody can approve a recovery of their own. No answer is a no.
4. **restore**, **validate** and **check_application** show bytes, WAL position and the time left
   in their logs.
5. **runbook** shows what to do next, command by command; it lies beside the copy, too.

If a task fails after the restore, the copy is kept. Clear that task to try it again; clearing
*restore* starts over. To take over a copy that failed a check all the same, mark that task as
success and clear the tasks after it: the evidence keeps what did not hold, and Airflow's audit log
who decided so. A copy that was handed over is never touched again by any task.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.recovery import PlanFullRestoreOperator
from ledgerkeep.operators.recovery_form import full_restore_form
from ledgerkeep.operators.recovery_steps import carry_out, recovery_dag_arguments
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    recovery = policy.database.recovery
    if recovery is None:
        continue
    with DAG(
        **recovery_dag_arguments(policy, "database_full_restore", __doc__),
        params=full_restore_form(),
    ):
        plan = PlanFullRestoreOperator(task_id="plan", environment=policy.environment)
        carry_out(plan, policy, recovery)
