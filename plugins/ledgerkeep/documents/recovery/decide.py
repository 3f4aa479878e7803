"""What has to happen to one key: a pure decision from its versions, newest first.

Every key gets exactly one decision, also the ones that nothing happens to, so that the plan and
the report account for all of them:

    copy        a version becomes current again, by a copy over its key
    remove      the key did not exist at the moment: a delete marker, when that was asked for
    conflict    the same as one of those, but somebody has written since; left alone
    later       the key did not exist at the moment, and is left
    missing     there is no version to go back to
    unchanged   it is as it is wanted

The versions are read once and not kept, so that a key with a million of them costs no memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any, Literal, cast

from ledgerkeep.documents.recovery.request import (
    DocumentRequest,
    ToMoment,
    ToVersion,
    Undelete,
)
from ledgerkeep.storage.versions import ObjectVersion

Action = Literal["conflict", "copy", "remove", "later", "missing", "unchanged"]
ACTIONS: tuple[Action, ...] = ("conflict", "copy", "remove", "later", "missing", "unchanged")
"""In the order in which a person has to see them."""
COLD = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes that are read only after a request and a wait. (AWS: S3 storage classes.)"""


@dataclass(frozen=True, slots=True)
class PlannedKey:
    """The decision about one key, and what it was made from."""

    key: str
    action: Action
    because: str
    version_id: str = ""
    """The version to copy; empty where none is."""
    size: int = 0
    etag: str = ""
    written_at: str = ""
    """When that version was, ISO 8601."""
    storage_class: str = ""
    current_id: str = ""
    """Version or delete marker that was current at the destination; empty: there was none."""
    hides: bool = False
    """A newer version is there that can be read; it stays as an older version."""
    overwrites: bool = False
    """It is a conflict, and the request says overwrite."""

    @property
    def is_cold(self) -> bool:
        """Whether the version has to be asked for first."""
        return self.action == "copy" and self.storage_class in COLD

    def as_plain(self) -> dict[str, Any]:
        """What differs from the defaults, for a line of JSON."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class _Found:
    """What a goal makes of a key's versions."""

    wanted: ObjectVersion | None
    missing: str = ""
    """Why there is nothing to go back to, though there should be."""
    absent: str = ""
    """The key was not there at the moment: why that is known."""
    unchanged: str = ""
    """Nothing has to happen: why."""


def decide(
    key: str,
    versions: Iterator[ObjectVersion],
    current: ObjectVersion | None,
    request: DocumentRequest,
    *,
    in_place: bool,
) -> PlannedKey:
    """The decision about one key.

    :param versions: where it is taken from, newest first; may be empty.
    :param current: the newest at the destination; not looked at with `in_place`.
    :param in_place: the versions are the destination's own, so the first of them is current.
    """
    first = next(versions, None)
    if in_place:
        current = first
    found = _find(request, chain([first], versions) if first is not None else iter(()))
    made = _decided(key, found, current, request, in_place=in_place)
    return replace(
        made,
        current_id=current.version_id if current is not None else "",
        hides=made.action == "copy" and not is_gone(current),
    )


def is_gone(current: ObjectVersion | None) -> bool:
    """Whether a key has nothing that can be read without naming a version."""
    return current is None or current.is_delete_marker


def _decided(
    key: str,
    found: _Found,
    current: ObjectVersion | None,
    request: DocumentRequest,
    *,
    in_place: bool,
) -> PlannedKey:
    if found.missing:
        return PlannedKey(key, "missing", found.missing)
    if found.unchanged:
        return PlannedKey(key, "unchanged", found.unchanged)
    if found.wanted is None:
        return _absent(key, found.absent, current, request)
    wanted = found.wanted
    if current is not None and _is_the_same(current, wanted, in_place=in_place):
        return PlannedKey(key, "unchanged", "it is current")
    conflict = _conflict(current, request)
    action: Action = "conflict" if conflict and request.on_conflict == "leave" else "copy"
    return PlannedKey(
        key,
        action,
        conflict or _why(current),
        version_id=wanted.version_id,
        size=wanted.size,
        etag=wanted.etag,
        written_at=wanted.modified_at.isoformat(),
        storage_class=wanted.storage_class,
        overwrites=bool(conflict) and action == "copy",
    )


