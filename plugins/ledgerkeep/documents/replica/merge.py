"""Two sorted streams of versions merged into what differs, in constant memory.

Both streams come in the store's order: keys ascending by their UTF-8 bytes, of one key the newest
version first. Versions that are the same on both sides are passed by one by one; only what is left
of a key after its first difference is gathered, and of a key with very many versions not even
that: there only what found no partner is held, and the order is not looked at.

A stream that is out of order would make every later version look missing, so it is refused.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import datetime
from itertools import islice

from ledgerkeep.documents.replica.differences import KeyDifferences, Tally
from ledgerkeep.documents.replica.history import Compared, compare_history
from ledgerkeep.documents.replica.rules import Rules, content
from ledgerkeep.errors import StorageError
from ledgerkeep.storage.versions import ObjectVersion

GATHERED = 10_000
"""Versions of one key, on each side, that are held after its first difference."""

_REPORTED_EVERY = 10_000

Doubt = Callable[[ObjectVersion, ObjectVersion], None]
Step = Callable[[int], None]


def no_doubt(one: ObjectVersion, other: ObjectVersion) -> None:
    """Leave a pair whose ETags tell nothing at its id and size."""


def no_step(versions: int) -> None:
    """Tell nobody how far the comparison is."""


def merge(
    source: Iterable[ObjectVersion],
    replica: Iterable[ObjectVersion],
    rules: Rules,
    tally: Tally,
    *,
    names: tuple[str, str] = ("the bucket", "the replica"),
    doubt: Doubt = no_doubt,
    step: Step = no_step,
) -> Iterator[KeyDifferences]:
    """The keys that differ, in their order; all counts but those of differences go to `tally`.

    :param names: of the two streams, for the message when one is out of order.
    :param doubt: gets each pair of the same id and size whose ETags do not tell its content.
    :param step: gets the number of versions of the bucket that are done, now and then.
    :raises StorageError: a stream is out of order; or the stream's own.
    """
    ours, theirs = _Side(source, names[0]), _Side(replica, names[1])
    reported = 0
    while ours.key is not None or theirs.key is not None:
        if theirs.key is None or (ours.key is not None and ours.key < theirs.key):
            yield from _alone(ours, rules, tally, of_replica=False)
        elif ours.key is None or theirs.key < ours.key:
            yield from _alone(theirs, rules, tally, of_replica=True)
        else:
            yield from _both(ours, theirs, rules, tally, doubt)
        if ours.passed - reported >= _REPORTED_EVERY:
            reported = ours.passed
            step(reported)
    tally.source_versions += ours.passed
    tally.replica_versions += theirs.passed


class _Side:
    """A stream with its next version in sight; sees to it that the keys ascend."""

    __slots__ = ("_name", "_stream", "head", "key", "passed")

    def __init__(self, stream: Iterable[ObjectVersion], name: str) -> None:
        self._stream = iter(stream)
        self._name = name
        self.passed = -1
        self.key: str | None = ""
        self.head: ObjectVersion | None = None
        self.advance()

    def advance(self) -> None:
        """Pass by the version in sight."""
        self.passed += 1
        head = self.head = next(self._stream, None)
        if head is None:
            self.key = None
        elif head.key != self.key:
            # Code points sort like their UTF-8 bytes.
            if self.key is None or head.key < self.key:
                raise self._out_of_order(head)
            self.key = head.key

    def of_key(self, key: str | None) -> Iterator[ObjectVersion]:
        """The versions of a key that are still to come, if it is the one in sight."""
        while (head := self.head) is not None and self.key == key:
            self.advance()
            yield head

    def _out_of_order(self, head: ObjectVersion) -> StorageError:
        return StorageError(
            f"the listing of {self._name} is out of order: {head.key!r} came after {self.key!r}",
            hint="nothing was compared or copied from here on; a store that lists keys in "
            "another order than that of their bytes cannot be compared",
        )


def _alone(
    side: _Side, rules: Rules, tally: Tally, *, of_replica: bool
) -> Iterator[KeyDifferences]:
    """A key that only one side has."""
    versions, replaced_at = side.of_key(side.key), None
    while part := list(islice(versions, GATHERED)):
        two = ([], part) if of_replica else (part, [])
        found = compare_history(*two, rules, replaced_at=replaced_at)
        replaced_at = part[-1].modified_at
        yield from _noted(part[0].key, found, tally)


def _both(
    ours: _Side, theirs: _Side, rules: Rules, tally: Tally, doubt: Doubt
) -> Iterator[KeyDifferences]:
    """A key that both sides have."""
    key = ours.key or ""
    replaced_at = _pass_what_is_the_same(ours, theirs, rules, tally, doubt)
    if ours.key != key and theirs.key != key:
        return
    mine, its = ours.of_key(key), theirs.of_key(key)
    left, right = list(islice(mine, GATHERED)), list(islice(its, GATHERED))
    if ours.key == key or theirs.key == key:
        found = _unmatched(_chained(left, mine), _chained(right, its), rules, tally)
    else:
        found = compare_history(left, right, rules, replaced_at=replaced_at)
    for pair in found.doubtful:
        doubt(*pair)
    yield from _noted(key, found, tally)


def _pass_what_is_the_same(
    ours: _Side, theirs: _Side, rules: Rules, tally: Tally, doubt: Doubt
) -> datetime | None:
    """Pass by the newest versions of a key while they are the same; returns the last one's time."""
    key, by_id, plain = ours.key, rules.by_id, 0
    replaced_at = None
    while (
        (one := ours.head) is not None
        and (other := theirs.head) is not None
        and ours.key == key
        and theirs.key == key
    ):
        if by_id and one.version_id != other.version_id:
            break
        judgement = rules.judge(one, other)
        if judgement == "different" or (judgement == "doubtful" and not by_id):
            break
        if judgement == "doubtful":
            tally.same += 1
            doubt(one, other)
        else:
            plain += 1
        replaced_at = one.modified_at
        ours.advance()
        theirs.advance()
    tally.same += plain
    if plain:
        tally.compared("etag", plain)
    return replaced_at


