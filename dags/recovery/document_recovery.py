"""# Recovery of documents

Brings documents back in their own bucket: one, a list, or all below a prefix; to a version, to
what was there at a moment, or out of a deletion. Nothing is ever removed: each document gets a
**new version**, and what is replaced stays as an older one. What came later gets a delete marker,
and only when that is asked for.

1. **Trigger** it and fill in the form. A time needs its offset from UTC, such as `+00:00`.
2. **plan** decides about every key, touches nothing, and shows conflicts first: documents that
   somebody has written to since the damage ended. They are left alone unless the form says
   otherwise.
3. **approve** waits for a second person under *Required Actions*, where the policy asks for one.
   What is approved is every line of the plan, by its SHA-256.
4. **thaw** asks for what lies in cold storage, and **wait_for_thaw** waits for it, up to two days,
   without holding a worker.
5. **recover** copies; what was written after the plan was made is left alone, too.
6. **report** proves every copy and names every key with what came of it.

If **recover** fails or is killed, it goes on where it was: clear it. No document is copied twice.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.document_recovery_form import document_recovery_form
from ledgerkeep.operators.document_recovery_steps import (
    carry_out,
    document_recovery_arguments,
)
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    recovery = policy.documents.recovery if policy.documents else None
    if recovery is None:
        continue
    with DAG(**document_recovery_arguments(policy, __doc__), params=document_recovery_form()):
        carry_out(policy, recovery)
