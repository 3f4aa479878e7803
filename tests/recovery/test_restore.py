"""Restores of a real cluster: to every kind of target, and what must go wrong in the right way."""

import signal
from pathlib import Path

import psutil
import pytest

from ledgerkeep.database.postgres.address import connect
from ledgerkeep.errors import (
    ObjectCorrupt,
    OperationRunning,
    PreflightFailed,
    RecoveryStopped,
    RestoreFailed,
    TargetUnreachable,
)
from ledgerkeep.recovery.replay import Copy, open_copy, promote_copy
from ledgerkeep.recovery.restore import RestoreResult, restore_cluster
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.recovery.wal_index import segment_on
from ledgerkeep.worker import WorkerSettings
from tests.recovery.conftest import History
from tests.recovery.faults import (
    little_space,
    processes_in,
    start_restore,
    wait_until,
)

pytestmark = pytest.mark.integration


def restore(
    history: History, target: RecoveryTarget, room: Path, settings: WorkerSettings, **more: object
) -> RestoreResult:
    """Plan and restore a test copy."""
    how = {"run": "test/run", "purpose": "test", **more}
    plan = history.plan(target)
    return restore_cluster(history.catalog, plan, room, settings=settings, **how)


def ask(copy: Copy, query: str) -> list[tuple]:
    """The rows of a query on a copy."""
    with connect(copy.address) as connection:
        return connection.execute(query).fetchall()


def names(copy: Copy) -> str:
    """The rows that are in the copy, in one word."""
    rows = ask(copy, "SELECT name FROM event WHERE name <> 'before' ORDER BY name")
    assert ask(copy, "SELECT count(*) FROM event WHERE name = 'before'") == [(1,)]
    return "".join(name for (name,) in rows)


@pytest.mark.parametrize("kind", ["time", "lsn", "xid", "xid exclusive", "name", "latest", "stop"])
def test_rows_before_the_target_are_there_and_none_after(history, room, settings, kind):
    mark = history.marks["c"]
    target, expected = {
        "time": (RecoveryTarget(time=mark.time), "abc"),
        "lsn": (RecoveryTarget(lsn=mark.lsn, inclusive=False), "abc"),
        "xid": (RecoveryTarget(xid=mark.xid), "abc"),
        "xid exclusive": (RecoveryTarget(xid=mark.xid, inclusive=False), "ab"),
        "name": (RecoveryTarget(name="release"), "abc"),
        "latest": (RecoveryTarget(latest=True), "abcde"),
        "stop": (RecoveryTarget(lsn=history.backup.stop_lsn), ""),
    }[kind]
    result = restore(history, target, room, settings)
    assert set(result.seconds) == {"preflight", "extract", "replay"}
    assert result.recovery_seconds > 0
    assert result.files > 900
    with open_copy(history.catalog, Room.open(room), settings=settings) as copy:
        assert names(copy) == expected
        assert copy.replayed_lsn == result.replayed_lsn
        assert ask(copy, "SELECT count(*) FROM bulk") == [(150000,)]


def test_a_time_after_the_last_commit_is_reached_where_the_wal_ends(history, room, settings):
    """Nothing in the WAL lies after it that the server could stop before."""
    end = history.catalog.stretches(history.system_identifier)[-1].covered_until
    assert end > history.marks["e"].time
    restore(history, RecoveryTarget(time=end), room, settings, patience=30)
    with open_copy(history.catalog, Room.open(room), settings=settings) as copy:
        assert names(copy) == "abcde"
        assert ask(copy, "SELECT pg_is_in_recovery()") == [(True,)]


def test_transaction_that_did_not_end_in_the_wal_is_said_so(history, room, settings):
    target = RecoveryTarget(xid=history.unfinished_xid)
    with pytest.raises(RecoveryStopped) as stopped:
        restore(history, target, room, settings)
    assert stopped.value.message.endswith(
        f"was replayed without meeting transaction {history.unfinished_xid}"
    )
    assert stopped.value.hint == (
        "the transaction may have been rolled back before, or still have been running "
        "when the WAL was shipped; recover to a time or a WAL position instead"
    )


