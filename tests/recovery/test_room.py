"""Rooms: whose they are, and when they go."""

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from ledgerkeep.database.postgres.postmaster import Postmaster, init_cluster
from ledgerkeep.database.postgres.programs import Account, Programs
from ledgerkeep.errors import RestoreFailed
from ledgerkeep.recovery.janitor import remove_old_rooms
from ledgerkeep.recovery.plan import plan_recovery
from ledgerkeep.recovery.preflight import Worker, _reachable
from ledgerkeep.recovery.room import Purpose, Room, RoomRecord
from ledgerkeep.recovery.settings import cluster_name, configure, prepare_data
from ledgerkeep.recovery.target import RecoveryTarget
from tests.recovery.faults import processes_in
from tests.recovery.samples import NOW, backup, listed, snapshot

US = Account("us", os.geteuid(), os.getegid())


def record(*, hours: float = 0, purpose: Purpose = "test") -> RoomRecord:
    """A room's record, so many hours old."""
    catalog = snapshot(backup("monday", stop=3, at=0))
    plan = plan_recovery(catalog, listed(catalog), RecoveryTarget(latest=True), now=NOW)
    return RoomRecord(
        run="dag/run",
        purpose=purpose,
        created_at=NOW - timedelta(hours=hours),
        plan=plan,
        server_settings={"max_connections": "150"},
    )


def test_room_is_found_again_by_another_process(tmp_path):
    made = Room.create(tmp_path / "copy", record(), US)
    assert Room.open(tmp_path / "copy").record == made.record
    assert stat.S_IMODE(made.data.stat().st_mode) == 0o700


def test_directory_that_is_no_room_is_said_so(tmp_path):
    with pytest.raises(RestoreFailed) as refused:
        Room.open(tmp_path)
    assert refused.value.message == f"{tmp_path} holds no restored copy"


def test_socket_of_a_deep_room_goes_where_its_path_fits(tmp_path):
    shallow = Room(Path("/var/tmp/rooms/one"), record())
    assert shallow.sockets == Path("/var/tmp/rooms/one/sockets")
    deep = Room.create(tmp_path / ("d" * 100), record(), US)
    deep.make_sockets(US)
    assert deep.sockets.parent == Path("/tmp")
    assert stat.S_IMODE(deep.sockets.stat().st_mode) == 0o700
    deep.remove()
    assert not deep.sockets.exists()
    assert not deep.directory.exists()


def test_sources_settings_are_set_aside_and_ours_are_quoted(tmp_path):
    room = Room.create(tmp_path / "o'clock", record(), US)
    (room.data / "postgresql.auto.conf").write_text("archive_command = 'rm'")
    (room.data / "recovery.signal").touch()
    prepare_data(room, US)
    configure(room, {"recovery_target_time": "2026-03-01 12:00:00+00:00"}, US)
    assert (room.data / "postgresql.auto.conf").read_text() == ""
    assert (room.data / "postgresql.auto.conf.source").read_text() == "archive_command = 'rm'"
    assert not (room.data / "recovery.signal").exists()
    assert (room.data / "standby.signal").exists()
    written = room.configuration.read_text().splitlines()
    assert "recovery_target_time = '2026-03-01 12:00:00+00:00'" in written
    assert "max_connections = '150'" in written
    assert "archive_mode = 'off'" in written
    assert "fsync = 'off'" in written
    assert f"hba_file = '{tmp_path}/o''clock/pg_hba.conf'" in written


def test_only_a_test_copy_may_lose_everything_in_a_power_cut(tmp_path):
    room = Room.create(tmp_path / "copy", record(purpose="recovery"), US)
    configure(room, {}, US)
    assert "fsync" not in room.configuration.read_text()


def test_cluster_name_fits_the_process_list():
    assert cluster_name("prüfung" + "x" * 80) == "pr?fung" + "x" * 56


def test_janitor_removes_old_test_copies_and_nothing_else(tmp_path):
    for name, made in {
        "old": record(hours=25),
        "held": record(hours=25),
        "young": record(hours=23),
        "recovered": record(hours=999, purpose="recovery"),
    }.items():
        Room.create(tmp_path / name, made, US)
    (tmp_path / "something else").mkdir()
    with Room.open(tmp_path / "held").held():
        removed = remove_old_rooms(tmp_path, keep=timedelta(hours=24), now=NOW)
    assert [Path(one.directory).name for one in removed] == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "held",
        "recovered",
        "something else",
        "young",
    ]


def test_account_that_cannot_reach_the_destination_is_found(tmp_path):
    tmp_path.chmod(0o700)
    stranger = Account("stranger", os.geteuid() + 4321, os.getegid() + 4321)
    worker = Worker(Programs(Path("/usr/bin"), 18), stranger)
    assert list(_reachable(tmp_path / "copy", worker)) == [
        (
            f"the account stranger cannot reach the destination {tmp_path}/copy",
            "let stranger enter every directory on the way, or use a place that it can reach",
        )
    ]


@pytest.mark.integration
def test_server_without_a_keeper_is_ended_before_the_room_is_used(place, room, monkeypatch):
    monkeypatch.setattr("ledgerkeep.recovery.room._WARD_SECONDS", 0.2)
    left = Room.create(room, record(), place.account)
    init_cluster(place.programs, place.account, left.data)
    left.make_sockets(place.account)
    server = Postmaster.start(
        place.programs, place.account, left.data, sockets=left.sockets, log=left.log
    )
    server.wait_until_ready()
    assert left.server_pid() is not None
    left.remove()
    assert not room.exists()
    assert not processes_in(room)
    server.stop()


def test_copy_that_was_handed_over_is_nobodys_to_hold_or_remove(tmp_path):
    """Its server may be the production database by now."""
    room = Room.create(tmp_path / "copy", record(purpose="recovery"), US)
    room.handover.touch()
    for touch in (room.remove, lambda: room.held().__enter__()):
        with pytest.raises(RestoreFailed) as caught:
            touch()
        assert (
            caught.value.message
            == f"the copy in {room.directory} was handed over, and may be in use"
        )
        assert caught.value.hint == (
            "restore to another directory; remove this one by hand when nobody needs it"
        )
    assert room.directory.exists()
