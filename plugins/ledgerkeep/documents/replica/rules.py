"""What counts as the same version on both sides, and what is not yet, or no longer, expected.

S3's own replication keeps version ids, so there a version is known by its id, and its content is
compared. Copies that somebody else made have ids of their own; there the sequence of contents of a
key has to be the same.

Contents are told apart by size and ETag, which every listing has. An ETag is the MD5 of the
content only if the object was sent in one request and is not encrypted with KMS. Equal ETags
therefore always mean the same content; different ones mean another content only between two plain
MD5s. Between any others nothing is said: somebody has to look closer (`contents`).
(AWS: S3 API reference, Object, ETag; S3 user guide, Replicating encrypted objects.)
"""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ledgerkeep.storage.versions import ObjectVersion

Judgement = Literal["same", "different", "doubtful"]
MARKER = "delete marker"
"""What stands for the content of a delete marker."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How two buckets are compared."""

    by_id: bool
    """Version ids are the same on both sides (S3's own replication)."""
    plain_etags: bool
    """Neither side encrypts with KMS, so ETags without a dash are MD5s."""
    young_from: datetime
    """What was written at or after this is not expected on the other side yet."""
    expired_before: datetime | None = None
    """What stopped being current before this is not expected in the replica any more."""
    ordered: bool = True
    """The streams tell which of a key's versions is newer; an inventory does not, within a second.
    """

    def judge(self, one: ObjectVersion, other: ObjectVersion) -> Judgement:
        """Whether two versions have the same content."""
        if one.etag == other.etag and one.size == other.size:
            return "same" if one.is_delete_marker == other.is_delete_marker else "different"
        if one.is_delete_marker or other.is_delete_marker or one.size != other.size:
            return "different"
        if self.plain_etags and "-" not in one.etag and "-" not in other.etag:
            return "different"
        return "doubtful"

    def is_young(self, version: ObjectVersion) -> bool:
        """Whether it was written too lately to be expected on the other side."""
        return version.modified_at >= self.young_from

    def is_expired(self, replaced_at: datetime | None) -> bool:
        """Whether the replica's lifecycle may have removed it.

        :param replaced_at: when the next version was written; None: it is current.
        """
        before = self.expired_before
        return before is not None and replaced_at is not None and replaced_at < before


def content(version: ObjectVersion) -> Hashable:
    """What stands for a version's content: equal for what is surely the same."""
    return MARKER if version.is_delete_marker else (version.size, version.etag)
