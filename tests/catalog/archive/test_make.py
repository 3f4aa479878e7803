"""One archive after the other into a vault in memory: what is copied, resumed, refused."""

from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.archive.make import archives
from ledgerkeep.catalog.archive.record import YearlyArchive
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.errors import (
    CatalogError,
    ObjectConflict,
    ObjectCorrupt,
    ObjectMissing,
    RecoveryPointMissing,
    StorageError,
)
from ledgerkeep.model import utc_now
from tests.catalog.archive.support import (
    NOW,
    RUN,
    YEARS,
    Counting,
    archive,
    fingerprint,
    memory_vault,
    own_catalog,
    prove,
    stored_backup,
    volume,
)
from tests.recovery.samples import SYSTEM

ID = "2026-b1"
SHELF = keys.vault_archive("production", SYSTEM, ID)


def test_everything_of_a_recovery_point_is_copied_locked_and_recorded() -> None:
    """Volumes and manifest into the cold; records stay readable; the source's keys are kept."""
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    key = fingerprint(catalog, "f1")
    prove(catalog, "b1", "proven", at=NOW, fingerprint_id="f1")
    history = keys.wal_history("production", SYSTEM, 1)
    catalog.store.put(history, b"")
    here = dict(catalog.store.objects)
    stored_backup(catalog, "b0", day=-1)

    result = archive(catalog, vault)

    assert result.made
    made = result.archive
    assert made.findings == []
    assert (made.id, made.level, made.run, made.backup_ids) == (ID, "proven", RUN, ["b1"])
    assert key in here
    assert {one.key for one in made.objects} == {*here, f"{SHELF}begun.json"}
    for one in made.objects:
        held = kept.objects[one.key]
        bulk = "base.tar" in one.key or "backup_manifest" in one.key
        assert held.storage_class == ("DEEP_ARCHIVE" if bulk else "STANDARD"), one.key
        assert held.retention.mode == "COMPLIANCE"
        assert held.retention.until == made.locked_until
        assert one.key not in here or held.body == here[one.key].body
    assert abs(made.locked_until - utc_now() - YEARS) < timedelta(seconds=30)
    assert made.locked_until.microsecond == 0
    assert archives(catalog, SYSTEM) == [made]


def test_a_catalog_on_the_vault_lists_the_recovery_point() -> None:
    catalog, (kept, vault) = own_catalog(), memory_vault()
    backup = stored_backup(catalog, "b1")
    archive(catalog, vault)
    snapshot = Catalog(kept, catalog.policy).snapshot(SYSTEM)
    assert snapshot.backups == [backup]
    assert snapshot.level("b1").word == "proven"


