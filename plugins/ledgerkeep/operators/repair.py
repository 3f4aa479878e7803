"""The approval of a repair that a check offers: asked for only when there is something to repair.

A check that was not asked to repair, or found nothing to put right, has nobody to wait for; its
approval passes at once and approves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.approval import ApproveOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

TO_REPAIR = "to_repair"
"""XCom key under which a check leaves how many changes its repair would make.

A key of its own: an element of what a task returned cannot be picked by `XComArg`.
"""


class ApproveRepairOperator(ApproveOperator):
    """Ask a second person if there is something to repair.

    Returns what `ApproveOperator` does, or nothing where nobody had to be asked.

    :param to_repair: how many changes the repair would make; 0: nobody is asked (templated)
    """

    template_fields: Sequence[str] = (*ApproveOperator.template_fields, "to_repair")

    def __init__(self, *, to_repair: Any, **kwargs: Any) -> None:
        super().__init__(change="repair", **kwargs)
        self.to_repair = to_repair

    def execute(self, context: Context) -> Any:
        """Ask, or pass."""
        if not int(self.to_repair):
            self.log.info("there is nothing to approve")
            return {}
        return super().execute(context)
