"""One range of keys compared: the merge, a second look at what differs, and all of it in writing.

Two listings that run for minutes see a bucket at different moments: what is removed, overwritten or
replicated meanwhile looks like a difference. So each key that differs is listed once more on both
sides, alone, right after each other; only what still differs is a difference. The same look settles
contents whose ETags tell nothing (`contents`). Both looks cost a request or two per key, so both
are bounded; what the bounds left out is counted by what told it, `listing` or `size and id`. Only
contents of which nothing else is known are always looked at.

All differences go, as lines of JSON, into one object beside the evidence, which appears only when
it is whole. A check that is killed leaves nothing, and starts anew.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from ledgerkeep.documents.replica.contents import Contents
from ledgerkeep.documents.replica.differences import Difference, KeyDifferences, Tally
from ledgerkeep.documents.replica.history import compare_history
from ledgerkeep.documents.replica.merge import Step, merge, no_step
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.documents.replica.shards import Shard
from ledgerkeep.errors import ObjectMissing
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.port import ObjectStore, ObjectWriter, StoredObject
from ledgerkeep.storage.versions import ObjectVersion, list_versions

_BATCH = 256
_ROUNDS = 3
"""How often a key is listed again because a version of it was removed meanwhile."""

Sample = list[tuple[ObjectVersion, ObjectVersion]]


@dataclass(frozen=True)
class Bounds:
    """How much is looked at closely, per shard."""

    look_again: int
    """Keys with differences."""
    sample: int
    """Versions known by their id whose ETags tell nothing; drawn anew by each run."""
    read_bytes: int
    """Of each side, where only reading tells."""
    concurrency: int
    """Keys looked at at the same time."""


@dataclass(frozen=True)
class Pair:
    """A bucket and what shall be its replica."""

    source: Bucket
    replica: Bucket
    prefix: str = ""

    @property
    def names(self) -> tuple[str, str]:
        """For messages."""
        return self.source.location, self.replica.location


@dataclass
class Checked:
    """What the check of one shard found."""

    tally: Tally = field(default_factory=Tally)
    lines: StoredObject | None = None
    """The object with all differences; None: there are none."""

    def to_plain(self) -> dict[str, Any]:
        """As JSON."""
        lines = self.lines.model_dump(mode="json") if self.lines else None
        return {"tally": self.tally.to_plain(), "lines": lines}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Checked":
        """Read what `to_plain` gave."""
        lines = StoredObject.model_validate(plain["lines"]) if plain["lines"] else None
        return cls(Tally.from_plain(plain["tally"]), lines)


def check_shard(
    pair: Pair,
    shard: Shard,
    rules: Rules,
    bounds: Bounds,
    *,
    into: Callable[[], tuple[ObjectStore, str]],
    seed: str,
    step: Step = no_step,
) -> Checked:
    """Compare one range of keys by listing both sides.

    :param into: where the object with the differences is created; asked only if there are some.
    :param seed: of the sample; another seed draws another one.
    :raises StorageError:
    """

    def listing(bucket: Bucket) -> Iterator[ObjectVersion]:
        return list_versions(bucket, pair.prefix, after=shard.after, until=shard.until)

    streams = listing(pair.source), listing(pair.replica)
    return check_streams(
        pair, streams, rules, bounds, into=into, seed=f"{seed}/{shard.number}", step=step
    )


def check_streams(
    pair: Pair,
    streams: tuple[Iterable[ObjectVersion], Iterable[ObjectVersion]],
    rules: Rules,
    bounds: Bounds,
    *,
    into: Callable[[], tuple[ObjectStore, str]],
    seed: str,
    step: Step = no_step,
) -> Checked:
    """Compare what two streams of versions tell, such as those of two inventories.

    :raises StorageError:
    """
    checked = Checked()
    reservoir = _Reservoir(bounds.sample, seed)
    found = merge(*streams, rules, checked.tally, names=pair.names, doubt=reservoir.take, step=step)
    look = _SecondLook(pair, rules, bounds, reservoir)
    with _Lines(into) as lines:
        for difference in look.confirmed(found, checked.tally):
            checked.tally.note(difference)
            lines.write(difference)
        for difference in look.sampled(checked.tally):
            checked.tally.note(difference)
            lines.write(difference)
        checked.lines = lines.commit()
    return checked


class _Reservoir:
    """A sample of pairs, each equally likely to be in it, whatever their number."""

    def __init__(self, size: int, seed: str) -> None:
        self._size = size
        self._random = random.Random(seed)  # noqa: S311 - draws a sample, protects nothing
        self.seen = 0
        self.kept: Sample = []

    def take(self, one: ObjectVersion, other: ObjectVersion) -> None:
        self.seen += 1
        if len(self.kept) < self._size:
            self.kept.append((one, other))
        elif (place := self._random.randrange(self.seen)) < self._size:
            self.kept[place] = (one, other)


class _SecondLook:
    """Looks at keys and versions once more, several at a time."""

    def __init__(self, pair: Pair, rules: Rules, bounds: Bounds, reservoir: _Reservoir) -> None:
        self._pair = pair
        # What is listed now is listed in order, whatever the first look was at.
        self._rules = replace(rules, ordered=True)
        self._bounds = bounds
        self._reservoir = reservoir
        self._contents = Contents(pair.source, pair.replica, read_limit=bounds.read_bytes)

    def confirmed(self, found: Iterator[KeyDifferences], tally: Tally) -> Iterator[Difference]:
        """What still differs, and what the bound left as it was."""
        left = self._bounds.look_again
        with ThreadPoolExecutor(self._bounds.concurrency, "second look") as pool:
            while batch := list(islice(found, _BATCH)):
                again, rest = _split(batch, left)
                left -= sum(not one.unclear for one in again)
                for differences in pool.map(self._again, again):
                    tally.looked_again += 1
                    tally.settled += not differences
                    yield from differences
                for key in rest:
                    yield from key.found

    def sampled(self, tally: Tally) -> Iterator[Difference]:
        """Versions of the sample whose contents differ."""
        kept = self._reservoir.kept
        unseen = self._reservoir.seen - len(kept)
        if unseen:
            tally.compared("size and id", unseen)
        with ThreadPoolExecutor(self._bounds.concurrency, "sample") as pool:
            for (one, other), (same, how) in zip(
                kept, pool.map(lambda pair: self._same(*pair), kept), strict=True
            ):
                tally.compared(how)
                if not same:
                    tally.same -= 1
                    yield _of_pair(one, other, "unclear" if same is None else "different", how)

    def _same(self, one: ObjectVersion, other: ObjectVersion) -> tuple[bool | None, str]:
        try:
            return self._contents.same(one, other)
        except ObjectMissing:
            # Removed since it was listed, as a lifecycle may; the next check tells.
            return True, "removed meanwhile"

    def _again(self, first: KeyDifferences, rounds: int = _ROUNDS) -> list[Difference]:
        source = versions_of(self._pair.source, first.key)
        replica = versions_of(self._pair.replica, first.key)
        found = compare_history(source, replica, self._rules)
        how = "looked at again"
        if found.unclear:
            try:
                settled = self._contents.settle(source, replica)
            except ObjectMissing:
                # Removed since it was listed a moment ago.
                if rounds:
                    return self._again(first, rounds - 1)
                settled = None
            if settled is None:
                return [_unclear(first.key, source)]
            source, replica, how = settled
            found = compare_history(source, replica, replace(self._rules, plain_etags=True))
        return [replace(one, how=f"{one.how}, {how}") for one in found.differences()]


def versions_of(bucket: Bucket, key: str) -> list[ObjectVersion]:
    """All versions of one key, newest first.

    :raises StorageError:
    """
    return list(list_versions(bucket, key, until=key))


def _split(
    batch: list[KeyDifferences], left: int
) -> tuple[list[KeyDifferences], list[KeyDifferences]]:
    """Which keys are looked at again, and which are not any more.

    Those whose contents the ETags do not tell always are: without it nothing is known of them.
    """
    again, rest = list[KeyDifferences](), list[KeyDifferences]()
    for one in batch:
        (again if one.unclear or left > 0 else rest).append(one)
        left -= not one.unclear
    return again, rest


def _unclear(key: str, source: list[ObjectVersion]) -> Difference:
    newest = source[0]
    return Difference("unclear", key, newest.version_id, newest.size, newest.modified_at)


def _of_pair(one: ObjectVersion, other: ObjectVersion, kind: Any, how: str) -> Difference:
    return Difference(
        kind, one.key, one.version_id, one.size, one.modified_at, other.version_id, how
    )


class _Lines:
    """The object with the differences; it is begun with the first one."""

    def __init__(self, into: Callable[[], tuple[ObjectStore, str]]) -> None:
        self._into = into
        self._stack = ExitStack()
        self._writer: ObjectWriter | None = None

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *problem: Any) -> None:
        self._stack.__exit__(*problem)

    def write(self, difference: Difference) -> None:
        if self._writer is None:
            store, key = self._into()
            self._writer = self._stack.enter_context(
                store.writer(key, content_type="application/x-ndjson")
            )
        self._writer.write(difference.line())

    def commit(self) -> StoredObject | None:
        return None if self._writer is None else self._writer.commit()
