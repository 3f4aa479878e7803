"""Targets as people write them."""

import pytest
from pydantic import ValidationError

from ledgerkeep.errors import RecoveryError
from ledgerkeep.recovery.target import RecoveryTarget, parse_target


@pytest.mark.parametrize(
    ("kind", "value", "settings"),
    [
        (
            "time",
            "2026-03-01T15:30:00+01:00",
            {
                "recovery_target_time": "2026-03-01 14:30:00+00:00",
                "recovery_target_inclusive": "on",
            },
        ),
        (
            "lsn",
            "16/b374d848",
            {"recovery_target_lsn": "16/B374D848", "recovery_target_inclusive": "on"},
        ),
        (
            "xid",
            "4294967400",
            {"recovery_target_xid": "4294967400", "recovery_target_inclusive": "on"},
        ),
        ("latest", "", {}),
    ],
)
def test_target_is_read_and_told_to_the_server(kind, value, settings):
    target = parse_target(kind, value)
    assert target.kind == kind
    assert target.server_settings() == settings
    assert parse_target(kind, target.value) == target


def test_naive_time_is_refused_with_the_question_which_clock():
    with pytest.raises(RecoveryError) as refused:
        parse_target("time", "2026-03-01T14:30:00")
    assert refused.value.message == (
        "the recovery target '2026-03-01T14:30:00' has no offset from UTC"
    )
    assert refused.value.hint == (
        "say which clock is meant: 2026-03-01T14:30:00+00:00 if it is UTC"
    )


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("time", "yesterday", "'yesterday' is not a moment"),
        ("lsn", "12345", "'12345' is not a WAL position"),
        ("xid", "-4", "'-4' is not a transaction id"),
        ("moment", "now", "'moment' is not a kind of recovery target"),
        (
            "name",
            "",
            "'' is not a recovery target of the kind name: String should have at least 1 character",
        ),
    ],
)
def test_nonsense_is_refused(kind, value, message):
    with pytest.raises(RecoveryError) as refused:
        parse_target(kind, value)
    assert refused.value.message == message
    assert refused.value.hint


@pytest.mark.parametrize("given", [{}, {"latest": True, "xid": 700}])
def test_exactly_one_kind(given):
    with pytest.raises(ValidationError, match="exactly one of time, lsn, xid, name, latest"):
        RecoveryTarget(**given)
