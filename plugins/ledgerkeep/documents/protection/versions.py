"""One pass over every version: how many there are, what they cost, and which are the newest.

The listing tells a key's versions newest first, so a version was replaced or deleted when the one
before it in the listing was written; nothing but that moment and a few sums is remembered, and
memory does not grow with the bucket.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ledgerkeep.documents.protection.costs import GIB, Prices, Scenario, usd_per_month
from ledgerkeep.policy.document_protection import ClassPrice, DocumentProtection
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.storage.versions import ObjectVersion

_TOLD_EVERY = 1_000


@dataclass
class Count:
    """Versions of one storage class."""

    versions: int = 0
    size: int = 0
    """Bytes, as stored."""
    usd: float = 0.0
    """Per month; 0 where the policy has no price."""

    def add(self, size: int, usd: float) -> None:
        """Count one."""
        self.versions += 1
        self.size += size
        self.usd += usd


@dataclass
class Tally:
    """What one pass came to."""

    current: dict[str, Count] = field(default_factory=dict)
    old: dict[str, Count] = field(default_factory=dict)
    """Replaced or deleted."""
    counted: dict[str, Count] = field(default_factory=dict)
    """Current and old together, where the store counted them."""
    delete_markers: int = 0
    unpriced: set[str] = field(default_factory=set)
    """Classes that the policy has no price of."""
    newest: list[ObjectVersion] = field(default_factory=list)
    """The newest first; delete markers too."""
    present: Scenario | None = None
    """The policy's own lifecycle, priced like its alternatives."""
    alternatives: list[Scenario] = field(default_factory=list)

    @property
    def counts(self) -> list[tuple[str, str, Count]]:
        """(current, old or counted; class; count)."""
        return [
            (kind, name, counts[name]) for kind, counts in self._kinds for name in sorted(counts)
        ]

    @property
    def _kinds(self) -> list[tuple[str, dict[str, Count]]]:
        return [("current", self.current), ("old", self.old), ("counted", self.counted)]

    @property
    def usd(self) -> float:
        """What a month of all that is stored costs."""
        return sum(count.usd for _, _, count in self.counts)


def tally_versions(
    versions: Iterable[ObjectVersion],
    protection: DocumentProtection,
    *,
    now: datetime,
    progress: Progress = no_progress,
) -> Tally:
    """Count and price every version of a listing, in the listing's own order."""
    pass_ = _Pass(protection, now)
    for number, version in enumerate(versions, 1):
        pass_.take(version)
        if number % _TOLD_EVERY == 0:
            progress(pass_.size, None, f"versions: {number}")
    return pass_.finish()


class _Pass:
    def __init__(self, protection: DocumentProtection, now: datetime) -> None:
        costs, lifecycle = protection.costs, protection.lifecycle
        self._now = now
        self._sample = protection.sample
        self._prices: Prices = costs.prices if costs else {}
        self._tally = Tally()
        self._newest: list[tuple[datetime, int, ObjectVersion]] = []
        self._number = 0
        self._key = ""
        self._replaced_at = now
        self.size = 0
        expiry = lifecycle.expire_after.days if lifecycle and lifecycle.expire_after else None
        if costs and costs.alternatives:
            own = lifecycle.transitions if lifecycle else []
            self._tally.present = Scenario(own, costs.prices, expiry)
            self._tally.alternatives = [
                Scenario(steps, costs.prices, expiry) for steps in costs.alternatives
            ]
        present = [self._tally.present] if self._tally.present else []
        self._scenarios = [*present, *self._tally.alternatives]

    def take(self, version: ObjectVersion) -> None:
        self._note_newest(version)
        if version.key != self._key:
            self._key, self._replaced_at = version.key, self._now
        if version.is_delete_marker:
            self._tally.delete_markers += 1
        else:
            self._count(version)
        self._replaced_at = version.modified_at

    def _count(self, version: ObjectVersion) -> None:
        name = version.storage_class
        counts = self._tally.current if version.is_latest else self._tally.old
        counts.setdefault(name, Count()).add(version.size, self._usd(version))
        self.size += version.size
        if not version.is_latest:
            age = (self._now - self._replaced_at).days
            for scenario in self._scenarios:
                scenario.add(version.size, age, name)

    def _usd(self, version: ObjectVersion) -> float:
        name = version.storage_class
        if name not in self._prices:
            self._tally.unpriced.add(name)
            return 0.0
        return usd_per_month(version.size, name, self._prices)  # type: ignore[arg-type]

    def _note_newest(self, version: ObjectVersion) -> None:
        # Among versions of one second the first in the listing is the newer one of its key.
        self._number -= 1
        entry = (version.modified_at, self._number, version)
        if len(self._newest) < self._sample:
            heapq.heappush(self._newest, entry)
        elif entry[:2] > self._newest[0][:2]:
            heapq.heapreplace(self._newest, entry)

    def finish(self) -> Tally:
        self._tally.newest = [version for _, _, version in sorted(self._newest, reverse=True)]
        return self._tally


def counted_by_the_store(sizes: Mapping[str, int], prices: Prices) -> Tally:
    """Bytes by class as the store itself counts them, current and old together.

    Minimum sizes cannot be told from sums, so the cost is the least that it can be.
    """
    tally = Tally()
    priced: Mapping[str, ClassPrice] = {str(name): price for name, price in prices.items()}
    for name, size in sizes.items():
        price = priced.get(name)
        if price is None:
            tally.unpriced.add(name)
        usd = size / GIB * price.usd_per_gb_month if price else 0.0
        tally.counted[name] = Count(size=size, usd=usd)
    return tally