def test_record_is_written_last() -> None:
    """Of each backup, and of the archive."""
    catalog, (_, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    records = Counting(vault.records)
    archive(catalog, type(vault)(vault.cold, records, "DEEP_ARCHIVE", None, YEARS))
    names = [key.rpartition("/")[2] for key in records.created]
    assert names[0] == "begun.json"
    assert names[-4:] == ["recovery-point.json", "archive.json", "SHA256SUMS", "OFFLINE.txt"]


@pytest.mark.parametrize("cut", range(13))
def test_run_that_is_cut_off_is_gone_on_with_and_nothing_is_copied_twice(cut: int) -> None:
    """At every object, here and in the vault; a newer proven backup does not change the choice."""
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    records, cold = Counting(vault.records, cut), Counting(vault.cold, max(cut - 4, 0))
    ours = Catalog(Counting(catalog.store, max(cut - 9, 0)), catalog.policy)
    with pytest.raises(KeyboardInterrupt):
        archive(ours, type(vault)(cold, records, "DEEP_ARCHIVE", None, YEARS))
    assert archives(catalog, SYSTEM) == []
    copied = set(kept.objects)
    if copied:
        stored_backup(catalog, "b2", day=1)

    records, cold = Counting(vault.records), Counting(vault.cold)
    result = archive(catalog, type(vault)(cold, records, "DEEP_ARCHIVE", None, YEARS))

    assert result.archive.recovery_point_id == "b1"
    again = (set(cold.created) | set(records.created)) & copied
    # What is small and always the same is simply put again.
    own = ("begun.json", "archive.json", "SHA256SUMS", "OFFLINE.txt")
    assert again <= {f"{SHELF}{name}" for name in own}
    assert archives(catalog, SYSTEM) == [result.archive]
    assert all(one.retention is not None for one in kept.objects.values())


def test_year_is_archived_once_unless_a_recovery_point_is_asked_for() -> None:
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    first = archive(catalog, vault)
    stored_backup(catalog, "b2", day=1)
    before = set(kept.objects)

    assert archive(catalog, vault).made, "a task of the same run that is tried again"
    second = archive(catalog, vault, run="later/1", now=NOW + timedelta(days=200))
    assert not second.made
    assert second.archive == first.archive
    assert set(kept.objects) == before

    asked = archive(catalog, vault, recovery_point_id="b2")
    assert asked.made
    assert asked.archive.id == "2026-b2"
    assert not archive(catalog, vault, recovery_point_id="b2", run="later/2").made
    next_year = archive(catalog, vault, now=NOW + timedelta(days=306))
    assert next_year.archive.id == "2027-b2"
    assert next_year.copied_bytes == 0
    assert [one.id for one in archives(catalog, SYSTEM)] == [ID, "2026-b2", "2027-b2"]


def test_chain_of_an_incremental_goes_along() -> None:
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "f1", level="intact")
    stored_backup(catalog, "i1", day=1, parent_id="f1")
    result = archive(catalog, vault, recovery_point_id="i1")
    assert result.archive.backup_ids == ["f1", "i1"]
    assert {volume("f1", 2), volume("i1", 1)} <= set(kept.objects)
    assert len(Catalog(kept, catalog.policy).backups(SYSTEM)) == 2


def test_vault_without_object_lock_is_refused_before_anything_is_copied() -> None:
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    kept.locking = False
    with pytest.raises(StorageError) as refused:
        archive(catalog, vault)
    assert refused.value.message == (
        "s3://vault keeps no Object Lock, so it is no vault; nothing was copied"
    )
    assert refused.value.hint == (
        "switch Object Lock on for the bucket, or correct "
        "database.compliance_archive.vault.bucket in the policy"
    )
    assert kept.objects == {}


@pytest.mark.parametrize("asked", [None, "b1"])
def test_nothing_to_archive_leaves_the_vault_empty(asked: str | None) -> None:
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1", level="recorded")
    with pytest.raises(CatalogError if asked else RecoveryPointMissing):
        archive(catalog, vault, recovery_point_id=asked)
    assert kept.objects == {}


def test_flipped_byte_in_the_source_is_named_and_nothing_is_recorded_or_locked() -> None:
    """What is broken must not lie in the vault for seven years."""
    catalog, (kept, vault) = own_catalog(), memory_vault()
    backup = stored_backup(catalog, "b1")
    damaged = catalog.store.objects[volume("b1", 2)]
    damaged.body = bytes([damaged.body[0] ^ 1]) + damaged.body[1:]
    with pytest.raises(ObjectCorrupt) as corrupt:
        archive(catalog, vault)
    recorded = backup.archives[0].volumes[1]
    assert corrupt.value.message.startswith(
        f"s3://ours/{recorded.key} is not what was written: sha256 "
    )
    assert corrupt.value.message.endswith(f"recorded {recorded.sha256}")
    assert volume("b1", 2) not in kept.objects
    assert archives(catalog, SYSTEM) == []
    assert Catalog(kept, catalog.policy).backups(SYSTEM) == []
    assert {one.retention for one in kept.objects.values()} == {None}


def test_source_that_is_deleted_meanwhile_is_named_and_nothing_is_recorded() -> None:
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")

    def delete(done: int, total: int | None, what: str) -> None:
        catalog.store.objects.pop(volume("b1", 2), None)

    with pytest.raises(ObjectMissing) as missing:
        archive(catalog, vault, progress=delete)
    assert missing.value.message == f"s3://ours/{volume('b1', 2)} does not exist"
    assert archives(catalog, SYSTEM) == []
    assert Catalog(kept, catalog.policy).backups(SYSTEM) == []


