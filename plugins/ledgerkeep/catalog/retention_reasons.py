"""Reasons to stay, collected rule by rule: whatever has none in the end may go."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something stays, or goes."""

    rule: str
    """A few words that are the same for all that the rule applies to, to be counted by."""
    words: str


@dataclass
class Keeping:
    """What stays, by id, with every reason in the order of the rules."""

    backups: dict[str, list[Reason]] = field(default_factory=dict)
    stretches: dict[str, list[Reason]] = field(default_factory=dict)
    fingerprints: dict[str, list[Reason]] = field(default_factory=dict)

    def backup(self, backup_id: str, reason: Reason) -> None:
        """A backup stays."""
        _add(self.backups, backup_id, reason)

    def stretch(self, stretch_id: str, reason: Reason) -> None:
        """A stretch of WAL stays."""
        _add(self.stretches, stretch_id, reason)

    def fingerprint(self, fingerprint_id: str, reason: Reason) -> None:
        """A fingerprint stays."""
        _add(self.fingerprints, fingerprint_id, reason)


def _add(found: dict[str, list[Reason]], name: str, reason: Reason) -> None:
    reasons = found.setdefault(name, [])
    if reason not in reasons:
        reasons.append(reason)
