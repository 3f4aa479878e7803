"""The recovery form: what is right is understood, everything else is refused in words."""

from datetime import UTC, datetime

import pytest

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.models import Proof
from ledgerkeep.errors import RecoveryError, RecoveryPointMissing
from ledgerkeep.recovery.request import choose_backup, read_full_restore, read_point_in_time
from tests.recovery.samples import SYSTEM, backup, minute

FORM = {
    "target_kind": "time",
    "target_value": "2026-03-01T14:30:00+01:00",
    "stop_at": "after",
    "scenario": "accidental_deletion",
    "reason": "rows deleted, INC-1",
    "destination": "",
    "afterwards": "stopped",
    "backup": "",
    "timeline": "",
}


def snapshot(*names: str, proven: str = "") -> CatalogSnapshot:
    backups = [backup(name, stop=number, at=number) for number, name in enumerate(names, 1)]
    shown = [Proof(recovery_point_id=proven, level="proven", shown_at=minute(9), run="dag/test")]
    return CatalogSnapshot(
        environment="production",
        system_identifier=SYSTEM,
        backups=backups,
        proofs={proven: shown} if proven else {},
    )


def test_filled_in_form_is_understood() -> None:
    asked = read_point_in_time(
        {**FORM, "destination": "/srv/recovery/loans-1", "afterwards": "running", "timeline": "2"}
    )
    assert asked.target.time == datetime(2026, 3, 1, 13, 30, tzinfo=UTC)
    assert (asked.target.inclusive, asked.target.timeline) == (True, 2)
    assert (asked.destination, asked.afterwards) == ("/srv/recovery/loans-1", "running")
    assert (asked.scenario, asked.reason) == ("accidental_deletion", "rows deleted, INC-1")
    assert asked.backup_id is None


def test_stop_before_leaves_the_transaction_out() -> None:
    form = {**FORM, "target_kind": "xid", "target_value": " 4711 ", "stop_at": "before"}
    target = read_point_in_time(form).target
    assert (target.xid, target.inclusive) == (4711, False)


@pytest.mark.parametrize(
    ("field", "value", "message", "hint"),
    [
        (
            "target_value",
            "2026-03-01T14:30:00",
            "the recovery target '2026-03-01T14:30:00' has no offset from UTC",
            "say which clock is meant: 2026-03-01T14:30:00+00:00 if it is UTC",
        ),
        (
            "target_value",
            "yesterday",
            "'yesterday' is not a moment",
            "write it as ISO 8601 with its offset from UTC: 2026-03-01T14:30:00+00:00",
        ),
        (
            "target_kind",
            "latest",
            "the target is the latest position, and yet a value is given: "
            "'2026-03-01T14:30:00+01:00'",
            "leave the target value empty, or choose the kind of target that the value is of",
        ),
        (
            "reason",
            "  test ",
            "the reason 'test' does not say why",
            "write what happened, and the incident's or ticket's number, for whoever approves and "
            "for the evidence",
        ),
        (
            "destination",
            "recovery/loans",
            "the destination 'recovery/loans' is not a directory's full path",
            "write it from the root, in plain letters, such as /srv/recovery/loans-1, or leave it "
            "empty",
        ),
        ("afterwards", "deleted", "afterwards is 'deleted'", "it can be stopped or running"),
        ("stop_at", "near", "stop_at is 'near'", "it can be after or before"),
        (
            "scenario",
            "",
            "scenario is ''",
            "it can be database_failure or accidental_deletion or security_incident",
        ),
        (
            "timeline",
            "two",
            "'two' is not a timeline",
            "a timeline is a number such as 2; leave it empty for the newest",
        ),
        (
            "target_tme",
            "x",
            "the form has no field target_tme",
            "its fields are afterwards, backup, destination, documents, reason, scenario, "
            "stop_at, target_kind, target_value, timeline",
        ),
    ],
)
def test_wrong_field_is_refused_with_what_to_write(
    field: str, value: str, message: str, hint: str
) -> None:
    with pytest.raises(RecoveryError) as caught:
        read_point_in_time({**FORM, field: value})
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    "destination",
    ["/", "/srv/../etc", "/srv/x y", "/srv/x;rm", "/srv//x", "/srv/$(id)", "/srv/x\ny", "/srv/.x"],
)
def test_destination_is_a_plain_path(destination: str) -> None:
    """It is typed again from a runbook, into shells."""
    with pytest.raises(RecoveryError, match="is not a directory's full path"):
        read_point_in_time({**FORM, "destination": destination})


FULL = {
    "recovery_point": "latest proven",
    "through": "latest",
    "scenario": "database_failure",
    "reason": "disk is gone, INC-2",
}


def test_full_restore_starts_from_the_latest_proven_backup_and_loses_the_least() -> None:
    asked = read_full_restore(FULL, snapshot("b1", "b2", "b3", proven="b2"))
    assert asked.backup_id == "b2"
    assert asked.target.latest


def test_full_restore_to_the_backup_itself_ends_where_it_ended() -> None:
    known = snapshot("b1", "b2")
    asked = read_full_restore({**FULL, "recovery_point": "b1", "through": "backup"}, known)
    assert asked.backup_id == "b1"
    assert (asked.target.lsn, asked.target.timeline) == (known.backups[0].stop_lsn, 1)


def test_nothing_proven_is_refused_with_what_there_is() -> None:
    with pytest.raises(RecoveryPointMissing) as caught:
        choose_backup(snapshot("b1", "b2"), "latest proven")
    assert caught.value.message == f"no recovery point of the cluster {SYSTEM} is proven"
    assert caught.value.hint == ("name one by its id; the newest are b2 (recorded), b1 (recorded)")


def test_unknown_recovery_point_is_refused_with_what_there_is() -> None:
    with pytest.raises(RecoveryPointMissing) as caught:
        choose_backup(snapshot("b1", proven="b1"), "b9")
    assert caught.value.message == "there is no recovery point 'b9'"
    assert caught.value.hint == "name one by its id; the newest are b1 (proven)"


def test_empty_catalog_says_what_to_do() -> None:
    with pytest.raises(RecoveryPointMissing) as caught:
        choose_backup(snapshot(), "latest proven")
    assert caught.value.hint == "nothing is stored of this cluster: take a full backup"