def _absent(
    key: str, because: str, current: ObjectVersion | None, request: DocumentRequest
) -> PlannedKey:
    """The key was not there at the moment."""
    if current is None or current.is_delete_marker:
        return PlannedKey(key, "unchanged", f"{because}, and is not now")
    if not request.remove_later_keys:
        return PlannedKey(key, "later", f"{because}; written {_at(current.modified_at)}")
    if conflict := _conflict(current, request):
        if request.on_conflict == "leave":
            return PlannedKey(key, "conflict", conflict)
        return PlannedKey(key, "remove", conflict, overwrites=True)
    return PlannedKey(key, "remove", f"{because}; written {_at(current.modified_at)}")


def _conflict(current: ObjectVersion | None, request: DocumentRequest) -> str:
    """What somebody has done since, in words; empty: nothing."""
    if current is None:
        return ""
    if isinstance(request.goal, Undelete) and not current.is_delete_marker:
        return f"written again {_at(current.modified_at)}, after it was deleted"
    ended = request.incident_ended_at
    if ended is not None and current.modified_at > ended:
        done = "deleted" if current.is_delete_marker else "written"
        return f"{done} {_at(current.modified_at)}, after the incident had ended"
    return ""


def _why(current: ObjectVersion | None) -> str:
    if current is None:
        return "it is not there"
    if current.is_delete_marker:
        return f"deleted {_at(current.modified_at)}"
    return f"overwritten {_at(current.modified_at)}"


def _is_the_same(current: ObjectVersion, wanted: ObjectVersion, *, in_place: bool) -> bool:
    if current.is_delete_marker:
        return False
    if in_place:
        # The same bytes may have come back with other metadata or tags: only the version counts.
        return current.version_id == wanted.version_id
    return bool(current.etag) and (current.etag, current.size) == (wanted.etag, wanted.size)


def _find(request: DocumentRequest, versions: Iterator[ObjectVersion]) -> _Found:
    goal = request.goal
    if isinstance(goal, ToMoment):
        return _at_moment(goal, versions, named=bool(request.keys))
    if isinstance(goal, Undelete):
        return _deleted_within(goal, versions)
    # A manifest names a version of each key, and the decision is asked for that.
    return _of_id(cast("ToVersion", goal), versions)


def _at_moment(goal: ToMoment, versions: Iterator[ObjectVersion], *, named: bool) -> _Found:
    found = next((one for one in versions if one.modified_at <= goal.at), None)
    if found is None and named:
        return _Found(None, missing=f"no version from before {_at(goal.at)} is stored")
    if found is None:
        return _Found(None, absent="it was not there then")
    if found.is_delete_marker:
        return _Found(None, absent=f"it was deleted {_at(found.modified_at)}")
    return _Found(found)


def _of_id(goal: ToVersion, versions: Iterator[ObjectVersion]) -> _Found:
    found = next((one for one in versions if one.version_id == goal.version_id), None)
    if found is None:
        return _Found(None, missing=f"it has no version {goal.version_id}")
    if found.is_delete_marker:
        return _Found(None, missing=f"{goal.version_id} is a delete marker, not a version")
    return _Found(found)


def _deleted_within(goal: Undelete, versions: Iterator[ObjectVersion]) -> _Found:
    """The version before the newest deletion within the window.

    Of delete markers one upon another, the oldest is what deleted the object.
    """
    deletion: ObjectVersion | None = None
    deleted_again = ""
    written = False
    for one in versions:
        if one.is_delete_marker:
            deletion = one
            continue
        if deletion is not None and _within(goal, deletion):
            return _Found(None, unchanged=deleted_again) if deleted_again else _Found(one)
        if deletion is not None and not written:
            deleted_again = f"deleted {_at(deletion.modified_at)}, outside the window"
        written, deletion = True, None
    if deletion is not None and not written and _within(goal, deletion):
        return _Found(None, missing="only delete markers of it are stored")
    return _Found(None, unchanged=deleted_again or "it was not deleted within the window")


def _within(goal: Undelete, deletion: ObjectVersion) -> bool:
    return goal.deleted_from <= deletion.modified_at <= goal.deleted_to


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
