"""A chain of backups, taken under load and restored as one: identical, and nothing left behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.errors import (
    ChainBroken,
    ObjectCorrupt,
    OperationRunning,
    PreflightFailed,
    RestoreFailed,
)
from ledgerkeep.recovery.combine import Method, choose_method
from ledgerkeep.recovery.proof import first_target, prove_copy, record_proof
from ledgerkeep.recovery.replay import open_copy
from ledgerkeep.recovery.restore import remove_own_room, restore_cluster
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.space import MARGIN, bytes_needed
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.worker import WorkerSettings
from tests.database.postgres.backup_support import backup_prefix
from tests.recovery.chains import Chain, lived_through_a_chain
from tests.recovery.faults import (
    combines,
    little_space,
    processes_in,
    start_restore,
    wait_until,
)
from tests.recovery.test_restore import ask, restore

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def chain(place: Place, s3: ObjectStoreServer) -> Iterator[Chain]:
    with lived_through_a_chain(place, s3) as lived:
        yield lived


@pytest.mark.parametrize("method", ["link", "copy-file-range", "copy"])
def test_chain_taken_under_load_is_restored_to_an_exact_lsn_and_identical(
    chain: Chain,
    room: Path,
    settings: WorkerSettings,
    monkeypatch: pytest.MonkeyPatch,
    method: Method,
) -> None:
    monkeypatch.setattr("ledgerkeep.recovery.restore.choose_method", lambda *_: method)
    target = first_target(chain.fingerprint)
    result = restore(chain, target, room, settings)

    ids = [member.id for member in chain.members]
    assert [member.method for member in chain.members] == ["full"] + ["incremental"] * 3
    assert (result.chain, result.backup_id, result.combined_by) == (ids, ids[-1], method)
    assert set(result.seconds) == {"preflight", "extract", "combine", "replay"}
    copy = Room.open(room)
    assert not copy.chain.exists()
    with open_copy(chain.catalog, copy, settings=settings) as opened:
        names = {name for (name,) in ask(opened, "SELECT datname FROM pg_database")}
        assert {"ledger", "born"} <= names
        assert "doomed" not in names
        (oid,) = ask(opened, "SELECT oid FROM pg_tablespace WHERE spcname = 'fast'")[0]
        location = ask(opened, f"SELECT pg_tablespace_location({oid})")[0][0]
        assert Path(location) == room / "tablespaces" / str(oid)

    proof = prove_copy(chain.catalog, copy, chain.fingerprint, settings=settings, run="test/run")
    assert proof.rows_compared == 122_001


def test_proof_of_an_incremental_says_of_its_ancestors_what_was_shown(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    """All of them were read back and checked; only the last one came up."""
    restore(chain, RecoveryTarget(lsn=chain.backup.stop_lsn), room, settings)
    plan = Room.open(room).record.plan
    record_proof(chain.catalog, plan, run="test/run", identical=None, validated=None)

    proofs = chain.catalog.proofs(chain.system_identifier)
    assert [proofs[member.id][-1].level for member in chain.members] == [
        "intact",
        "intact",
        "intact",
        "restored",
    ]
    assert proofs[chain.members[1].id][-1].stops_because == (
        f"it was restored as a part of {chain.backup.id}, not by itself"
    )


def test_own_end_of_an_incremental_in_the_middle_is_restored(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    first, second = chain.members[:2]
    result = restore(chain, RecoveryTarget(lsn=second.stop_lsn), room, settings)
    assert result.chain == [first.id, second.id]
    with open_copy(chain.catalog, Room.open(room), settings=settings) as copy:
        names = {name for (name,) in ask(copy, "SELECT datname FROM pg_database")}
        assert "doomed" in names
        assert "born" not in names


# -- what is missing or damaged


def test_volume_of_a_middle_backup_that_is_gone_is_found_before_anything_is_written(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    lost = chain.members[1].archives[-1].volumes[0]
    with chain.replaced(lost.key, None), pytest.raises(PreflightFailed) as refused:
        restore(chain, RecoveryTarget(latest=True), room, settings)
    assert refused.value.message == (
        f"the restore to {room} would fail: {chain.catalog.store.location}/{lost.key} is gone"
    )
    assert refused.value.hint == f"plan with another base backup than {chain.backup.id}"
    assert list(room.iterdir()) == []


def test_middle_backup_that_is_gone_is_named_and_the_next_older_one_is_chosen(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    first, lost = chain.members[:2]
    planned = chain.plan(RecoveryTarget(latest=True))
    with chain.replaced(f"{backup_prefix(lost)}recovery-point.json", None):
        plan = chain.plan(RecoveryTarget(latest=True))
        with pytest.raises(ChainBroken) as broken:
            chain.plan(RecoveryTarget(latest=True), backup_id=chain.backup.id)
        with pytest.raises(PreflightFailed) as refused:
            restore_cluster(
                chain.catalog, planned, room, settings=settings, run="test/run", purpose="test"
            )
    assert plan.backup_id == first.id
    assert plan.missing == [f"backup {chain.backup.id} builds on {lost.id}, which is gone"]
    assert broken.value.message == f"backup {chain.backup.id} builds on {lost.id}, which is gone"
    assert refused.value.message == (
        f"the restore to {room} would fail: backup {lost.id} is gone since the recovery was planned"
    )
    assert list(room.iterdir()) == []


def test_flipped_byte_in_a_middle_backup_is_named_and_the_copy_removed(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    damaged = chain.members[2]
    volume = damaged.archives[-1].volumes[0]
    with chain.flipped(volume.key), pytest.raises(ObjectCorrupt) as corrupt:
        restore(chain, RecoveryTarget(latest=True), room, settings)
    assert corrupt.value.message.startswith(
        f"backup {damaged.id} of the chain of {chain.backup.id}: "
    )
    assert not room.exists()


def test_backups_that_do_not_follow_each_other_are_not_combined(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    """A record that names the wrong parent: PostgreSQL's own positions tell."""
    plan = chain.plan(RecoveryTarget(latest=True))
    forged = plan.model_copy(update={"chain": [plan.chain[0], *plan.chain[2:]]})
    with pytest.raises(RestoreFailed) as failed:
        restore_cluster(
            chain.catalog, forged, room, settings=settings, run="test/run", purpose="test"
        )
    assert failed.value.message.startswith(
        f"the chain of {chain.backup.id} could not be combined: backup at "
        f'"{room}/chain/{plan.chain[0].id}/data" starts at LSN '
    )
    assert failed.value.hint.startswith("if a backup of the chain is named, it does not fit")
    assert not room.exists()


