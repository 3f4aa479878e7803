"""The key space cut into ranges that can be compared side by side.

Any cut is right: the ranges cover all keys there can be, whether or not a key lies at the cut. How
even they are decides only how long the longest takes. The cuts are found by asking which
characters follow a prefix (one tiny listing per character that occurs), from the front on, until
there are enough of them; that works for paths, for dates and for random names alike, and needs no
delimiter.
"""

from collections import deque
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import PAGE, list_versions

_PROBES = 600
"""Requests spent on finding the cuts, at most."""
_FINENESS = 4
"""Prefixes that are looked for per shard; more make the shards more even."""
_LAST = "\U0010ffff"


@dataclass(frozen=True)
class Shard:
    """A range of keys."""

    number: int
    of: int
    after: str = ""
    """Keys behind this one …"""
    until: str = ""
    """… up to this one; empty: to the end."""

    @property
    def words(self) -> str:
        """For logs."""
        return f"shard {self.number} of {self.of}"

    def to_plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def cut(bucket: Bucket, prefix: str, count: int) -> list[Shard]:
    """Up to `count` ranges that cover all keys below a prefix; a small bucket is one range.

    :raises StorageError:
    """
    if count == 1 or _fits_one_page(bucket, prefix):
        return shards_at([])
    found = _prefixes(bucket, prefix, count * _FINENESS)
    step = max(1.0, len(found) / count)
    cuts = [found[int(number * step)] for number in range(1, count) if number * step < len(found)]
    return shards_at(sorted(set(cuts)))


def shards_at(cuts: list[str]) -> list[Shard]:
    """The ranges between ascending cuts."""
    borders = ["", *cuts, ""]
    return [
        Shard(number, len(cuts) + 1, borders[number - 1], borders[number])
        for number in range(1, len(borders))
    ]


def _fits_one_page(bucket: Bucket, prefix: str) -> bool:
    return sum(1 for _ in islice(list_versions(bucket, prefix), PAGE + 1)) <= PAGE


def _prefixes(bucket: Bucket, prefix: str, wanted: int) -> list[str]:
    """Prefixes that occur, in order, at least as many as wanted if there are that many."""
    left = [_PROBES]
    open_ends, finished = deque([prefix]), list[str]()
    while open_ends and len(open_ends) + len(finished) < wanted and left[0] > 0:
        parent = open_ends.popleft()
        children = _following(bucket, parent, left)
        if children:
            open_ends += children
        else:
            finished.append(parent)
    return sorted([*open_ends, *finished])


def _following(bucket: Bucket, prefix: str, left: list[int]) -> list[str]:
    """The prefix with each character that follows it in some key."""
    found: list[str] = []
    after = ""
    while left[0] > 0:
        left[0] -= 1
        key = _next_key(bucket, prefix, after)
        if key is None:
            break
        if key == prefix:
            after = key
            continue
        found.append(key[: len(prefix) + 1])
        after = found[-1] + _LAST
    return found


def _next_key(bucket: Bucket, prefix: str, after: str) -> str | None:
    # Only what is not deleted: where to cut is a guess anyway, and this is cheaper for the store.
    answer = bucket.ask(
        "list",
        lambda: bucket.client.list_objects_v2(
            Bucket=bucket.name, Prefix=prefix, StartAfter=after, MaxKeys=1
        ),
    )
    return next((found["Key"] for found in answer.get("Contents", [])), None)
