"""The form and the steps of a rollback of services.

plan >> [approve] >> roll_back >> wait_for_services >> go_back >> wait_for_return >> verdict
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from ledgerkeep.operators.approval import CHANGES, ApproveChangesOperator
from ledgerkeep.operators.dags import NAIVE_MOMENT, reason_param
from ledgerkeep.operators.recovery_steps import recovery_dag_arguments
from ledgerkeep.operators.service_rollback import (
    READABLE,
    GoBackOperator,
    PlanRollbackOperator,
    RollBackServicesOperator,
    WaitForReturnSensor,
    WaitForRollbackSensor,
)
from ledgerkeep.operators.verdict import VerdictOperator

if TYPE_CHECKING:
    from ledgerkeep.policy.configuration import ServiceRollback
    from ledgerkeep.policy.configuration_sources import Services
    from ledgerkeep.policy.model import Policy

_BODY = f"""\
{{{{ ti.xcom_pull(task_ids='plan', key='{READABLE}') }}}}

If the services do not become stable, all of them go back to what they run now.

**Approve** only if you did not ask for it yourself: that would be refused.
"""


def service_rollback_arguments(policy: Policy, doc: str | None) -> dict[str, Any]:
    """Arguments of the DAG: on demand, and never waiting for another rollback's approval."""
    return recovery_dag_arguments(policy, "service_rollback", doc, component="configuration")


def service_rollback_form() -> dict[str, Param]:
    """The form; it is read by `ledgerkeep.configuration.rollback.request`."""
    return {
        "version": Param(
            type="string",
            minLength=1,
            maxLength=300,
            title="Back to",
            description="A revision of a task definition, such as backend:12, or only its number, "
            "of each service's own family. Or newest: the last stored version of the services. Or "
            "a time, with its offset from UTC: what ran then. Or a stored version's id.",
            examples=["backend:12", "12", "newest", "2026-03-01T14:30:00+00:00"],
            **{"not": NAIVE_MOMENT},
        ),
        "services": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Services",
            description="Their names, one to a line. Empty: all that the policy names.",
        ),
        "scenario": Param(
            "accidental_deletion",
            type="string",
            enum=["accidental_deletion", "security_incident"],
            values_display={
                "accidental_deletion": "a deployment, or a change by mistake",
                "security_incident": "an intrusion, or malicious changes",
            },
            title="What happened",
            description="Decides which recovery objectives it is measured against.",
        ),
        "reason": reason_param(),
    }


def carry_out_rollback(policy: Policy, rollback: ServiceRollback, services: Services) -> None:
    """Add the tasks, up to the verdict."""
    environment = {"environment": policy.environment}
    looking: dict[str, Any] = {
        **environment,
        "poll": services.poll,
        "patience": services.stable_within,
    }
    plan = PlanRollbackOperator(task_id="plan", **environment)
    planned = {**environment, "plan": plan.output}
    approve = None
    if rollback.approval:
        approve = ApproveChangesOperator(
            task_id="approve",
            change="rollback",
            changes=plan.output[CHANGES],
            approvers=rollback.approvers,
            response_timeout=rollback.response_timeout,
            subject=f"Roll back services of {policy.environment}? {{{{ dag_run.run_id }}}}",
            body=_BODY,
            **environment,
        )
    roll_back = RollBackServicesOperator(
        task_id="roll_back",
        approval=approve.output if approve else None,
        approval_required=rollback.approval,
        **planned,
    )
    wait = WaitForRollbackSensor(task_id="wait_for_services", deployed=roll_back.output, **looking)
    go_back = GoBackOperator(task_id="go_back", outcome=wait.output, **planned)
    wait_again = WaitForReturnSensor(task_id="wait_for_return", gone_back=go_back.output, **looking)
    verdict = VerdictOperator(task_id="verdict", kind="recovery", **environment)
    plan >> roll_back >> wait >> go_back >> wait_again >> verdict
    if approve is not None:
        plan >> approve >> roll_back
