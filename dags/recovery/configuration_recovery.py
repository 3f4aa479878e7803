"""# Recovery of configuration

Puts back what was set: one source at a time, all of it or some names, to a stored version. What
was made since the version was stored is left alone, unless the form says to delete it.

1. **Trigger** it and fill in the form. **newest** is the last stored version; a time needs its
   offset from UTC, such as `+00:00`.
2. **plan** compares the version with what is live, touches nothing, and shows every value that
   would change, secrets masked. A version that was changed since it was stored, or is of another
   account, is refused here.
3. **approve** waits for a second person under *Required Actions*, where the policy asks for one.
   What is approved is every value of the plan, by its SHA-256.
4. **apply** makes the changes one after the other, what others refer to first. It refuses if
   somebody has changed the same things since the plan was made.
5. **verify** reads everything back, compares again, and asks the service whether it is well.

If **apply** fails, its message says which changes are made and which are not, and why; the others
went on. Remove the cause and clear the task: it goes on with what is missing. Nothing is done
twice.
"""

from airflow.sdk import DAG

from ledgerkeep.configuration.registry import source_titles
from ledgerkeep.operators.configuration_recovery_form import configuration_recovery_form
from ledgerkeep.operators.configuration_recovery_steps import (
    carry_out,
    configuration_recovery_arguments,
)
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    recovery = policy.configuration.recovery if policy.configuration else None
    sources = source_titles(policy)
    if recovery is None or not sources:
        continue
    with DAG(
        **configuration_recovery_arguments(policy, __doc__),
        params=configuration_recovery_form(sources),
    ):
        carry_out(policy, recovery)
