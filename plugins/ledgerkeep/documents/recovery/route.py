"""From which bucket to which, and how bytes get there.

The store copies by itself where one store holds both buckets and one identity may read the one and
write the other: nothing passes through the worker then. Between stores, or between accounts that
do not share an identity, the worker reads with the one and writes with the other.
"""

import re
from dataclasses import dataclass

from ledgerkeep.storage.bucket import Bucket

_AWS = re.compile(r"https://[a-z0-9.-]+\.amazonaws\.com(\.cn)?/?")


@dataclass(frozen=True)
class Route:
    """Where versions are taken from and where they become current."""

    source: Bucket
    destination: Bucket
    into: str = ""
    """Stands before each key at the destination; empty: the same keys."""
    shares_identity: bool = True
    """Whether the destination's identity may read the source."""

    @property
    def in_place(self) -> bool:
        """Whether source and destination are the same keys of the same bucket."""
        return not self.into and self.source.name == self.destination.name and self.one_store

    @property
    def one_store(self) -> bool:
        """Whether one store holds both buckets; all of AWS is one."""
        here, there = (one.client.meta.endpoint_url for one in (self.destination, self.source))
        return here == there or (_is_aws(here) and _is_aws(there))

    @property
    def copied_by_store(self) -> bool:
        """Whether the store copies by itself."""
        return self.one_store and self.shares_identity

    @property
    def where(self) -> str:
        """The destination, for people."""
        return (
            f"{self.destination.location}/{self.into}" if self.into else self.destination.location
        )


def _is_aws(endpoint: str) -> bool:
    return _AWS.fullmatch(endpoint) is not None
