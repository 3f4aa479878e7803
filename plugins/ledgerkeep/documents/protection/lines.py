"""One line per property: what the policy expects against what was found.

A property that the store does not have is never fulfilled, and neither is one that it does not tell
us: the first is said as not applicable, the second is a finding of its own, since a check that
cannot see is not a check that found nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ledgerkeep.documents.protection.settings import Absent, Settings, Untold
from ledgerkeep.documents.protection.store import Property

Severity = Literal["info", "warning", "critical"]
Verdict = Literal["fulfilled", "drift", "not applicable", "not told"]


@dataclass(frozen=True)
class Line:
    """One property of one bucket."""

    bucket: str
    setting: Property
    """What it belongs to, and what a repair would set."""
    name: str
    expected: str
    found: str
    verdict: Verdict
    severity: Severity
    """Of the finding, where it is one."""

    @property
    def words(self) -> str:
        """For people and for the evidence."""
        subject = f"s3://{self.bucket}: {self.name}"
        if self.verdict == "not applicable":
            return f"{subject}: not applicable here: {self.found} (expected {self.expected})"
        return f"{subject}: expected {self.expected}, found {self.found}"

    @property
    def is_grave(self) -> bool:
        """Whether it fails a run."""
        return self.verdict in ("drift", "not told") and self.severity == "critical"


class Lines:
    """Gathers the lines of one property."""

    def __init__(self, settings: Settings, property_name: Property) -> None:
        self._settings = settings
        self._property = property_name
        self.found: list[Line] = []

    @property
    def plain(self) -> Mapping[str, Any]:
        """What the property is set to; empty where it is not set."""
        value = self._settings.of(self._property)
        return {} if isinstance(value, Absent | Untold) else value

    def hold(
        self, name: str, expected: str, found: str, *, ok: bool, severity: Severity = "critical"
    ) -> None:
        """Add what was expected and found."""
        verdict: Verdict = "fulfilled" if ok else "drift"
        self._add(name, expected, found, verdict, "info" if ok else severity)

    def skip(self, name: str, expected: str, why: str) -> None:
        """Add what cannot be here."""
        self._add(name, expected, why, "not applicable", "info")

    def unseen(self, name: str, expected: str) -> bool:
        """Add a line and return True if the property is not there to be seen."""
        value, store = self._settings.of(self._property), self._settings.store
        if isinstance(value, Absent):
            self.skip(name, expected, f"{value.store} has none")
            return True
        if not isinstance(value, Untold):
            return False
        if self._property in store.guarded:
            found = f"nothing: {store.name} tells it to administrators only"
            self._add(name, expected, found, "not told", "warning")
        else:
            found = f"nothing: reading it was denied, which takes {value.permission}"
            self._add(name, expected, found, "not told", "critical")
        return True

    def _add(
        self, name: str, expected: str, found: str, verdict: Verdict, severity: Severity
    ) -> None:
        self.found.append(
            Line(self._settings.bucket, self._property, name, expected, found, verdict, severity)
        )