def _noted(key: str, found: Compared, tally: Tally) -> Iterator[KeyDifferences]:
    tally.same += len(found.pairs) + len(found.other_id)
    tally.young += found.young
    tally.expired += found.expired
    plain = len(found.pairs) + len(found.other_id) - len(found.doubtful)
    if plain:
        tally.compared("etag", plain)
    differences = tuple(found.differences())
    if differences or found.unclear:
        yield KeyDifferences(key, differences, found.unclear)


def _chained(
    first: list[ObjectVersion], rest: Iterator[ObjectVersion]
) -> Iterator[ObjectVersion | None]:
    """All of one side's versions of a key, freed as they pass; then nothing, for ever."""
    gathered = deque(first)
    first.clear()
    while gathered:
        yield gathered.popleft()
    yield from rest
    while True:
        yield None


def _unmatched(
    ours: Iterator[ObjectVersion | None],
    theirs: Iterator[ObjectVersion | None],
    rules: Rules,
    tally: Tally,
) -> Compared:
    """What of a very long history has no partner on the other side, read in step."""
    held: tuple[_Held, _Held] = ({}, {})
    different: list[tuple[ObjectVersion, ObjectVersion]] = []
    for one, other in zip(ours, theirs, strict=False):
        if one is None and other is None:
            break
        for version, mine, its in ((one, held[0], held[1]), (other, held[1], held[0])):
            if version is None:
                continue
            name = version.version_id if rules.by_id else content(version)
            partner = _taken(its, name)
            if partner is None:
                mine.setdefault(name, deque()).append(version)
            elif rules.judge(version, partner) == "different":
                pair = (version, partner) if version is one else (partner, version)
                different.append(pair)
            else:
                tally.same += 1
    rest = [[version for kept in side.values() for version in kept] for side in held]
    found = compare_history(rest[0], rest[1], rules)
    found.misordered.clear()
    found.different += different
    return found


_Held = dict[Hashable, deque[ObjectVersion]]


def _taken(held: _Held, name: Hashable) -> ObjectVersion | None:
    kept = held.get(name)
    if kept is None:
        return None
    version = kept.popleft()
    if not kept:
        del held[name]
    return version
