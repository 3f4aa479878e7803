"""What carries out a plan carries out only the one that was approved.

The approval is asked for once more where the change is made: a task that was marked as success by
hand has approved nothing, and a plan that was made anew is another plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledgerkeep.operators.base import LedgerkeepOperator


class ApprovedOperator(LedgerkeepOperator):
    """Base of the operators that carry out what a second person may have had to approve.

    :param approval: what the approving task returned; None: none is needed (templated)
    :param approval_required: whether the policy asks for one
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "approval")

    def __init__(self, *, approval: Any = None, approval_required: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approval = approval
        self.approval_required = approval_required

    def refuse_unapproved(self, plan_digest: str, change: str = "recovery") -> None:
        """Return when the plan is the one that was approved, or none has to be.

        :param change: what is approved, in one word.
        :raises RecoveryRejected:
        """
        from ledgerkeep.recovery.approval import require_approval

        if self.approval_required:
            require_approval(self.approval, plan_digest, change)
