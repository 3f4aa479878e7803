"""An incremental backup that is interrupted, refused or repeated leaves nothing that counts."""

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.full_backup import record_backup
from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.errors import (
    ChainBroken,
    OperationRunning,
    StoreUnavailable,
)
from ledgerkeep.policy.model import Policy
from ledgerkeep.progress import no_progress
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.worker import WorkerSettings
from tests.conftest import Cluster
from tests.database.postgres.backup_support import (
    RUN,
    backup_prefix,
    full_backup,
    incremental_backup,
)
from tests.database.postgres.backup_worker import kill_backup
from tests.support import faulty_proxy
from tests.support.faulty_proxy import FaultyProxy
from tests.support.interrupted import wait_until_alone

pytestmark = pytest.mark.integration


def test_parent_removed_before_the_recording_is_named(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """Between the two steps nobody holds the lock; what lost its parent must not count."""
    full = full_backup(fresh_cluster, shelf)
    backup_id = take_incremental_backup(
        fresh_cluster.address, shelf, origin=Origin(RUN), progress=no_progress
    )
    shelf.store.delete_prefix(backup_prefix(full))

    with pytest.raises(ChainBroken) as caught:
        record_backup(shelf, backup_id, run=RUN, progress=no_progress)

    assert caught.value.message == (
        f"backup {backup_id} builds on {full.id}, which was removed while it was taken"
    )
    assert caught.value.hint == (
        "nothing of it counts; take another backup, which will build on what is there"
    )
    assert shelf.backups(full.system_identifier) == []


def test_second_backup_at_once_is_refused(cluster: Cluster, shelf: Catalog) -> None:
    with (
        operation_lock(cluster.address, "development/base backup"),
        pytest.raises(OperationRunning) as caught,
    ):
        take_incremental_backup(cluster.address, shelf, origin=Origin(RUN), progress=no_progress)
    assert caught.value.message == (
        f"development/base backup already runs on 127.0.0.1:{cluster.port}"
    )


def proxied_catalog(proxy: FaultyProxy, s3: ObjectStoreServer, policy: Policy) -> Catalog:
    access = StoreAccess(
        endpoint_url=proxy.endpoint, access_key=s3.user.access_key, secret_key=s3.user.secret_key
    )
    settings = WorkerSettings(store_encryption="none", store_patience=2)
    return Catalog(open_store(policy.storage, settings, access), policy)


def test_store_that_is_busy_for_a_while_delays_and_for_long_stops(
    fresh_cluster: Cluster, s3: ObjectStoreServer, bucket: str, catalog: Catalog
) -> None:
    """A manifest that cannot be read now is no reason for a full backup."""
    full = full_backup(fresh_cluster, catalog)
    with FaultyProxy(s3.endpoint) as proxy:
        behind = proxied_catalog(proxy, s3, catalog.policy)
        rule = proxy.fail(
            faulty_proxy.slow_down, times=2, method="GET", containing="backup_manifest"
        )
        assert incremental_backup(fresh_cluster, behind).parent_id == full.id
        assert rule.hits == 2

        proxy.fail(faulty_proxy.slow_down, times=1000, method="GET", containing="backup_manifest")
        with pytest.raises(StoreUnavailable):
            incremental_backup(fresh_cluster, behind, run="later")
    assert len(catalog.backups(full.system_identifier)) == 2


def test_killed_worker_leaves_nothing_that_counts(
    fresh_cluster: Cluster, s3: ObjectStoreServer, bucket: str, catalog: Catalog
) -> None:
    """SIGKILL in the middle of the stream: the next run sweeps, and builds on the same parent."""
    full = full_backup(fresh_cluster, catalog)
    kill_backup(fresh_cluster, s3, bucket, method="incremental")

    (interrupted,) = catalog.unfinished_backups(full.system_identifier)
    assert interrupted[17] == "I"
    wait_until_alone(fresh_cluster)
    after = incremental_backup(fresh_cluster, catalog)
    assert after.parent_id == full.id
    assert catalog.backups(full.system_identifier) == [full, after]
    assert catalog.unfinished_backups(full.system_identifier) == []


def test_recording_twice_is_recording_once(fresh_cluster: Cluster, shelf: Catalog) -> None:
    full_backup(fresh_cluster, shelf)
    increment: BaseBackup = incremental_backup(fresh_cluster, shelf)
    assert record_backup(shelf, increment.id, run=RUN, progress=no_progress) == increment
