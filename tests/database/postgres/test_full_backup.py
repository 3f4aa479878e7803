"""A full backup as a whole: from a live server into a real bucket, and all that can go wrong."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from include.sandbox.objectstore import ObjectStoreServer, admin_client
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, ProofLevel
from ledgerkeep.database.postgres.backup_turn import sweep_unfinished
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.full_backup import (
    find_streamed,
    record_backup,
    take_full_backup,
    verify_backup,
)
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.database.postgres.read_back import needed_segments
from ledgerkeep.errors import (
    BackupInterrupted,
    BucketMissing,
    DatabaseAccessDenied,
    DatabaseUnavailable,
    ObjectCorrupt,
    OperationRunning,
    PageChecksumFailure,
    RecoveryPointMissing,
)
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import WalShipping
from ledgerkeep.progress import no_progress
from tests.conftest import Cluster
from tests.database.postgres.backup_support import (
    RUN,
    ask,
    backup_prefix,
    damage_a_page,
    full_backup,
    make_catalog,
    make_policy,
    restored,
)
from tests.database.postgres.backup_worker import kill_backup
from tests.support.interrupted import wait_until_alone

pytestmark = pytest.mark.integration


def first_time(action: Callable[[], object]) -> Callable[[int, int | None, str], None]:
    """A progress that acts once, in the middle of a stream."""
    done = []

    def progress(at: int, total: int | None, what: str) -> None:
        if at and not done:
            done.append(at)
            action()

    return progress


# -- what a backup is


def test_backup_restores_by_plain_tools(
    fresh_cluster: Cluster, catalog: Catalog, room: Path, place: Place
) -> None:
    """Tables, a tablespace and an unlogged table come up from nothing but what was stored."""
    location = place.servers / f"{room.name}.ts"
    location.mkdir()
    place.account.own(location)
    fresh_cluster.execute(f"CREATE TABLESPACE fast LOCATION '{location}'")
    fresh_cluster.execute("CREATE TABLE loans AS SELECT generate_series(1, 5000) AS id")
    fresh_cluster.execute("CREATE TABLE audit TABLESPACE fast AS SELECT generate_series(1, 100) n")
    fresh_cluster.execute("CREATE UNLOGGED TABLE cache AS SELECT 1 AS n")

    backup = full_backup(fresh_cluster, catalog)

    assert catalog.backups(backup.system_identifier) == [backup]
    assert catalog.snapshot(backup.system_identifier).level(backup.id) == ProofLevel.INTACT
    assert [archive.location for archive in backup.archives] == [str(location), None]
    assert backup.start_lsn < backup.stop_lsn
    assert backup.started_at < backup.stopped_at
    assert backup.page_checksum_failures == []
    assert backup.run == RUN
    with restored(catalog, backup, room, place) as server:
        assert ask(server, "SELECT count(*), sum(id) FROM loans") == [(5000, 12502500)]
        assert ask(server, "SELECT count(*) FROM audit") == [(100,)]
        assert ask(server, "SELECT count(*) FROM cache") == [(0,)]


def test_role_with_replication_alone_may_back_up(
    fresh_cluster: Cluster, s3: ObjectStoreServer, bucket: str
) -> None:
    """No superuser is needed, also where WAL shipping gets its slot from the backup."""
    fresh_cluster.execute("CREATE ROLE keeper LOGIN REPLICATION PASSWORD 'keep'")
    policy = make_policy(bucket)
    shipping = WalShipping(schedule=None, slot="ledgerkeep_wal")
    database = policy.database.model_copy(update={"wal_shipping": shipping})
    catalog = make_catalog(s3, policy.model_copy(update={"database": database}))
    address = replace(fresh_cluster.address, user="keeper", password="keep")

    backup_id = take_full_backup(address, catalog, origin=Origin(RUN), progress=no_progress)

    slots = fresh_cluster.execute("SELECT slot_name, temporary FROM pg_replication_slots")
    assert slots == [("ledgerkeep_wal", False)]
    assert record_backup(catalog, backup_id, run=RUN, progress=no_progress).id == backup_id


def test_wal_of_a_long_backup_cannot_vanish(
    fresh_cluster: Cluster, s3: ObjectStoreServer, bucket: str
) -> None:
    """Checkpoints recycle WAL as soon as they may; the backup's slot says they may not."""
    fresh_cluster.execute("ALTER SYSTEM SET wal_keep_size = 0")
    fresh_cluster.execute("SELECT pg_reload_conf()")
    fresh_cluster.execute("CREATE TABLE churn (n int)")
    catalog = make_catalog(s3, make_policy(bucket, max_rate=12))

    def churn() -> None:
        for _ in range(2):
            fresh_cluster.execute("INSERT INTO churn SELECT generate_series(1, 1000)")
            fresh_cluster.execute("SELECT pg_switch_wal()")
            fresh_cluster.execute("CHECKPOINT")

    progress = first_time(churn)
    backup_id = take_full_backup(
        fresh_cluster.address, catalog, origin=Origin(RUN), progress=progress
    )

    backup = record_backup(catalog, backup_id, run=RUN, progress=no_progress)
    assert len(needed_segments(backup)) >= 3
    assert fresh_cluster.execute("SELECT slot_name FROM pg_replication_slots") == []


