"""What one part of a verification comes to: findings, figures, and lines for its log.

Findings end in the run's evidence and on a page, so there is a bound to how many are named one by
one; how many there are in all is always said.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ledgerkeep.evidence.collect import ContributedFinding
from ledgerkeep.evidence.records import Severity

_NAMED = 20
"""Findings of one severity that a part names one by one."""


@dataclass
class Part:
    """The result of one part."""

    findings: list[ContributedFinding] = field(default_factory=list)
    measurements: dict[str, float] = field(default_factory=dict)
    recovery_point_ids: list[str] = field(default_factory=list)

    def find(self, severity: Severity, what: str) -> None:
        """Add a finding."""
        self.findings.append(ContributedFinding(what=what, severity=severity))

    def find_all(self, severity: Severity, found: Iterable[str], what: str) -> None:
        """Add many findings of one kind, the first of them by name.

        :param what: what the others are, e.g. `damaged or missing objects`.
        """
        told = list(found)
        for one in told[:_NAMED]:
            self.find(severity, one)
        if len(told) > _NAMED:
            self.find(severity, f"and {len(told) - _NAMED} more {what}")

    def join(self, other: "Part") -> None:
        """Add what was found about another cluster; figures of the same name add up."""
        self.findings += other.findings
        self.recovery_point_ids += other.recovery_point_ids
        for name, value in other.measurements.items():
            self.measurements[name] = self.measurements.get(name, 0) + value

    @property
    def grave(self) -> list[str]:
        """What fails the run."""
        return [one.what for one in self.findings if one.severity == "critical"]