def test_copy_goes_on_to_later_targets_and_is_promoted_at_last(history, room, settings):
    """What the proof does: one position after the other, then amcheck on a writable copy."""
    first, second = history.marks["b"], history.marks["d"]
    restore(history, RecoveryTarget(lsn=first.lsn, inclusive=False), room, settings)
    opened = Room.open(room)
    later = RecoveryTarget(lsn=second.lsn, inclusive=False)
    with open_copy(history.catalog, opened, settings=settings) as copy:
        assert names(copy) == "ab"
    for _ in range(2):
        with open_copy(history.catalog, opened, settings=settings, target=later) as copy:
            assert names(copy) == "abcd"
            assert first.lsn < copy.replayed_lsn <= second.lsn
            with pytest.raises(OperationRunning, match="another process works in"):
                opened.remove()
    with open_copy(history.catalog, opened, settings=settings, target=later) as copy:
        promote_copy(copy)
        ask(copy, "INSERT INTO event VALUES ('new') RETURNING name")
        assert names(copy) == "abcdnew"
    with open_copy(history.catalog, opened, settings=settings) as copy:
        assert names(copy) == "abcdnew"
    with (
        pytest.raises(RestoreFailed) as refused,
        open_copy(history.catalog, opened, settings=settings, target=later),
    ):
        pass
    assert refused.value.message == (
        f"the copy in {room} was promoted: it cannot recover to {later} any more"
    )


def test_target_behind_the_wal_of_the_plan_is_refused(history, room, settings):
    restore(history, RecoveryTarget(lsn=history.backup.stop_lsn), room, settings)
    far = RecoveryTarget(lsn=history.marks["e"].lsn + (1 << 30))
    with (
        pytest.raises(TargetUnreachable, match="cannot be reached in this room: its plan has WAL"),
        open_copy(history.catalog, Room.open(room), settings=settings, target=far),
    ):
        pass


def test_copy_is_harmless(history, room, settings, place):
    """Own settings, own directory, own socket; nothing of the source's acts in it."""
    restore(history, RecoveryTarget(latest=True), room, settings)
    opened = Room.open(room)
    assert "archive_command" in (opened.data / "postgresql.auto.conf.source").read_text()
    with open_copy(history.catalog, opened, settings=settings) as copy:
        shown = {
            name: ask(copy, f"SHOW {name}")[0][0]
            for name in ("archive_mode", "archive_command", "listen_addresses", "max_connections")
        }
        assert shown == {
            "archive_mode": "off",
            "archive_command": "(disabled)",
            "listen_addresses": "",
            "max_connections": "150",
        }
        assert ask(copy, "SELECT inet_server_addr()") == [(None,)]
        oid = ask(copy, "SELECT oid FROM pg_tablespace WHERE spcname = 'fast'")[0][0]
        location = ask(copy, f"SELECT pg_tablespace_location({oid})")[0][0]
        assert Path(location) == room / "tablespaces" / str(oid)
        assert opened.sockets.stat().st_mode & 0o777 == 0o700
        server = psutil.Process(opened.server_pid())
        assert server.uids().real == place.account.uid != 0
    assert opened.server_pid() is None


# -- what goes wrong


def test_flipped_byte_in_a_volume_is_found_and_the_copy_removed(history, room, settings):
    volume = history.backup.archives[-1].volumes[0]
    with history.flipped(volume.key), pytest.raises(ObjectCorrupt) as corrupt:
        restore(history, RecoveryTarget(latest=True), room, settings)
    assert "is damaged" in corrupt.value.message or volume.key in corrupt.value.message
    assert not room.exists()


def test_flipped_byte_in_the_manifest_is_found(history, room, settings):
    key = history.backup.manifest.key
    with history.flipped(key), pytest.raises(ObjectCorrupt, match="backup_manifest"):
        restore(history, RecoveryTarget(latest=True), room, settings)


def test_flipped_byte_in_a_wal_segment_stops_the_recovery_and_names_it(history, room, settings):
    """It must not be taken for the end of the WAL: the copy would come up, and be too old."""
    plan = history.plan(RecoveryTarget(latest=True))
    key = history.segment_key(plan.last_segment)
    with history.flipped(key), pytest.raises(RecoveryStopped) as stopped:
        restore(history, RecoveryTarget(latest=True), room, settings)
    assert "replay stopped" in stopped.value.message
    assert plan.last_segment in stopped.value.message
    assert stopped.value.hint


