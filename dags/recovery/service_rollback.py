"""# Rollback of services

Lets services run what they ran before: one, several or all, back to a revision of their task
definition, to a stored version of the configuration, or to what ran at a time. Only what they run
is changed; how many tasks there are, and how they are reached, stays.

1. **Trigger** it and say back to what: `backend:12`, `12`, `newest`, a version's id, or a time with
   its offset from UTC, such as `2026-03-01T14:30:00+00:00`.
2. **plan** shows for each service from which revision to which, and what that changes, variable by
   variable, secrets masked. It touches nothing.
3. **approve** waits for a second person under *Required Actions*, where the policy asks for one.
4. **roll_back** deploys. A revision that was retired is registered anew with the same content. It
   refuses if somebody has deployed something else since the plan was made.
5. **wait_for_services** looks until every service is stable, without holding a worker.
6. **go_back** does nothing if they are. If one is not within the policy's time, **all** services of
   the run go back to what they ran before; **wait_for_return** waits for that, and the run fails,
   saying why.

If **roll_back** is killed, clear it: nothing is deployed twice.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.service_rollback_steps import (
    carry_out_rollback,
    service_rollback_arguments,
    service_rollback_form,
)
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    configuration = policy.configuration
    services = configuration.sources.services if configuration else None
    if configuration is None or configuration.rollback is None or services is None:
        continue
    with DAG(**service_rollback_arguments(policy, __doc__), params=service_rollback_form()):
        carry_out_rollback(policy, configuration.rollback, services)