def test_volumes_are_locked_once_they_have_been_read_back(
    cluster: Cluster, s3: ObjectStoreServer, bucket: str
) -> None:
    """Not before: what is interrupted could otherwise never be swept."""
    catalog = make_catalog(s3, make_policy(bucket, lock=True))
    backup_id = take_full_backup(cluster.address, catalog, origin=Origin(RUN), progress=no_progress)
    streamed = find_streamed(catalog, backup_id)
    keys = [volume.key for archive in streamed.archives for volume in archive.volumes]
    keys.append(streamed.manifest.key)
    assert {catalog.store.head(key).retention for key in keys} == {None}

    record_backup(catalog, backup_id, run=RUN, progress=no_progress)

    tomorrow = utc_now() + timedelta(hours=23)
    for key in keys:
        retention = catalog.store.head(key).retention
        assert retention.mode == "GOVERNANCE"
        assert retention.until > tomorrow


# -- repeated, refused, interrupted


def test_recording_twice_is_recording_once(cluster: Cluster, catalog: Catalog) -> None:
    backup = full_backup(cluster, catalog)
    again = record_backup(catalog, backup.id, run=RUN, progress=no_progress)
    assert again == backup
    assert catalog.backups(backup.system_identifier) == [backup]


def test_verifying_later_adds_a_proof(cluster: Cluster, catalog: Catalog) -> None:
    backup = full_backup(cluster, catalog)
    proof = verify_backup(catalog, backup, run="later", progress=no_progress)
    proofs = catalog.proofs(backup.system_identifier)[backup.id]
    assert [shown.run for shown in proofs] == [RUN, "later"]
    assert proofs[-1] == proof
    assert proof.stops_because == (
        f"all {backup.file_count} files were read back; it has not been restored yet"
    )


def test_second_backup_at_once_is_refused(cluster: Cluster, catalog: Catalog) -> None:
    with (
        operation_lock(cluster.address, "development/base backup"),
        pytest.raises(OperationRunning) as caught,
    ):
        take_full_backup(cluster.address, catalog, origin=Origin(RUN), progress=no_progress)
    assert caught.value.message == (
        f"development/base backup already runs on 127.0.0.1:{cluster.port}"
    )


def test_backup_nobody_streamed_cannot_be_recorded(catalog: Catalog) -> None:
    with pytest.raises(RecoveryPointMissing) as caught:
        record_backup(catalog, "20260101T000000Z-F-0", run=RUN, progress=no_progress)
    assert caught.value.message == (
        f"no backup 20260101T000000Z-F-0 was streamed to {catalog.store.location}/development"
    )
    assert caught.value.hint == (
        "was it interrupted, and swept by a later run? take a new full backup"
    )


def test_streamed_backup_of_another_run_is_not_swept(cluster: Cluster, catalog: Catalog) -> None:
    """Its own run may be reading it back at this moment; a retry of the same run starts over."""
    backup_id = take_full_backup(
        cluster.address, catalog, origin=Origin("one"), progress=no_progress
    )
    identifier = find_streamed(catalog, backup_id).system_identifier

    assert sweep_unfinished(catalog, identifier, run="two") == []
    assert sweep_unfinished(catalog, identifier, run="one") == [backup_id]
    assert list(catalog.store.list("")) == []


def test_server_that_stops_interrupts_the_backup(
    fresh_cluster: Cluster, s3: ObjectStoreServer, bucket: str
) -> None:
    catalog = make_catalog(s3, make_policy(bucket, max_rate=16))
    progress = first_time(lambda: fresh_cluster.stop(immediate=True))
    with pytest.raises(BackupInterrupted) as caught:
        take_full_backup(fresh_cluster.address, catalog, origin=Origin(RUN), progress=progress)
    assert caught.value.message.startswith(
        f"the base backup of 127.0.0.1:{fresh_cluster.port} broke off: "
    )
    assert caught.value.hint == (
        "nothing of it counts, and the next run removes what it left; "
        "look at the server's log, then run it again"
    )


