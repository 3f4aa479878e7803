"""What a comparison finds: each difference, and the counts that sum them up.

Counts are kept of everything; of differences only a few are kept as examples, since there may be
as many as there are versions. All of them go, line by line, into an object beside the evidence.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

Kind = Literal[
    "missing",
    "different",
    "extra",
    "marker_missing",
    "marker_extra",
    "order",
    "other_id",
    "unclear",
]
"""The ways in which a replica can differ, of one version (order: of a key)."""

KINDS: tuple[Kind, ...] = get_args(Kind)
WORDS: dict[Kind, str] = {
    "missing": "versions are missing in the replica",
    "different": "versions have another content in the replica",
    "extra": "versions exist in the replica only",
    "marker_missing": "delete markers are missing in the replica",
    "marker_extra": "delete markers exist in the replica only",
    "order": "keys have their versions in another order in the replica",
    "other_id": "versions have another id in the replica",
    "unclear": "versions could not be compared: neither checksums nor contents could be read",
}
FAULTS: tuple[Kind, ...] = (
    "missing",
    "different",
    "marker_missing",
    "marker_extra",
    "order",
    "unclear",
)
"""With one of these the replica is not what it must be. What it has besides harms nothing."""

REPAIRABLE: tuple[Kind, ...] = ("missing", "different", "marker_missing", "order")
"""What copying puts right; nothing is ever removed from a replica."""

EXAMPLES = 5
_LONGEST_KEY = 160


@dataclass(frozen=True, slots=True)
class Difference:
    """One version of which the two sides tell something else."""

    kind: Kind
    key: str
    version_id: str
    """In the bucket, or in the replica for what only that has."""
    size: int
    modified_at: datetime
    replica_version_id: str = ""
    how: str = "listing"
    """What told the difference: listing, etag, size, checksum …"""

    def line(self) -> bytes:
        """One line of JSON."""
        plain = asdict(self) | {"modified_at": self.modified_at.isoformat()}
        return json.dumps(plain, sort_keys=True, ensure_ascii=True).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Difference":
        """Read what `line` wrote."""
        plain = json.loads(line)
        return cls(**plain | {"modified_at": datetime.fromisoformat(plain["modified_at"])})

    @property
    def words(self) -> str:
        """Key and version, for people; a long key is cut."""
        key = self.key if len(self.key) <= _LONGEST_KEY else f"{self.key[:_LONGEST_KEY]}…"
        return f"{key} ({self.version_id})"


@dataclass(frozen=True, slots=True)
class KeyDifferences:
    """What differs in one key."""

    key: str
    found: tuple[Difference, ...]
    unclear: bool = False
    """Contents of the same size whose ETags cannot be compared are among them."""


@dataclass
class Tally:
    """How much was compared, how, and with which result."""

    source_versions: int = 0
    replica_versions: int = 0
    same: int = 0
    young: int = 0
    """Not expected on the other side yet."""
    expired: int = 0
    """Not expected in the replica any more."""
    missing_bytes: int = 0
    looked_again: int = 0
    """Keys with differences that were listed once more."""
    settled: int = 0
    """Of those, keys that did not differ any more."""
    counts: dict[str, int] = field(default_factory=dict)
    """Kind of difference → how many."""
    how: dict[str, int] = field(default_factory=dict)
    """How contents were compared → of how many versions."""
    examples: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """Differences because of which the replica is not what it must be."""
        return sum(self.counts.get(kind, 0) for kind in FAULTS)

    @property
    def repairable(self) -> int:
        """Differences that copying can put right."""
        return sum(self.counts.get(kind, 0) for kind in REPAIRABLE)

    def note(self, difference: Difference) -> None:
        """Count a difference."""
        kind = difference.kind
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == "missing":
            self.missing_bytes += difference.size
        if self.counts[kind] <= EXAMPLES:
            self.examples.append(f"{kind}: {difference.words}")

    def compared(self, how: str, count: int = 1) -> None:
        """Count versions whose content was compared."""
        self.how[how] = self.how.get(how, 0) + count

    def add(self, other: "Tally") -> None:
        """Take another's counts on top of these."""
        for name in _FIGURES:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, its in ((self.counts, other.counts), (self.how, other.how)):
            for name, count in its.items():
                mine[name] = mine.get(name, 0) + count
        for kind in KINDS:
            room = EXAMPLES - sum(1 for text in self.examples if text.startswith(f"{kind}: "))
            more = [text for text in other.examples if text.startswith(f"{kind}: ")]
            self.examples += more[: max(0, room)]

    def to_plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Tally":
        """Read what `to_plain` gave."""
        return cls(**plain)


_FIGURES = (
    "source_versions",
    "replica_versions",
    "same",
    "young",
    "expired",
    "missing_bytes",
    "looked_again",
    "settled",
)
