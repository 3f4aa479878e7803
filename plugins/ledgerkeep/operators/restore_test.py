"""The second half of every restore test: from a plan to the verdict, the same for each.

What is tested lies in how the plan is made. From then on a test prepares a room, restores, holds
the copy against the source, validates it, asks it what the application would, and removes it
whatever happened; the verdict is last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.application import CheckApplicationOperator
from ledgerkeep.operators.dags import optional_text
from ledgerkeep.operators.proof import ProveCopyOperator, ValidateCopyOperator
from ledgerkeep.operators.restore import (
    PlanRecoveryOperator,
    PrepareRoomOperator,
    RemoveRoomOperator,
    RestoreClusterOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator

if TYPE_CHECKING:
    from airflow.sdk import Param

    from ledgerkeep.policy.model import Policy


def fingerprint_param() -> dict[str, Param]:
    """The one thing a person may choose for a restore test."""
    return {
        "fingerprint": optional_text(
            title="Fingerprint",
            description="Id of a stored fingerprint to prove against, for when the source "
            "is gone. Empty: take a new one of the source.",
        )
    }


def carry_out(policy: Policy, plan: PlanRecoveryOperator, fingerprint_id: Any) -> None:
    """Add the tasks that follow a test's plan, in the DAG that is being built.

    :param fingerprint_id: what the copy is held against; None: nothing.
    """
    environment = policy.environment
    room = PrepareRoomOperator(task_id="prepare_room", environment=environment, plan=plan.output)
    restore = RestoreClusterOperator(task_id="restore", environment=environment, plan=plan.output)
    prove = ProveCopyOperator(
        task_id="prove",
        environment=environment,
        plan=plan.output,
        fingerprint_id=fingerprint_id,
    )
    validate = ValidateCopyOperator(
        task_id="validate",
        environment=environment,
        plan=plan.output,
        restored=restore.output,
        proven=prove.output,
    )
    check = CheckApplicationOperator(
        task_id="check_application", environment=environment, plan=plan.output
    )
    remove = RemoveRoomOperator(
        task_id="remove_room", environment=environment, plan=plan.output
    ).as_teardown(setups=room)
    verdict = VerdictOperator(task_id="verdict", environment=environment, kind="restore-test")
    plan >> room >> restore >> prove >> validate >> check >> remove >> verdict
