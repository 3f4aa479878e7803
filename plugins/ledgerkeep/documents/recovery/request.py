"""What is asked of a recovery of documents: which keys, back to what, and what must not be lost.

Three ways back, because three things happen to documents. One was replaced by a wrong version: back
to a version, by its id. Many were changed: back to a moment, exactly what the bucket held then.
Many were deleted: undelete what was deleted within a window, and nothing that was deleted before
or after it, since that may have been on purpose.

What is a conflict: a version, or a delete marker, that was written after the damage had ended
(`incident_ended_at`; when nobody says, after the plan was made). Up to then changes are the damage
that is gone back over; from then on they are somebody's work, and are left alone unless the request
says `overwrite`. For a deletion window, a key that was written again after its deletion is one too.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ledgerkeep.model import Record, UtcDatetime

LONGEST_KEY = 1_024
"""Bytes of UTF-8. (AWS: object key naming guidelines.)"""

OnConflict = Literal["leave", "overwrite"]
Source = Literal["primary", "replica"]
Key = Annotated[str, Field(min_length=1)]


class ToVersion(Record):
    """Back to one version, by its id."""

    kind: Literal["version"] = "version"
    version_id: Annotated[str, Field(min_length=1, max_length=1024)]

    @property
    def words(self) -> str:
        """For people."""
        return f"to its version {self.version_id}"


class ToMoment(Record):
    """Back to what the bucket held at a moment.

    S3 tells whole seconds, rounded down: what was written within the second of `at` counts as
    written before it.
    """

    kind: Literal["moment"] = "moment"
    at: UtcDatetime

    @property
    def words(self) -> str:
        """For people."""
        return f"to what was there at {self.at:%Y-%m-%d %H:%M:%S}Z"


class Undelete(Record):
    """Bring back what was deleted within a window, its ends included."""

    kind: Literal["undelete"] = "undelete"
    deleted_from: UtcDatetime
    deleted_to: UtcDatetime

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.deleted_to < self.deleted_from:
            raise ValueError("the deletion window ends before it begins")
        return self

    @property
    def words(self) -> str:
        """For people."""
        return (
            f"what was deleted between {self.deleted_from:%Y-%m-%d %H:%M:%S}Z "
            f"and {self.deleted_to:%Y-%m-%d %H:%M:%S}Z"
        )


class ToManifest(Record):
    """Back to the versions that the rows of a restored database need."""

    kind: Literal["manifest"] = "manifest"
    moment_check: Annotated[str, Field(min_length=1, max_length=1024)]
    """Key of the record of the check that named them (`MomentCheck`)."""

    @property
    def words(self) -> str:
        """For people."""
        return f"to the versions that the rows of {self.moment_check} need"


Goal = Annotated[ToVersion | ToMoment | Undelete | ToManifest, Field(discriminator="kind")]


class DocumentRequest(Record):
    """One recovery of documents, as it is asked for."""

    keys: tuple[Key, ...] = ()
    """Exactly these keys, in the store's order; a key is never taken for a prefix."""
    prefix: str | None = None
    """All keys that begin with it; None with `keys`."""
    goal: Goal
    incident_ended_at: UtcDatetime | None = None
    """What was written later is a conflict; None: what is written after the plan is made."""
    on_conflict: OnConflict = "leave"
    remove_later_keys: bool = False
    """Whether keys that did not exist at the moment get a delete marker."""
    source: Source = "primary"

    @model_validator(mode="after")
    def _is_meant(self) -> Self:
        if bool(self.keys) == (self.prefix is not None):
            raise ValueError("either keys or a prefix")
        in_order = tuple(sorted(set(self.keys), key=str.encode))
        if in_order != self.keys:
            raise ValueError("keys come once each, in the order of their UTF-8 bytes")
        if self.goal.kind == "version" and len(self.keys) != 1:
            raise ValueError("a version id belongs to exactly one key")
        if self.remove_later_keys and self.goal.kind != "moment":
            raise ValueError("keys are later than a moment, and only then removed")
        self._check_incident()
        return self

    def _check_incident(self) -> None:
        ended = self.incident_ended_at
        if ended is None:
            return
        goal = self.goal
        if isinstance(goal, ToMoment) and ended < goal.at:
            raise ValueError("the incident ended before the moment that is gone back to")

    @property
    def selection(self) -> str:
        """Which keys, for people."""
        if self.prefix is not None:
            return f"all keys that begin with {self.prefix!r}" if self.prefix else "all keys"
        if len(self.keys) == 1:
            return f"the key {self.keys[0]!r}"
        return f"{len(self.keys)} keys from a list"

    @property
    def words(self) -> str:
        """What is asked for, in one line."""
        return f"{self.selection}: {self.goal.words}"

    def common_prefix(self) -> str:
        """The longest prefix that all its keys have."""
        if self.prefix is not None:
            return self.prefix
        first, last = self.keys[0], self.keys[-1]
        end = next(
            (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
            min(len(first), len(last)),
        )
        return first[:end]
