"""What one bucket lacks of what the application sees in the other.

Not of every version: whoever switches over asks whether the documents will be there, so only the
current content of each key is compared, deleted keys included. The same merge serves as for the
daily comparison of all versions, over two listings of which all but the current is left out, and
by content alone, since a bucket that was written to meanwhile has ids of its own.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ledgerkeep.documents.failover.access import TEST_PREFIX
from ledgerkeep.documents.failover.plan import Behind
from ledgerkeep.documents.replica.differences import Difference, KeyDifferences, Tally
from ledgerkeep.documents.replica.merge import merge
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.storage.versions import ObjectVersion

EXAMPLES = 5
_LOST = {"missing", "different", "unclear"}
_NEVER = datetime.max.replace(tzinfo=UTC)


def what_is_lacking(
    used: Iterable[ObjectVersion],
    other: Iterable[ObjectVersion],
    *,
    plain_etags: bool,
    now: datetime,
    prefix: str = "",
) -> Behind:
    """Which documents the other bucket does not have as the application sees them in this one.

    :param used: listing of the bucket in use, in the store's order.
    :param other: listing of the bucket that will be used.
    :param plain_etags: neither side encrypts with KMS, so that ETags tell contents apart.
    :param now: in UTC; ages are counted from it.
    :param prefix: of the documents' keys; what access tests wrote below it is left out.
    :raises StorageError: a listing failed, or is out of order.
    """
    rules = Rules(by_id=False, plain_etags=plain_etags, young_from=_NEVER)
    compared = _Counted(_current(used, f"{prefix}{TEST_PREFIX}"))
    theirs = _current(other, f"{prefix}{TEST_PREFIX}")
    lacking, oldest = 0, now
    examples: list[str] = []
    for key in merge(compared, theirs, rules, Tally()):
        lost = _lost(key)
        if lost is None:
            continue
        lacking += 1
        oldest = min(oldest, lost.modified_at)
        if len(examples) < EXAMPLES:
            examples.append(lost.key)
    return Behind(
        compared=compared.passed,
        lacking=lacking,
        examples=examples,
        oldest_seconds=(now - oldest).total_seconds(),
    )


def _lost(key: KeyDifferences) -> Difference | None:
    """What the application would miss of a key, or find though it was deleted."""
    kinds = {one.kind for one in key.found}
    for one in key.found:
        if one.kind in _LOST:
            return one
        if one.kind == "marker_missing" and "extra" in kinds:
            return one
    return None


class _Counted:
    """A stream that knows how much has passed."""

    def __init__(self, stream: Iterator[ObjectVersion]) -> None:
        self._stream = stream
        self.passed = 0

    def __iter__(self) -> Iterator[ObjectVersion]:
        for version in self._stream:
            self.passed += 1
            yield version


def _current(versions: Iterable[ObjectVersion], left_out: str) -> Iterator[ObjectVersion]:
    return (one for one in versions if one.is_latest and not one.key.startswith(left_out))
