"""The decision about one key, from its versions alone."""

from typing import Any

import pytest

from ledgerkeep.documents.recovery.decide import PlannedKey, decide
from ledgerkeep.documents.recovery.request import DocumentRequest, ToVersion, Undelete
from ledgerkeep.storage.versions import ObjectVersion
from tests.documents.recovery.support import at, marker, to_moment, version


def decided(request: DocumentRequest, *versions: ObjectVersion) -> PlannedKey:
    """In place, from the versions newest first."""
    return decide("k", iter(versions), None, request, in_place=True)


def undelete(start: float, end: float, **other: Any) -> DocumentRequest:
    goal = Undelete(deleted_from=at(start), deleted_to=at(end))
    return DocumentRequest(**{"prefix": "", **other}, goal=goal)


def told(one: PlannedKey) -> tuple[str, str, str]:
    return one.action, one.version_id, one.because


NOT_THERE = "it was not there then"


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([version("k", -1)], ("unchanged", "", "it is current")),
        ([version("k", 0)], ("unchanged", "", "it is current")),
        (
            [marker("k", 2), version("k", -1)],
            ("copy", "v-1", "deleted 2026-03-01 12:02:00Z"),
        ),
        (
            [version("k", 2), version("k", 1), version("k", -1), version("k", -2)],
            ("copy", "v-1", "overwritten 2026-03-01 12:02:00Z"),
        ),
        (
            [version("k", 2), marker("k", 1), version("k", -1)],
            ("copy", "v-1", "overwritten 2026-03-01 12:02:00Z"),
        ),
        (
            [version("k", 1)],
            ("later", "", f"{NOT_THERE}; written 2026-03-01 12:01:00Z"),
        ),
        (
            [version("k", 1), marker("k", -1), version("k", -2)],
            ("later", "", "it was deleted 2026-03-01 11:59:00Z; written 2026-03-01 12:01:00Z"),
        ),
        (
            [marker("k", -1), version("k", -2)],
            ("unchanged", "", "it was deleted 2026-03-01 11:59:00Z, and is not now"),
        ),
        ([marker("k", 2), version("k", 1)], ("unchanged", "", f"{NOT_THERE}, and is not now")),
    ],
)
def test_back_to_a_moment(versions: list[ObjectVersion], expected: tuple[str, str, str]) -> None:
    assert told(decided(to_moment(0), *versions)) == expected


def test_versions_of_one_second_are_told_apart_by_the_listings_order() -> None:
    """The clock of S3 has whole seconds; the newest of them was there at the moment."""
    first, second = version("k", 0, "first"), version("k", 0, "second")
    assert decided(to_moment(0), marker("k", 1), second, first).version_id == "second"


def test_named_key_without_a_version_of_then_is_missing() -> None:
    asked = to_moment(0, keys=("k",))
    because = "no version from before 2026-03-01 12:00:00Z is stored"
    assert told(decided(asked)) == ("missing", "", because)
    assert told(decided(asked, version("k", 1))) == ("missing", "", because)


def test_later_key_is_removed_only_when_asked_for() -> None:
    asked = to_moment(0, remove_later_keys=True)
    assert told(decided(asked, version("k", 1)))[0] == "remove"
    assert told(decided(asked, version("k", 1), marker("k", -1)))[0] == "remove"
    assert told(decided(asked, marker("k", 2), version("k", 1)))[0] == "unchanged"


@pytest.mark.parametrize(
    ("current", "words"),
    [
        (version("k", 31), "written 2026-03-01 12:31:00Z, after the incident had ended"),
        (marker("k", 31), "deleted 2026-03-01 12:31:00Z, after the incident had ended"),
    ],
)
def test_what_was_done_after_the_incident_is_a_conflict(current: ObjectVersion, words: str) -> None:
    damage = [version("k", 30), version("k", -1)]
    asked = to_moment(0, incident_ended_at=at(30))
    left = decided(asked, current, *damage)
    assert told(left) == ("conflict", "v-1", words)
    assert not left.hides
    over = decided(
        to_moment(0, incident_ended_at=at(30), on_conflict="overwrite"), current, *damage
    )
    assert told(over) == ("copy", "v-1", words)
    assert (over.overwrites, over.hides) == (True, not current.is_delete_marker)
    assert decided(asked, *damage).action == "copy"
    assert decided(to_moment(0), current, *damage).action == "copy"


