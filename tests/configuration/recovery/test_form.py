"""The form of a recovery of configuration: read to the letter, or refused in words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ledgerkeep.configuration.recovery.form import read_form, reason_of
from ledgerkeep.errors import RecoveryError

SOURCES = ["parameters", "iam"]
ID = "20261122T010203000004Z-0a1b2c"


def form(**fields: Any) -> dict[str, Any]:
    return {
        "source": "parameters",
        "version": "newest",
        "only": None,
        "delete_unknown": False,
        "scenario": "accidental_deletion",
        "reason": "INC-7: a parameter was deleted",
        **fields,
    }


@pytest.mark.parametrize(
    ("version", "version_id", "at"),
    [
        ("newest", None, None),
        ("", None, None),
        (f" {ID} ", ID, None),
        ("2026-03-01T15:30:00+01:00", None, datetime(2026, 3, 1, 14, 30, tzinfo=UTC)),
        ("2026-03-01 14:30Z", None, datetime(2026, 3, 1, 14, 30, tzinfo=UTC)),
    ],
)
def test_version_is_an_id_a_time_or_the_newest(version: str, version_id: Any, at: Any) -> None:
    asked = read_form(form(version=version), SOURCES)
    assert (asked.version_id, asked.at, asked.only, asked.delete_unknown) == (
        version_id,
        at,
        (),
        False,
    )


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        (
            {"version": "yesterday"},
            "'yesterday' is neither a version's id nor a time",
            "write newest, an id as `ledgerkeep configuration list` shows it, or a time such as "
            "2026-03-01T14:30:00+00:00",
        ),
        (
            {"version": "2026-03-01T14:30:00"},
            "the time '2026-03-01T14:30:00' has no offset from UTC",
            "write it as 2026-03-01T14:30:00+00:00; add +00:00 if it is UTC",
        ),
        (
            {"version": "2999-03-01T14:30:00Z"},
            "the time '2999-03-01T14:30:00Z' lies in the future",
            "look at the date and at the offset from UTC",
        ),
        ({"source": "waf"}, "there is no source 'waf'", "the sources are parameters, iam"),
        (
            {"sorce": "iam"},
            "the form has no field sorce",
            "its fields are delete_unknown, only, reason, scenario, source, version",
        ),
        ({"only": 7}, "the names are no list of texts", "write one name to a line"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: Any, message: str, hint: str) -> None:
    with pytest.raises(RecoveryError) as caught:
        read_form(form(**fields), SOURCES)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_names_come_as_a_list_or_one_to_a_line() -> None:
    for told in (["/loan/a", " /loan/b ", "", "/loan/a"], "/loan/a\n/loan/b\n"):
        assert read_form(form(only=told), SOURCES).only == ("/loan/a", "/loan/b")


def test_only_a_yes_deletes() -> None:
    assert read_form(form(delete_unknown=True), SOURCES).delete_unknown
    assert not read_form(form(delete_unknown="false"), SOURCES).delete_unknown


def test_reason_is_asked_for() -> None:
    assert reason_of(form(reason=" INC-7:\n deleted ")) == "INC-7: deleted"
    with pytest.raises(RecoveryError, match="does not say why"):
        reason_of(form(reason="oops"))