def test_recovery_point_that_retention_removed_is_not_waited_for() -> None:
    catalog, (_, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    with pytest.raises(KeyboardInterrupt):
        archive(
            catalog,
            type(vault)(Counting(vault.cold, 1), vault.records, "DEEP_ARCHIVE", None, YEARS),
        )
    for key in [key for key in catalog.store.objects if "/backups/b1/" in key]:
        del catalog.store.objects[key]
    stored_backup(catalog, "b2", day=1)
    assert archive(catalog, vault).archive.recovery_point_id == "b2"


def test_other_content_in_the_vault_is_never_accepted() -> None:
    catalog, (kept, vault) = own_catalog(), memory_vault()
    backup = stored_backup(catalog, "b1")
    kept.put(volume("b1", 1), b"something else")
    with pytest.raises(ObjectConflict) as conflict:
        archive(catalog, vault)
    recorded = backup.archives[0].volumes[0]
    assert f"s3://vault/{recorded.key} exists already with other content" in conflict.value.message
    assert recorded.sha256 in conflict.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"storage_class": "STANDARD"}, "storage class STANDARD instead of DEEP_ARCHIVE"),
        ({"body": b"short"}, "5 bytes instead of 3000"),
        ({"retention": None}, "not locked instead of COMPLIANCE until "),
    ],
)
def test_archive_that_is_no_longer_as_it_was_is_found_by_the_next_run(
    change: dict[str, object], said: str
) -> None:
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    archive(catalog, vault)
    for name, value in change.items():
        setattr(kept.objects[volume("b1", 1)], name, value)
    with pytest.raises(StorageError) as changed:
        archive(catalog, vault)
    key = volume("b1", 1)
    assert changed.value.message.startswith(f"s3://vault/{key} is not as it has to be: {said}")
    assert changed.value.hint == (
        "look for a rule of the vault's bucket that changes what is stored there "
        "(lifecycle, default encryption); a lock is only shown to whom s3:GetObjectRetention "
        "is granted; then run again"
    )
    del kept.objects[key]
    with pytest.raises(ObjectMissing, match="was copied and is gone"):
        archive(catalog, vault)


def test_policy_that_changed_since_does_not_make_an_archive_wrong() -> None:
    """What was archived is held against its own record."""
    catalog, (_, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    first = archive(catalog, vault).archive
    changed = type(vault)(vault.cold, vault.records, "GLACIER", "aws:kms", 2 * YEARS)
    assert archive(catalog, changed).archive == first


def test_vault_that_encrypts_otherwise_than_the_policy_wants_is_found() -> None:
    catalog, (_, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    with pytest.raises(StorageError) as wrong:
        archive(catalog, type(vault)(vault.cold, vault.records, "DEEP_ARCHIVE", "aws:kms", YEARS))
    assert wrong.value.message.endswith("encryption none instead of aws:kms")
    assert archives(catalog, SYSTEM) == []


def test_lock_of_an_earlier_attempt_is_prolonged() -> None:
    """All objects are locked until the same moment, whenever they were copied."""
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    short = type(vault)(vault.cold, vault.records, "DEEP_ARCHIVE", None, timedelta(days=1))
    archive(catalog, short)
    archive(catalog, vault, now=NOW + timedelta(days=306))
    ends = {one.retention.until for key, one in kept.objects.items() if "/backups/" in key}
    assert ends == {archives(catalog, SYSTEM)[-1].locked_until}


def test_lists_lie_in_the_vault_and_with_the_reports() -> None:
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    made = archive(catalog, vault).archive
    stem = f"production/reports/{made.archived_at:%Y/%m}/archive-{ID}."
    for name in ("SHA256SUMS", "OFFLINE.txt"):
        assert kept.get(SHELF + name) == catalog.store.get(stem + name)
    held = [one.retention for key, one in kept.objects.items() if key.startswith(SHELF)]
    assert {one.until for one in held} == {made.locked_until}
    body = kept.get(f"{SHELF}archive.json")
    assert YearlyArchive.from_json(body) == made
    assert catalog.store.get(f"{stem}json") == body