def test_segment_lost_in_the_middle_is_named_by_the_plan(history):
    plan = history.plan(RecoveryTarget(latest=True))
    lost = segment_on(plan.lineage, plan.available_until // plan.segment_size - 4, 1 << 20)
    with (
        history.replaced(history.segment_key(lost), None),
        pytest.raises(TargetUnreachable) as refused,
    ):
        history.plan(RecoveryTarget(time=history.marks["e"].time))
    assert f"segment {lost} is gone from the object store" in refused.value.message


def test_segment_lost_after_planning_is_found_before_anything_is_written(history, room, settings):
    plan = history.plan(RecoveryTarget(latest=True))
    with (
        history.replaced(history.segment_key(plan.last_segment), None),
        pytest.raises(PreflightFailed) as refused,
    ):
        restore_cluster(
            history.catalog, plan, room, settings=settings, run="test/run", purpose="test"
        )
    assert refused.value.message == (
        f"the restore to {room} would fail: 1 WAL segments are gone since the recovery was "
        f"planned, the first is {plan.last_segment}"
    )
    assert refused.value.hint == (
        "plan again: the refusal names the nearest targets that can be reached"
    )
    assert list(room.iterdir()) == []


def test_volume_that_is_gone_is_found_before_anything_is_written(history, room, settings):
    volume = history.backup.archives[-1].volumes[0]
    with history.replaced(volume.key, None), pytest.raises(PreflightFailed) as refused:
        restore(history, RecoveryTarget(latest=True), room, settings)
    location = history.catalog.store.location
    assert refused.value.message == (
        f"the restore to {room} would fail: {location}/{volume.key} is gone"
    )
    assert refused.value.hint == f"plan with another base backup than {history.backup.id}"


def test_target_before_what_was_replayed_already_is_refused_by_the_server(history, room, settings):
    restore(history, RecoveryTarget(lsn=history.marks["d"].lsn, inclusive=False), room, settings)
    earlier = RecoveryTarget(lsn=history.marks["b"].lsn, inclusive=False)
    with (
        pytest.raises(RecoveryStopped) as stopped,
        open_copy(history.catalog, Room.open(room), settings=settings, target=earlier),
    ):
        pass
    assert stopped.value.message.endswith(
        f"before {earlier}: requested recovery stop point is before consistent recovery point"
    )


def test_all_findings_come_in_one_refusal(history, room, settings, place):
    (room / "precious").write_text("do not touch")
    only_16 = settings.model_copy(update={"postgres_programs": (room,)})
    with pytest.raises(PreflightFailed) as refused:
        restore(history, RecoveryTarget(latest=True), room, only_16)
    assert refused.value.message == (
        f"the restore to {room} would fail: this worker has no programs of PostgreSQL 18; "
        f"{room} is not empty"
    )
    assert "install the server package of that major version" in refused.value.hint
    assert "name an empty or new directory" in refused.value.hint
    assert (room / "precious").read_text() == "do not touch"


def test_room_of_another_run_is_left_alone_and_ones_own_starts_over(history, room, settings):
    target = RecoveryTarget(lsn=history.backup.stop_lsn)
    restore(history, target, room, settings, run="monday")
    with pytest.raises(PreflightFailed, match="is not empty"):
        restore(history, target, room, settings, run="tuesday")
    assert restore(history, target, room, settings, run="monday").run == "monday"


def test_too_little_space_is_found_before_anything_is_written(history, room, settings):
    plan = history.plan(RecoveryTarget(latest=True))
    huge = plan.model_copy(update={"backup_raw_bytes": 1 << 60})
    with pytest.raises(PreflightFailed) as refused:
        restore_cluster(
            history.catalog, huge, room, settings=settings, run="test/run", purpose="test"
        )
    assert f"the restore to {room} would fail: the file system of {room} has " in (
        refused.value.message
    )
    assert refused.value.hint.endswith(" there, or name another destination")
    assert list(room.iterdir()) == []


def test_full_disk_is_told_with_what_is_missing_and_the_copy_removed(
    history, room, settings, monkeypatch
):
    """Between the preflight and the end of the restore somebody else may fill the disk."""
    monkeypatch.setattr("ledgerkeep.recovery.preflight._space", lambda *_: [])
    with little_space(room), pytest.raises(RestoreFailed) as full:
        restore(history, RecoveryTarget(latest=True), room / "copy", settings)
    assert f"the file system of {room / 'copy'} is full after" in full.value.message
    assert full.value.message.endswith(("No space left on device", "File too large"))
    assert full.value.hint.endswith("the partial copy was removed")
    assert not (room / "copy").exists()


# -- killed


@pytest.mark.parametrize("phase", ["restore of the base backup", "replay at"])
def test_killed_restore_leaves_no_server_and_is_run_again(history, room, settings, phase):
    process = start_restore(history, RecoveryTarget(latest=True), room, settings, hang_in=phase)
    try:
        assert process.stdout.readline() == b"hanging\n"
        if phase == "replay at":
            assert processes_in(room)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not processes_in(room))
    restore(history, RecoveryTarget(latest=True), room, settings)
    with open_copy(history.catalog, Room.open(room), settings=settings) as copy:
        assert names(copy) == "abcde"
