"""One key compared: which of its versions the replica lacks, and what has to be appended.

A replica can only be appended to. So it is up to date when the bucket's versions, from the oldest
to the newest, are found in it in that order, whatever lies between them; and what has to be
appended is what is left when they are looked for from the oldest on. For one that is missing in
the middle this means: it and all that followed it, once more, so that the newest stays the newest.
Stopped after any of these copies, the same rule gives the rest.
"""

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ledgerkeep.documents.replica.differences import Difference, Kind
from ledgerkeep.documents.replica.rules import Rules, content
from ledgerkeep.storage.versions import ObjectVersion

Pair = tuple[ObjectVersion, ObjectVersion]


@dataclass
class Compared:
    """What the comparison of one key's versions gave."""

    pairs: list[Pair] = field(default_factory=list)
    """The same version on both sides, with the same content as far as it can be told."""
    doubtful: list[Pair] = field(default_factory=list)
    """Those of them whose contents the ETags do not tell."""
    missing: list[ObjectVersion] = field(default_factory=list)
    extra: list[ObjectVersion] = field(default_factory=list)
    other_id: list[Pair] = field(default_factory=list)
    different: list[Pair] = field(default_factory=list)
    misordered: list[ObjectVersion] = field(default_factory=list)
    """The newest version of a key whose versions come in another order; at most one."""
    young: int = 0
    expired: int = 0
    unclear: bool = False

    def differences(self) -> Iterator[Difference]:
        """What there is to report."""
        for version in self.missing:
            yield _one("marker_missing" if version.is_delete_marker else "missing", version)
        for one, other in self.different:
            yield _two("different", one, other)
        for version in self.extra:
            yield _one("marker_extra" if version.is_delete_marker else "extra", version)
        for one, other in self.other_id:
            yield _two("other_id", one, other)
        for version in self.misordered:
            yield _one("order", version)


def compare_history(
    source: Sequence[ObjectVersion],
    replica: Sequence[ObjectVersion],
    rules: Rules,
    *,
    replaced_at: datetime | None = None,
) -> Compared:
    """Compare the versions of one key, newest first, or their older end.

    :param replaced_at: when the version before the first of `source` was written, if there is one.
    """
    found = _by_id(source, replica, rules) if rules.by_id else _by_content(source, replica)
    if rules.by_id:
        _match_other_ids(found, rules)
    else:
        _match_places(found, source, replica, rules)
    if not rules.ordered:
        found.misordered.clear()
    _leave_out_what_is_not_expected(found, source, rules, replaced_at)
    return found


def to_append(
    source: Sequence[ObjectVersion],
    replica: Sequence[ObjectVersion],
    rules: Rules,
) -> list[ObjectVersion]:
    """What has to be appended to the replica's versions of a key, oldest first.

    :param source: all versions of the key, newest first; so is `replica`.
    """
    mine, its = _labels(source, replica, rules)
    expected = [
        number
        for number in range(len(source))
        if not rules.is_expired(source[number - 1].modified_at if number else None)
    ]
    expected.reverse()
    for found in reversed(its):
        if expected and mine[expected[0]] == found:
            expected.pop(0)
    return [source[number] for number in expected]


def is_diverged(
    source: Sequence[ObjectVersion],
    replica: Sequence[ObjectVersion],
    rules: Rules,
) -> bool:
    """Whether the newest version in the replica is none of the bucket's: somebody writes there."""
    mine, its = _labels(source, replica, rules)
    return bool(its) and its[0] not in mine


def _labels(
    source: Sequence[ObjectVersion], replica: Sequence[ObjectVersion], rules: Rules
) -> tuple[list[Hashable], list[Hashable]]:
    """What stands for each content; the same id stands for the same, unless it is not."""
    mine = [content(version) for version in source]
    if not rules.by_id:
        return mine, [content(version) for version in replica]
    known = {version.version_id: version for version in source}

    def its(version: ObjectVersion) -> Hashable:
        same = known.get(version.version_id)
        if same is None or rules.judge(same, version) == "different":
            return content(version)
        return content(same)

    return mine, [its(version) for version in replica]


def pending(
    source: Sequence[ObjectVersion], replica: Sequence[ObjectVersion], rules: Rules
) -> list[ObjectVersion]:
    """What has to be appended now: nothing, if all of it is still on its way."""
    plan = to_append(source, replica, rules)
    return [] if all(rules.is_young(version) for version in plan) else plan


def _by_id(
    source: Sequence[ObjectVersion], replica: Sequence[ObjectVersion], rules: Rules
) -> Compared:
    found = Compared()
    there = {version.version_id: version for version in replica}
    here = {version.version_id for version in source}
    for version in source:
        other = there.get(version.version_id)
        if other is None:
            found.missing.append(version)
        else:
            _judge_pair(found, (version, other), rules)
    found.extra = [version for version in replica if version.version_id not in here]
    ours = [version.version_id for version in source if version.version_id in there]
    theirs = [version.version_id for version in replica if version.version_id in here]
    if ours != theirs:
        found.misordered.append(source[0])
    return found