def test_killed_worker_leaves_nothing_that_counts(
    fresh_cluster: Cluster, s3: ObjectStoreServer, bucket: str, catalog: Catalog
) -> None:
    """SIGKILL in the middle of the stream: no backup, no slot; the next run sweeps and succeeds."""
    kill_backup(fresh_cluster, s3, bucket, method="full")

    (identifier,) = catalog.system_identifiers()
    assert catalog.backups(identifier) == []
    (interrupted,) = catalog.unfinished_backups(identifier)
    wait_until_alone(fresh_cluster)
    assert fresh_cluster.execute("SELECT slot_name FROM pg_replication_slots") == []
    backup = full_backup(fresh_cluster, catalog)
    assert catalog.backups(identifier) == [backup]
    assert catalog.unfinished_backups(identifier) == []
    assert backup.id != interrupted


# -- what cannot work


def test_wrong_password_is_said(cluster: Cluster, catalog: Catalog) -> None:
    address = replace(cluster.address, password="wrong")
    with pytest.raises(DatabaseAccessDenied) as caught:
        take_full_backup(address, catalog, origin=Origin(RUN), progress=no_progress)
    assert caught.value.message.endswith('password authentication failed for user "postgres"')


def test_role_without_replication_is_refused(cluster: Cluster, catalog: Catalog) -> None:
    cluster.execute("CREATE ROLE reader LOGIN PASSWORD 'read'")
    try:
        address = replace(cluster.address, user="reader", password="read")
        with pytest.raises(DatabaseAccessDenied) as caught:
            take_full_backup(address, catalog, origin=Origin(RUN), progress=no_progress)
    finally:
        cluster.execute("DROP ROLE reader")
    assert "REPLICATION" in caught.value.hint


def test_database_that_is_down_is_said(cluster: Cluster, catalog: Catalog) -> None:
    address = replace(cluster.address, port=1)
    with pytest.raises(DatabaseUnavailable) as caught:
        take_full_backup(address, catalog, origin=Origin(RUN), progress=no_progress)
    assert caught.value.message.startswith("no connection to postgres@127.0.0.1:1/postgres: ")


def test_missing_bucket_is_said(cluster: Cluster, s3: ObjectStoreServer) -> None:
    catalog = make_catalog(s3, make_policy("there-is-no-such-bucket"))
    with pytest.raises(BucketMissing):
        take_full_backup(cluster.address, catalog, origin=Origin(RUN), progress=no_progress)


# -- damage


def test_damaged_page_of_the_database_is_recorded_and_said(
    fresh_cluster: Cluster, catalog: Catalog
) -> None:
    """The backup is kept, since it may be the best there is, and nobody overlooks the damage."""
    path = damage_a_page(fresh_cluster)
    backup_id = take_full_backup(
        fresh_cluster.address, catalog, origin=Origin(RUN), progress=no_progress
    )

    with pytest.raises(PageChecksumFailure) as caught:
        record_backup(catalog, backup_id, run=RUN, progress=no_progress)

    (backup,) = catalog.backups(find_streamed(catalog, backup_id).system_identifier)
    (failure,) = backup.page_checksum_failures
    assert failure.startswith(f'checksum verification failed in file "./{path}", block 3: ')
    assert catalog.snapshot(backup.system_identifier).level(backup_id) == ProofLevel.INTACT
    assert caught.value.message == (
        f"backup {backup_id} is recorded, but the server found wrong page checksums in it: "
        f"{failure}"
    )
    assert caught.value.hint == (
        "the database itself is damaged: find the tables with pg_amcheck, and restore them "
        "from a backup before this one; the earlier backups are not affected"
    )


def flip(s3: ObjectStoreServer, bucket: str, key: str) -> None:
    """Change one byte of a stored object behind everybody's back."""
    client = admin_client(s3)
    body = bytearray(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    body[len(body) // 2] ^= 0x10
    client.put_object(Bucket=bucket, Key=key, Body=bytes(body))


@pytest.mark.parametrize("name", ["base.tar.zst.00001", "backup_manifest"])
def test_flipped_byte_in_the_store_is_found_and_named(
    cluster: Cluster, s3: ObjectStoreServer, bucket: str, catalog: Catalog, name: str
) -> None:
    backup: BaseBackup = full_backup(cluster, catalog)
    key = backup_prefix(backup) + name
    flip(s3, bucket, key)
    with pytest.raises(ObjectCorrupt) as caught:
        verify_backup(catalog, backup, run=RUN, progress=no_progress)
    assert caught.value.message.startswith(f"s3://{bucket}/{key} is not what was written: sha256 ")


def test_flipped_byte_before_the_reading_back_never_counts(
    cluster: Cluster, s3: ObjectStoreServer, bucket: str, catalog: Catalog
) -> None:
    backup_id = take_full_backup(cluster.address, catalog, origin=Origin(RUN), progress=no_progress)
    streamed = find_streamed(catalog, backup_id)
    flip(s3, bucket, streamed.archives[0].volumes[0].key)
    with pytest.raises(ObjectCorrupt):
        record_backup(catalog, backup_id, run=RUN, progress=no_progress)
    assert catalog.backups(streamed.system_identifier) == []
