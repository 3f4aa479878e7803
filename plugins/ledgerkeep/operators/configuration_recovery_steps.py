"""The steps of a recovery of configuration.

plan >> [approve] >> apply >> verify >> verdict
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.approval import CHANGES, ApproveChangesOperator
from ledgerkeep.operators.configuration_recovery import (
    READABLE,
    ApplyConfigurationOperator,
    PlanConfigurationOperator,
    VerifyConfigurationOperator,
)
from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.verdict import VerdictOperator

if TYPE_CHECKING:
    from ledgerkeep.policy.configuration import ConfigurationRecovery
    from ledgerkeep.policy.model import Policy

_AT_ONCE = 8
_BODY = f"""\
{{{{ ti.xcom_pull(task_ids='plan', key='{READABLE}') }}}}

**Approve** only if you did not ask for it yourself: that would be refused.
"""


def configuration_recovery_arguments(policy: Policy, doc: str | None) -> dict[str, Any]:
    """Arguments of the DAG: on demand, and never waiting for another recovery."""
    arguments = dag_arguments(
        policy,
        "configuration_recovery",
        component="configuration",
        kind="recovery",
        schedule=None,
        doc=doc,
    )
    return {**arguments, "max_active_runs": _AT_ONCE, "allowed_run_types": ["manual"]}


def carry_out(policy: Policy, recovery: ConfigurationRecovery) -> None:
    """Add the tasks, up to the verdict."""
    environment = {"environment": policy.environment}
    plan = PlanConfigurationOperator(task_id="plan", **environment)
    planned = {**environment, "plan": plan.output}
    approve = None
    if recovery.approval:
        approve = ApproveChangesOperator(
            task_id="approve",
            changes=plan.output[CHANGES],
            approvers=recovery.approvers,
            response_timeout=recovery.response_timeout,
            subject=f"Recover configuration of {policy.environment}? {{{{ dag_run.run_id }}}}",
            body=_BODY,
            **environment,
        )
    apply = ApplyConfigurationOperator(
        task_id="apply",
        approval=approve.output if approve else None,
        approval_required=recovery.approval,
        **planned,
    )
    verify = VerifyConfigurationOperator(task_id="verify", **planned)
    verdict = VerdictOperator(task_id="verdict", kind="recovery", **environment)
    plan >> apply >> verify >> verdict
    if approve is not None:
        plan >> approve >> apply