def _judge_pair(found: Compared, pair: Pair, rules: Rules) -> None:
    judgement = rules.judge(*pair)
    if judgement == "different":
        found.different.append(pair)
        return
    found.pairs.append(pair)
    if judgement == "doubtful":
        found.doubtful.append(pair)


def _by_content(source: Sequence[ObjectVersion], replica: Sequence[ObjectVersion]) -> Compared:
    """Pair equal contents, the oldest with the oldest: a replica lacks the newest first."""
    found = Compared()
    there: dict[Hashable, deque[ObjectVersion]] = defaultdict(deque)
    for version in reversed(replica):
        there[content(version)].append(version)
    for version in reversed(source):
        same = there[content(version)]
        if same:
            found.pairs.append((version, same.popleft()))
        else:
            found.missing.append(version)
    left = {one.version_id for rest in there.values() for one in rest}
    found.missing.reverse()
    found.extra = [version for version in replica if version.version_id in left]
    if not found.missing and not _runs_through(source, replica):
        found.misordered.append(source[0])
    return found


def _runs_through(source: Iterable[ObjectVersion], replica: Iterable[ObjectVersion]) -> bool:
    """Whether the source's contents are found in the replica in the same order."""
    there = iter(replica)
    return all(any(content(other) == content(version) for other in there) for version in source)


def _match_other_ids(found: Compared, rules: Rules) -> None:
    """Missing and extra versions of the same content are one version with two ids."""
    there: dict[Hashable, deque[ObjectVersion]] = defaultdict(deque)
    for version in found.extra:
        there[content(version)].append(version)
    missing, found.missing = found.missing, []
    for version in missing:
        same = there[content(version)]
        if same:
            found.other_id.append((version, same.popleft()))
        else:
            found.missing.append(version)
    matched = {other.version_id for _, other in found.other_id}
    found.extra = [version for version in found.extra if version.version_id not in matched]
    found.unclear = _any_doubtful(found.missing, found.extra, rules)


def _match_places(
    found: Compared,
    source: Sequence[ObjectVersion],
    replica: Sequence[ObjectVersion],
    rules: Rules,
) -> None:
    """Another content at the same place of the sequence is a difference, not two."""
    places = {one.version_id: number for number, one in enumerate(reversed(replica))}
    extra = {places[one.version_id]: one for one in found.extra if not one.is_delete_marker}
    places = {one.version_id: number for number, one in enumerate(reversed(source))}
    matched = set()
    found.unclear = _any_doubtful(found.missing, found.extra, rules)
    for version in [one for one in found.missing if not one.is_delete_marker]:
        other = extra.get(places[version.version_id])
        if other is not None:
            found.different.append((version, other))
            matched |= {("source", version.version_id), ("replica", other.version_id)}
    found.missing = [one for one in found.missing if ("source", one.version_id) not in matched]
    found.extra = [one for one in found.extra if ("replica", one.version_id) not in matched]


def _any_doubtful(
    missing: Sequence[ObjectVersion], extra: Sequence[ObjectVersion], rules: Rules
) -> bool:
    """Whether only a closer look tells that one of these is not one of those."""
    by_size: dict[int, list[ObjectVersion]] = defaultdict(list)
    for version in extra:
        by_size[version.size].append(version)
    return any(
        rules.judge(version, other) == "doubtful"
        for version in missing
        for other in by_size[version.size]
    )


def _leave_out_what_is_not_expected(
    found: Compared,
    source: Sequence[ObjectVersion],
    rules: Rules,
    replaced_at: datetime | None,
) -> None:
    old = [one for one in found.missing if not rules.is_young(one)]
    extra = [one for one in found.extra if not rules.is_young(one)]
    found.young = len(found.missing) - len(old) + len(found.extra) - len(extra)
    found.missing, found.extra = old, extra
    if rules.expired_before is None or not old:
        return
    replaced = dict(
        zip(
            (one.version_id for one in source),
            [replaced_at, *(one.modified_at for one in source)],
            strict=False,
        )
    )
    found.missing = [one for one in old if not rules.is_expired(replaced[one.version_id])]
    found.expired = len(old) - len(found.missing)


def _one(kind: Kind, version: ObjectVersion) -> Difference:
    return Difference(kind, version.key, version.version_id, version.size, version.modified_at)


def _two(kind: Kind, one: ObjectVersion, other: ObjectVersion) -> Difference:
    return Difference(
        kind,
        one.key,
        one.version_id,
        one.size,
        one.modified_at,
        replica_version_id=other.version_id,
        how="size" if one.size != other.size else "etag",
    )
