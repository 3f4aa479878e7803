"""Stored objects are read back from a real store: what is right is recorded, damage is named."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.errors import StoreUnavailable
from ledgerkeep.evidence.verification import reread as module
from ledgerkeep.evidence.verification.part import Part
from ledgerkeep.evidence.verification.reread import reread
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import BackupVerification
from ledgerkeep.progress import no_progress
from tests.recovery.conftest import History

pytestmark = pytest.mark.integration

DAILY = BackupVerification(schedule="0 7 * * *", reread_within=timedelta(days=30))
DUE = timedelta(days=28)


def later(by: timedelta) -> Callable[[], datetime]:
    """A clock that is ahead."""
    return lambda: utc_now() + by


def verify(
    history: History, by: timedelta = DUE, *, catalog: Any = None, run: str = "test/1"
) -> Part:
    return reread(catalog or history.catalog, DAILY, run=run, progress=no_progress, clock=later(by))


def checked(history: History) -> list[str]:
    """Ids of the stretches that were read, in the order of their reading."""
    found = history.catalog.checked(history.system_identifier)
    return [name for one in found for name in one.stretch_ids]


def stretch_ids(history: History) -> list[str]:
    return [one.id for one in history.catalog.stretches(history.system_identifier)]


def test_everything_is_read_when_it_is_due_and_not_again(history: History) -> None:
    stretches = history.catalog.stretches(history.system_identifier)
    backup = history.backup
    objects = 1 + sum(len(one.volumes) for one in backup.archives)
    objects += sum(one.segment_count for one in stretches)

    part = verify(history)

    assert part.findings == []
    assert part.recovery_point_ids == [backup.id]
    assert checked(history) == [one.id for one in stretches]
    newest = history.catalog.proofs(history.system_identifier)[backup.id][-1]
    assert (newest.level, newest.run) == ("intact", "test/1")
    seconds = part.measurements.pop("reread_seconds")
    assert seconds > 0
    assert part.measurements == {
        "reread_bytes": backup.stored_bytes + sum(one.stored_bytes for one in stretches),
        "reread_objects": objects,
        "stored_objects": objects,
        "objects_read_in_time": objects,
        "oldest_reading_seconds": 0,
        "damaged_recovery_points": 0,
    }
    # The backup's own proof bears the real clock, so of all of it the WAL is what counts here.
    again = verify(history, DUE + timedelta(days=1))
    assert checked(history) == [one.id for one in stretches]
    assert again.measurements["reread_bytes"] == backup.stored_bytes


def test_nothing_is_read_before_it_is_due(history: History) -> None:
    part = verify(history, timedelta(days=1))
    assert part.measurements["reread_bytes"] == 0
    assert checked(history) == []


def test_overdue_objects_are_read_and_said_to_have_been(history: History) -> None:
    part = verify(history, timedelta(days=35))
    (found,) = part.findings
    assert (found.severity, found.what) == (
        "warning",
        "4 recovery points had not been read back for longer than 30 d before this run, the "
        "oldest for 35 d: were runs missed?",
    )
    assert part.measurements["objects_read_in_time"] == part.measurements["stored_objects"]


def test_flipped_bit_in_a_segment_is_named_with_what_it_takes_along(history: History) -> None:
    first, second, third = history.catalog.stretches(history.system_identifier)
    location = f"{history.catalog.store.location}/{history.segment_key(second.first_segment)}"
    with history.flipped(history.segment_key(second.first_segment)):
        part = verify(history)
        (found,) = part.grave
    assert found.startswith(
        f"WAL stretch {second.id} has lost a segment, first {second.first_segment}: "
        f"{location} is not what was written: sha256 "
    )
    assert found.endswith(
        f"; from {history.backup.id} nothing after {format_lsn(second.start_lsn)} "
        f"({first.covered_until:%Y-%m-%d %H:%M} UTC) can be reached"
    )
    assert second.id in part.recovery_point_ids
    assert part.measurements["damaged_recovery_points"] == 1
    # The others were read all the same.
    assert checked(history) == [first.id, third.id]


def test_damage_is_found_again_each_day_until_it_is_well(history: History) -> None:
    """Although nothing else is due then, and the backup is not read for it."""
    second = history.catalog.stretches(history.system_identifier)[1]
    tomorrow = timedelta(days=1)
    with history.flipped(history.segment_key(second.first_segment)):
        verify(history, DUE)
        again = verify(history, DUE + tomorrow)
        assert len(again.grave) == 1
    assert checked(history).count(second.id) == 0
    assert verify(history, DUE + 2 * tomorrow).grave == []
    assert checked(history).count(second.id) == 1
    well = verify(history, DUE + 3 * tomorrow)
    assert well.grave == []
    assert checked(history).count(second.id) == 1


def test_damaged_backup_is_read_again_before_its_time(history: History) -> None:
    with history.flipped(history.backup.archives[0].volumes[0].key):
        assert len(verify(history).grave) == 1
    # Its proof bears the real clock, which is before the damage was found by this test's clock.
    again = verify(history, DUE + timedelta(days=1))
    assert again.recovery_point_ids == [history.backup.id]


def test_missing_segment_is_named(history: History) -> None:
    last = history.catalog.stretches(history.system_identifier)[-1]
    key = history.segment_key(last.last_segment)
    with history.replaced(key, None):
        (found,) = verify(history).grave
    assert f"first {last.last_segment}: {history.catalog.store.location}/{key} does not" in found
    assert f"; from {history.backup.id} nothing after" in found


def test_segment_of_another_place_is_found_although_its_hash_is_right(history: History) -> None:
    """Somebody put one segment's object under another's name, metadata and all."""
    _, second, third = history.catalog.stretches(history.system_identifier)
    other = history.catalog.store.get(history.segment_key(second.first_segment))
    with replaced_with_hash(history, history.segment_key(third.first_segment), other):
        (found,) = verify(history).grave
    assert f"first {third.first_segment}: segment {third.first_segment} says it is " in found


@contextmanager
def replaced_with_hash(history: History, key: str, body: bytes) -> Iterator[None]:
    import hashlib

    from include.sandbox import objectstore

    client = objectstore.admin_client(history.s3)
    bucket = history.catalog.policy.storage.bucket
    about = {"sha256": hashlib.sha256(body).hexdigest()}
    answer = client.put_object(Bucket=bucket, Key=key, Body=body, Metadata=about)
    yield
    client.delete_object(Bucket=bucket, Key=key, VersionId=answer["VersionId"])


def test_damaged_volume_is_named_and_the_wal_is_read_all_the_same(history: History) -> None:
    volume = history.backup.archives[0].volumes[0].key
    with history.flipped(volume):
        part = verify(history)
    (found,) = part.grave
    assert found.startswith(f"backup {history.backup.id} of ")
    assert volume in found
    assert found.endswith("; no other backup builds on it")
    assert checked(history) == stretch_ids(history)


def test_record_that_is_damaged_hides_no_other_damage(history: History) -> None:
    first, second, third = history.catalog.stretches(history.system_identifier)
    environment = history.catalog.environment
    record = keys.stretch(environment, history.system_identifier, 1, first.id)
    with (
        history.flipped(record),
        history.flipped(history.segment_key(second.last_segment)),
    ):
        grave = verify(history).grave
    assert len(grave) == 2
    assert grave[0].startswith(f"the record of {first.id} cannot be read: ")
    assert f"WAL stretch {second.id} has lost a segment" in grave[1]
    assert checked(history) == [third.id]


def test_backups_are_read_although_a_history_cannot_be(history: History) -> None:
    store, environment = history.catalog.store, history.catalog.environment
    key = keys.wal_history(environment, history.system_identifier, 2)
    store.put(key, b"one two three\n")
    part = verify(history)
    store.delete_prefix(key)
    (found,) = part.grave
    assert found.startswith(f"the WAL of cluster {history.system_identifier} is not read back: ")
    assert part.recovery_point_ids == [history.backup.id]
    assert checked(history) == []


class Failing:
    """A store that goes away after so many segments were read."""

    def __init__(self, store: Any, segments: int) -> None:
        self._store = store
        self._left = segments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get(self, key: str, **how: Any) -> bytes:
        if key.endswith(".zst"):
            self._left -= 1
            if self._left < 0:
                raise StoreUnavailable("the store is down", hint="wait")
        return self._store.get(key, **how)


def test_what_was_read_before_a_run_was_killed_is_not_read_again(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH_BYTES", 1)
    first, second, _ = history.catalog.stretches(history.system_identifier)
    enough = first.segment_count + 1
    store = Failing(history.catalog.store, enough)
    with pytest.raises(StoreUnavailable):
        verify(history, catalog=Catalog(store, history.catalog.policy))
    assert checked(history) == [first.id]

    part = verify(history)
    assert checked(history) == stretch_ids(history)
    assert part.measurements["reread_bytes"] == (
        history.backup.stored_bytes
        + sum(one.stored_bytes for one in history.catalog.stretches(history.system_identifier)[1:])
    )
    assert second.id in checked(history)


def test_old_bookkeeping_is_removed(history: History) -> None:
    verify(history)
    assert len(history.catalog.checked(history.system_identifier)) == 1
    verify(history, DUE + timedelta(days=70))
    (left,) = history.catalog.checked(history.system_identifier)
    assert left.at > utc_now() + timedelta(days=60)
    assert left.stretch_ids == stretch_ids(history)
