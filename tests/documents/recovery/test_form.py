"""The form of a recovery of documents, to the letter."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerkeep.documents.recovery.form import read_form, reason_of
from ledgerkeep.documents.recovery.request import ToMoment, ToVersion, Undelete
from ledgerkeep.errors import RecoveryError
from ledgerkeep.model import utc_now

T = "2026-03-01T14:30:00+01:00"


def form(**given: Any) -> dict[str, Any]:
    """As Airflow hands it over: what was left empty is there, and empty."""
    empty = dict.fromkeys(["moment", "deleted_from", "deleted_to", "version_id", "keys", "prefix"])
    return {
        **empty,
        "goal": "moment",
        "incident_ended_at": None,
        "on_conflict": "leave",
        "remove_later_keys": False,
        "source": "primary",
        "scenario": "accidental_deletion",
        "reason": "INC-7: prefix deleted",
        **given,
    }


def test_moment_of_a_prefix() -> None:
    asked = read_form(form(moment=f" {T} ", prefix="loans/ "))
    assert asked.goal == ToMoment(at=datetime(2026, 3, 1, 13, 30, tzinfo=UTC))
    # A space belongs to a key.
    assert (asked.prefix, asked.keys) == ("loans/ ", ())
    assert (asked.on_conflict, asked.source, asked.remove_later_keys) == ("leave", "primary", False)


def test_star_means_all_documents() -> None:
    assert read_form(form(moment=T, prefix="*")).prefix == ""


def test_list_of_keys_in_any_order_and_form() -> None:
    asked = read_form(form(moment=T, keys=["b", "a ", "", "b", "ü"]))
    assert asked.keys == ("a ", "b", "ü")
    assert asked.prefix is None
    assert read_form(form(moment=T, keys="b\r\na \n")).keys == ("a ", "b")


def test_deletion_window_and_version() -> None:
    asked = read_form(
        form(goal="undelete", deleted_from=T, deleted_to="2026-03-02T00:00Z", prefix="*")
    )
    assert isinstance(asked.goal, Undelete)
    asked = read_form(form(goal="version", version_id="v1", keys=["k"]))
    assert asked.goal == ToVersion(version_id="v1")


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        (
            {"moment": "2026-03-01T14:30:00", "prefix": "*"},
            "moment has no offset from UTC: '2026-03-01T14:30:00'",
            "write it as 2026-03-01T14:30:00+00:00; add +00:00 if it is UTC",
        ),
        (
            {"moment": "yesterday", "prefix": "*"},
            "moment is no moment: 'yesterday'",
            "write it as 2026-03-01T14:30:00+00:00",
        ),
        (
            {"prefix": "*"},
            "moment is empty",
            "it says what is gone back to; fill it in, or another goal",
        ),
        (
            {"moment": T},
            "neither keys nor a prefix are given",
            "write the keys, one to a line, or the prefix; a prefix of * means all documents",
        ),
        (
            {"moment": T, "prefix": "a", "keys": ["b"]},
            "the request contradicts itself: either keys or a prefix",
            "change the fields that do not go together; nothing was planned",
        ),
        (
            {"moment": T, "prefix": "loans/*"},
            "the prefix 'loans/*' ends with a star",
            "write it without: all keys that begin with it are meant",
        ),
        (
            {"moment": T, "keys": ["s3://bucket/a"]},
            "'s3://bucket/a' is an address, not a key",
            "write only what stands behind the bucket's name and its slash",
        ),
        (
            {"moment": T, "keys": ["ü" * 513]},
            f"the key {'ü' * 50!r}… has 1026 bytes",
            "no key has more than 1024; is it one key to a line?",
        ),
        (
            {"moment": T, "version_id": "v", "prefix": "*"},
            "version_id is filled in, but the goal is moment",
            "empty it, or choose the goal that it belongs to",
        ),
        (
            {
                "goal": "undelete",
                "deleted_from": T,
                "deleted_to": "2026-01-01T00:00Z",
                "prefix": "*",
            },
            "the request contradicts itself: the deletion window ends before it begins",
            "change the fields that do not go together; nothing was planned",
        ),
        (
            {"goal": "version", "version_id": "v", "prefix": "*"},
            "the request contradicts itself: a version id belongs to exactly one key",
            "change the fields that do not go together; nothing was planned",
        ),
        (
            {"moment": T, "prefix": "*", "on_conflict": "perhaps"},
            "the request contradicts itself: on_conflict: Input should be 'leave' or 'overwrite'",
            "change the fields that do not go together; nothing was planned",
        ),
        (
            {"goal": "backwards", "prefix": "*"},
            "there is no goal 'backwards'",
            "the goals are moment, undelete, version, manifest",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(RecoveryError) as refused:
        read_form(form(**given))
    assert (refused.value.message, refused.value.hint) == (message, hint)


def test_future_is_refused_but_for_the_end_of_the_window() -> None:
    tomorrow = (utc_now() + timedelta(days=1)).isoformat()
    with pytest.raises(RecoveryError, match="moment lies in the future"):
        read_form(form(moment=tomorrow, prefix="*"))
    read_form(form(goal="undelete", deleted_from=T, deleted_to=tomorrow, prefix="*"))


def test_misspelt_field_is_refused() -> None:
    with pytest.raises(RecoveryError, match="the form has no field momnt"):
        read_form(form(momnt=T))


def test_reason_says_why() -> None:
    assert reason_of(form(reason=" INC-7:\n prefix deleted ")) == "INC-7: prefix deleted"
    with pytest.raises(RecoveryError, match="the reason 'oops' does not say why"):
        reason_of(form(reason="oops"))
