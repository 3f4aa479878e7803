"""Operators of the backup verification: four parts, each a task that hides none of the others.

What a part finds goes into the run's evidence with its severity. What is critical fails the task,
and with it the run; everything else leaves it green, with its findings.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.evidence.verification.part import Part

_SAID = {"info": "info", "warning": "warning", "critical": "error"}


class VerificationOperator(LedgerkeepOperator):
    """Base of the parts: carries one out, leaves its findings, fails if one is critical.

    Returns the number of its findings by severity.
    """

    def execute(self, context: Context) -> dict[str, int]:
        """Verify."""
        with self.ending_well(context):
            part = self.verify(run_name(context))
        counts: dict[str, int] = {}
        for finding in part.findings:
            counts[finding.severity] = counts.get(finding.severity, 0) + 1
            getattr(self.log, _SAID[finding.severity])("%s", finding.what)
        self.contribute(
            context,
            recovery_point_ids=part.recovery_point_ids,
            measurements=part.measurements,
            findings=[finding.model_dump(mode="json") for finding in part.findings],
        )
        if part.grave:
            listed = "\n".join(f"- {one}" for one in part.grave)
            raise AirflowFailException(
                f"the verification found what makes a recovery doubtful:\n{listed}\n"
                "Hint: see to the first of them; the next verification looks at all of it again"
            )
        return counts

    @abstractmethod
    def verify(self, run: str) -> Part:
        """Carry the part out.

        :param run: the run as proofs name it
        """


class CheckCompletenessOperator(VerificationOperator):
    """Hold what was made against the policy's schedules: nothing is missing, nothing came late."""

    def verify(self, run: str) -> Part:
        """Compare."""
        from ledgerkeep.evidence.verification.verify import verify_completeness
        from ledgerkeep.model import utc_now

        return verify_completeness(self.catalog, run=run, now=utc_now())


class RereadBackupsOperator(VerificationOperator):
    """Read today's share of the stored objects back, those that were read longest ago first."""

    def verify(self, run: str) -> Part:
        """Read."""
        from ledgerkeep.evidence.verification.verify import verify_readability

        return verify_readability(self.catalog, run=run, progress=self.progress())


class CheckWalContinuityOperator(VerificationOperator):
    """Follow the stored WAL through the window that the policy keeps."""

    def verify(self, run: str) -> Part:
        """Follow it."""
        from ledgerkeep.evidence.verification.verify import verify_continuity
        from ledgerkeep.model import utc_now

        return verify_continuity(self.catalog, now=utc_now())


class CheckSizeTrendOperator(VerificationOperator):
    """Hold the sizes of backups and WAL against those before."""

    def verify(self, run: str) -> Part:
        """Compare."""
        from ledgerkeep.evidence.verification.verify import verify_sizes
        from ledgerkeep.model import utc_now

        return verify_sizes(self.catalog, run=run, now=utc_now())