# -- the worker


def test_program_that_is_not_installed_is_found_before_anything_is_written(
    chain: Chain, room: Path, settings: WorkerSettings, place: Place, tmp_path: Path
) -> None:
    for program in place.programs.directory.iterdir():
        if program.name != "pg_combinebackup":
            (tmp_path / program.name).symlink_to(program)
    tmp_path.chmod(0o755)
    without = settings.model_copy(update={"postgres_programs": (tmp_path,)})
    with pytest.raises(PreflightFailed) as refused:
        restore(chain, RecoveryTarget(latest=True), room, without)
    assert refused.value.message == (
        f"the restore to {room} would fail: pg_combinebackup is not in {tmp_path}"
    )
    assert refused.value.hint.startswith("install the complete PostgreSQL server package")
    assert list(room.iterdir()) == []


def test_space_is_told_from_the_manifests_where_the_catalogs_figures_are_too_much(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    """What no backup of the chain changed is linked, and takes no space a second time."""
    plan = chain.plan(RecoveryTarget(latest=True))
    at_most = plan.bytes_to_write + MARGIN
    assert bytes_needed(chain.catalog, plan, chain.members, room, at_most) == at_most
    really = bytes_needed(chain.catalog, plan, chain.members, room, at_most - 1)
    assert plan.backup_raw_bytes + plan.wal_raw_bytes + MARGIN < really
    assert really < at_most - 20_000_000


def test_full_disk_while_combining_is_told_and_the_copy_removed(
    chain: Chain, room: Path, settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the preflight and the end of the restore somebody else may fill the disk."""
    monkeypatch.setattr("ledgerkeep.recovery.preflight._space", lambda *_: [])
    monkeypatch.setattr("ledgerkeep.recovery.restore.choose_method", lambda *_: "copy")
    backups = sum(member.raw_bytes for member in chain.members) // 1_000_000
    with little_space(room, backups + 8), pytest.raises(RestoreFailed) as full:
        restore(chain, RecoveryTarget(latest=True), room / "copy", settings)
    if os.geteuid() == 0:
        assert full.value.message.startswith(
            f"the file system of {room / 'copy'} is full while 4 backups are combined: could not "
        )
    assert full.value.hint.endswith("the partial copy was removed")
    assert not (room / "copy").exists()


def test_killed_while_combining_leaves_nothing_at_work_and_is_run_again(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    target = RecoveryTarget(latest=True)
    process = start_restore(chain, target, room, settings, hang_in="combining")
    try:
        assert process.stdout.readline() == b"hanging\n"
        assert any(combines(one) for one in processes_in(room))
        assert (room / "data" / "base" / "begun").exists()
        with pytest.raises(OperationRunning):
            remove_own_room(room, "test/run")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not processes_in(room))
    assert restore(chain, target, room, settings).chain[-1] == chain.backup.id


def test_killed_while_changed_blocks_are_written_is_run_again(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    target = RecoveryTarget(latest=True)
    process = start_restore(chain, target, room, settings, hang_in="changed blocks")
    try:
        assert process.stdout.readline() == b"hanging\n"
        with pytest.raises(OperationRunning):
            remove_own_room(room, "test/run")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not Room.open(room).complete
    assert restore(chain, target, room, settings).chain[-1] == chain.backup.id


# -- which way the files go


def test_links_come_first_and_only_where_the_program_knows_them(room: Path) -> None:
    assert choose_method(room, 18) == "link"
    assert choose_method(room, 17) in ("clone", "copy-file-range", "copy")
    assert list(room.iterdir()) == []


def test_file_system_that_can_do_nothing_gets_copies(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not here")

    for way in ("os.link", "fcntl.ioctl", "os.copy_file_range"):
        monkeypatch.setattr(f"ledgerkeep.recovery.combine.{way}", refuse)
    assert choose_method(room, 18) == "copy"
