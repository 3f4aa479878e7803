"""What a month of storage costs, and what it would cost with other transitions: pure arithmetic.

A month has 30 days and a GB 2^30 bytes, as AWS bills. A lifecycle is priced as if it had always
been in force: each version that was replaced or deleted lies in the class that its age gives it,
and to what it costs there come the moves of the last 30 days and what those are billed for who
left a class before its minimum. Two lifecycles priced so can be compared; what it costs to get
from the one to the other is told beside, since it is paid once.

Objects below 128 KiB stay where they are: S3 moves none of them unless a rule says otherwise.
(AWS: S3 User Guide, Transitioning objects; S3 pricing.)
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledgerkeep.policy.document_protection import ClassPrice, StorageClass, Transition

GIB = 1 << 30
KIB = 1 << 10
MONTH = 30
"""Days."""
SMALLEST_MOVED = 128 * KIB
"""Bytes; AWS's default for rules made since September 2024."""

Prices = Mapping[StorageClass, ClassPrice]


def usd_per_month(size: int, storage_class: StorageClass, prices: Prices) -> float:
    """What one object of `size` bytes costs in a month in a class."""
    price = prices[storage_class]
    billed = max(size, price.minimum_kib * KIB) + price.overhead_kib * KIB
    usd = billed / GIB * price.usd_per_gb_month
    if price.standard_overhead_kib:
        index = price.standard_overhead_kib * KIB / GIB
        usd += index * prices["STANDARD"].usd_per_gb_month
    return usd


@dataclass
class Scenario:
    """One lifecycle of old versions, and what it costs; `add` every one of them."""

    steps: Sequence[Transition]
    """By age, the youngest first."""
    prices: Prices
    expire_days: int | None = None
    storage_usd: float = 0.0
    """Of one month."""
    moves_usd: float = 0.0
    """Of the transitions of the last 30 days."""
    early_usd: float = 0.0
    """What those are billed for that left a class before its minimum, in the last 30 days."""
    versions_to_move: int = 0
    """Versions that lie in another class than this lifecycle gives them."""
    at_once_usd: float = 0.0
    """For moving those, once."""

    @property
    def usd(self) -> float:
        """A month under this lifecycle."""
        return self.storage_usd + self.moves_usd + self.early_usd

    @property
    def words(self) -> str:
        """The lifecycle, for people."""
        told = (f"{step.storage_class} after {step.after.days} d" for step in self.steps)
        return " and ".join(told) or "no transition"

    def __post_init__(self) -> None:
        # A million versions are priced, each several times: days are told once.
        self._days = [step.after.days for step in self.steps]

    def add(self, size: int, age_days: int, present: str) -> None:
        """Price one version that was replaced or deleted `age_days` whole days ago.

        :param present: the class that it lies in.
        """
        if self.expire_days is not None and age_days >= self.expire_days:
            return
        reached = bisect_right(self._days, age_days) if size >= SMALLEST_MOVED else 0
        place = self.steps[reached - 1].storage_class if reached else "STANDARD"
        self.storage_usd += usd_per_month(size, place, self.prices)
        if place != present:
            self.versions_to_move += 1
            self.at_once_usd += self._move_usd(place)
        for number in range(reached):
            if age_days < self._days[number] + MONTH:
                self._add_move(size, number)

    def _add_move(self, size: int, number: int) -> None:
        """A move of the last 30 days, and what it costs to have left the class before too early."""
        step = self.steps[number]
        self.moves_usd += self._move_usd(step.storage_class)
        if number:
            self.early_usd += self._early_usd(size, self.steps[number - 1], step)

    def _move_usd(self, into: StorageClass) -> float:
        return self.prices[into].usd_per_1000_transitions / 1000

    def _early_usd(self, size: int, left: Transition, entered: Transition) -> float:
        stayed = (entered.after - left.after).days
        missing = max(0, self.prices[left.storage_class].minimum_days - stayed)
        return missing / MONTH * usd_per_month(size, left.storage_class, self.prices)