def test_later_key_of_after_the_incident_is_a_conflict_too() -> None:
    asked = {"remove_later_keys": True, "incident_ended_at": at(30)}
    assert decided(to_moment(0, **asked), version("k", 31)).action == "conflict"
    assert decided(to_moment(0, **asked), version("k", 29)).action == "remove"
    over = decided(to_moment(0, **asked, on_conflict="overwrite"), version("k", 31))
    assert (over.action, over.overwrites) == ("remove", True)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([marker("k", 5), version("k", -1)], ("copy", "v-1", "deleted 2026-03-01 12:05:00Z")),
        # Of markers one upon another the oldest is what deleted it.
        (
            [marker("k", 11), marker("k", 5), version("k", -1)],
            ("copy", "v-1", "deleted 2026-03-01 12:11:00Z"),
        ),
        (
            [marker("k", 5), marker("k", -1), version("k", -2)],
            ("unchanged", "", "deleted 2026-03-01 11:59:00Z, outside the window"),
        ),
        (
            [marker("k", 11), version("k", -1)],
            ("unchanged", "", "deleted 2026-03-01 12:11:00Z, outside the window"),
        ),
        # Deleted within the window, written again, and then deleted on purpose.
        (
            [marker("k", 20), version("k", 15), marker("k", 5), version("k", -1)],
            ("unchanged", "", "deleted 2026-03-01 12:20:00Z, outside the window"),
        ),
        (
            [version("k", 15), marker("k", 5), version("k", -1)],
            ("conflict", "v-1", "written again 2026-03-01 12:15:00Z, after it was deleted"),
        ),
        ([version("k", 5)], ("unchanged", "", "it was not deleted within the window")),
        ([marker("k", 5)], ("missing", "", "only delete markers of it are stored")),
        ([marker("k", 11)], ("unchanged", "", "it was not deleted within the window")),
    ],
)
def test_undelete_within_a_window(
    versions: list[ObjectVersion], expected: tuple[str, str, str]
) -> None:
    assert told(decided(undelete(0, 10), *versions)) == expected


def test_back_to_a_version() -> None:
    asked = DocumentRequest(keys=("k",), goal=ToVersion(version_id="v-2"))
    versions = [version("k", 1), version("k", -1), version("k", -2), version("k", -3)]
    assert told(decided(asked, *versions)) == ("copy", "v-2", "overwritten 2026-03-01 12:01:00Z")
    assert told(decided(asked, *versions[:2])) == ("missing", "", "it has no version v-2")
    of_marker = DocumentRequest(keys=("k",), goal=ToVersion(version_id="d1"))
    assert decided(of_marker, version("k", 2), marker("k", 1)).because == (
        "d1 is a delete marker, not a version"
    )


def test_current_of_another_bucket_is_compared_by_content() -> None:
    """Version ids mean nothing across buckets."""
    wanted = version("k", -1)
    same = ObjectVersion("k", "other", at(5), size=10, etag="e-v-1")
    other = ObjectVersion("k", "v-1", at(5), size=10, etag="e-x")
    for current, action in ((same, "unchanged"), (other, "copy"), (None, "copy")):
        found = decide("k", iter([wanted]), current, to_moment(0), in_place=False)
        assert found.action == action
    assert found.because == "it is not there"


def test_deletion_window_from_the_replica_leaves_what_is_there() -> None:
    current = version("k", 1, "other")
    versions = iter([marker("k", 5), version("k", -1)])
    assert decide("k", versions, current, undelete(0, 10), in_place=False).action == "conflict"


def test_versions_beyond_the_decision_are_not_read() -> None:
    """A key may have a million of them."""
    rest = iter([version("k", 1), version("k", -1), version("k", -2)])
    decide("k", rest, None, to_moment(0), in_place=True)
    assert next(rest).version_id == "v-2"


def test_plan_remembers_what_was_current() -> None:
    assert decided(to_moment(0), marker("k", 2), version("k", -1)).current_id == "d2"
    assert (
        decide("k", iter([version("k", -1)]), None, to_moment(0), in_place=False).current_id == ""
    )


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({}, "either keys or a prefix"),
        ({"keys": ("a",), "prefix": "a"}, "either keys or a prefix"),
        ({"keys": ("b", "a")}, "keys come once each"),
        ({"keys": ("a", "a")}, "keys come once each"),
        ({"prefix": "", "incident_ended_at": at(-1)}, "ended before the moment"),
    ],
)
def test_request_that_contradicts_itself_is_refused(request_: dict[str, Any], problem: str) -> None:
    goal = to_moment(0).goal
    with pytest.raises(ValueError, match=problem):
        DocumentRequest(**request_, goal=goal)


def test_version_id_is_of_one_key() -> None:
    with pytest.raises(ValueError, match="exactly one key"):
        DocumentRequest(prefix="", goal=ToVersion(version_id="v"))
    with pytest.raises(ValueError, match="ends before it begins"):
        Undelete(deleted_from=at(1), deleted_to=at(0))
    with pytest.raises(ValueError, match="later than a moment"):
        undelete(0, 1, remove_later_keys=True)
