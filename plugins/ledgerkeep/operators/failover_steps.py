"""The steps of a failover of the documents and of the way back, which differ in direction only.

plan >> [approve] >> switch >> wait_for_services >> test_access >> reverse_replication >> verdict
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from ledgerkeep.operators.document_failover import (
    READABLE,
    ApproveFailoverOperator,
    PlanFailoverOperator,
    ReverseReplicationOperator,
    SwitchBucketOperator,
    TestAccessOperator,
    WaitForServicesSensor,
)
from ledgerkeep.operators.document_watch import unhealthy_documents
from ledgerkeep.operators.recovery_steps import recovery_dag_arguments
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.recovery.form import SHORTEST_REASON

if TYPE_CHECKING:
    from ledgerkeep.documents.failover.plan import Direction
    from ledgerkeep.policy.documents import DocumentFailover
    from ledgerkeep.policy.model import Policy

_BODY = f"""\
{{{{ ti.xcom_pull(task_ids='plan', key='{READABLE}') }}}}

**Approve** only if you did not ask for it yourself: that would be refused.
"""


def failover_dag_arguments(policy: Policy, direction: Direction, doc: str | None) -> dict[str, Any]:
    """Arguments of the DAG: by hand, and where the policy has a watch, by its event too."""
    arguments = recovery_dag_arguments(policy, f"document_{direction}", doc, component="documents")
    watched = policy.documents and policy.documents.failover and policy.documents.failover.watch
    if direction == "failover" and watched:
        return {
            **arguments,
            "schedule": [unhealthy_documents(policy)],
            "allowed_run_types": ["manual", "asset_triggered"],
        }
    return arguments


def failover_form() -> dict[str, Param]:
    """The form of both."""
    return {
        # Not required by the schema: a run of the health watch fills in no form.
        "reason": Param(
            None,
            type=["null", "string"],
            minLength=SHORTEST_REASON,
            title="Reason",
            description="Why; with the incident's number. It is shown to whoever approves.",
        ),
        "rehearse": Param(
            False,
            type="boolean",
            title="Rehearse only",
            description="Plan, approval and access test for real; parameter and services stay.",
        ),
    }


def carry_out_failover(policy: Policy, failover: DocumentFailover, direction: Direction) -> None:
    """Add the tasks, up to the verdict."""
    common: dict[str, Any] = {"environment": policy.environment, "direction": direction}
    plan = PlanFailoverOperator(task_id="plan", **common)
    approve = None
    if failover.approval:
        approve = ApproveFailoverOperator(
            task_id="approve",
            environment=policy.environment,
            change=direction,
            approvers=failover.approvers,
            response_timeout=failover.response_timeout,
            subject=f"{direction.capitalize()} of the {policy.environment} documents? "
            "{{ dag_run.run_id }}",
            body=_BODY,
        )
    switch = SwitchBucketOperator(
        task_id="switch",
        plan=plan.output,
        approval=approve.output if approve else None,
        approval_required=failover.approval,
        **common,
    )
    wait = WaitForServicesSensor(
        task_id="wait_for_services",
        switched=switch.output,
        timeout=failover.restart_timeout,
        **common,
    )
    test = TestAccessOperator(task_id="test_access", **common)
    reverse = ReverseReplicationOperator(
        task_id="reverse_replication", switched=switch.output, **common
    )
    verdict = VerdictOperator(task_id="verdict", kind="recovery", environment=policy.environment)
    plan >> switch >> wait >> test >> reverse >> verdict
    if approve is not None:
        plan >> approve >> switch
