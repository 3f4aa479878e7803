"""The parent's manifest on its way to the server, and what may have happened to it meanwhile."""

import hashlib
from collections.abc import Callable, Iterator

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.base_backup import Origin, stream_base_backup
from ledgerkeep.database.postgres.description import describe
from ledgerkeep.errors import (
    BackupInterrupted,
    IncrementImpossible,
)
from ledgerkeep.progress import no_progress
from ledgerkeep.storage.port import StoredObject
from tests.conftest import Cluster
from tests.database.postgres.backup_support import (
    RUN,
    backup_prefix,
    full_backup,
    incremental_backup,
    make_policy,
)
from tests.database.postgres.increment_support import summarized
from tests.support.interrupted import until
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.integration


class Meanwhile(MemoryStore):
    """A store in which something happens right before a manifest is read for its child."""

    def __init__(self) -> None:
        super().__init__()
        self.happens: Callable[[StoredObject], None] | None = None

    def read(self, stored: StoredObject) -> Iterator[memoryview]:
        if self.happens is not None and stored.key.endswith("backup_manifest"):
            happens, self.happens = self.happens, None
            happens(stored)
        yield from super().read(stored)


def everything_is_summarized(cluster: Cluster, backup: BaseBackup) -> None:
    """All WAL of the backup is in summaries on disk."""
    cluster.execute("CHECKPOINT")
    until(lambda: summarized(cluster) > backup.stop_lsn, "nothing was summarized")


def lose_summaries(cluster: Cluster) -> None:
    for path in (cluster.data / "pg_wal" / "summaries").iterdir():
        path.unlink()


def test_refusal_of_the_server_is_followed_by_a_full_one(fresh_cluster: Cluster) -> None:
    """Summaries are lost between our question and the backup; one run, one backup."""
    store = Meanwhile()
    catalog = Catalog(store, make_policy("memory"))
    full = full_backup(fresh_cluster, catalog)
    everything_is_summarized(fresh_cluster, full)
    store.happens = lambda stored: lose_summaries(fresh_cluster)

    after = incremental_backup(fresh_cluster, catalog)

    assert after.full_because.startswith(
        "the server cannot take an incremental backup: WAL summaries are required on timeline 1 "
    )
    assert catalog.backups(full.system_identifier) == [full, after]
    assert catalog.unfinished_backups(full.system_identifier) == []


def test_incomplete_summaries_are_told_in_the_servers_words(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """Nothing was asked before: the server itself notices that summaries are missing."""
    full = full_backup(fresh_cluster, shelf)
    everything_is_summarized(fresh_cluster, full)
    lose_summaries(fresh_cluster)
    with connect(fresh_cluster.address) as connection:
        server = describe(connection)
        with pytest.raises(IncrementImpossible) as caught:
            stream_base_backup(
                fresh_cluster.address,
                connection,
                server,
                shelf,
                origin=Origin(RUN),
                progress=no_progress,
                parent=full,
            )
    assert caught.value.message.startswith(
        "the server cannot take an incremental backup: WAL summaries are required on timeline 1 "
    )
    assert caught.value.hint == (
        "take a full backup for the next ones to build on; is summarize_wal on, and "
        "wal_summary_keep_time longer than the time between two backups?"
    )


def test_parent_that_is_deleted_meanwhile_makes_it_full(fresh_cluster: Cluster) -> None:
    store = Meanwhile()
    catalog = Catalog(store, make_policy("memory"))
    full = full_backup(fresh_cluster, catalog)
    store.happens = lambda stored: store.objects.pop(stored.key) and None

    after = incremental_backup(fresh_cluster, catalog)

    assert after.full_because.startswith(f"the manifest of backup {full.id} is of no use: ")
    assert after.method == "full"


def test_tampered_manifest_is_never_built_on(fresh_cluster: Cluster, shelf: Catalog) -> None:
    full = full_backup(fresh_cluster, shelf)
    stored = shelf.store.objects[full.manifest.key]
    damaged = bytearray(stored.body)
    damaged[len(damaged) // 2] ^= 1
    stored.body = bytes(damaged)

    after = incremental_backup(fresh_cluster, shelf)

    assert after.method == "full"
    assert after.full_because.startswith(
        f"the manifest of backup {full.id} is of no use: "
        f"s3://memory/{full.manifest.key} is not what was written: sha256 "
    )


def test_manifest_the_server_does_not_accept_makes_it_full(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """As it came back from the store, and yet not what this server once sent."""
    full = full_backup(fresh_cluster, shelf)
    body = shelf.store.get(full.manifest.key)
    replace_manifest(shelf, full, body.replace(b'"Size": 3', b'"Size": 4', 1))

    after = incremental_backup(fresh_cluster, shelf)

    assert after.full_because == (
        "the server cannot take an incremental backup: manifest checksum mismatch"
    )


def test_server_that_stops_while_it_gets_the_manifest_interrupts(fresh_cluster: Cluster) -> None:
    store = Meanwhile()
    catalog = Catalog(store, make_policy("memory"))
    full = full_backup(fresh_cluster, catalog)
    store.happens = lambda stored: fresh_cluster.stop(immediate=True)
    with pytest.raises(BackupInterrupted) as caught:
        incremental_backup(fresh_cluster, catalog)
    assert caught.value.message.startswith(
        f"the base backup of 127.0.0.1:{fresh_cluster.port} broke off: "
    )
    assert catalog.backups(full.system_identifier) == [full]


def test_manifest_of_a_very_large_cluster_is_uploaded(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """Far more than fits into the socket: nobody waits for the other for ever."""
    full = full_backup(fresh_cluster, shelf)
    body = shelf.store.get(full.manifest.key)
    head, _, tail = body.partition(b'"Files": [\n')
    file = '{ "Path": "base/1/9%06d", "Size": 0, "Last-Modified": "2026-01-01 00:00:00 GMT" },\n'
    more = "".join(file % number for number in range(200_000)).encode()
    text = head + b'"Files": [\n' + more + tail[: tail.rindex(b'"Manifest-Checksum"')]
    checksum = hashlib.sha256(text).hexdigest()
    larger = text + f'"Manifest-Checksum": "{checksum}"}}\n'.encode()
    assert len(larger) > 15_000_000
    replace_manifest(shelf, full, larger)

    assert incremental_backup(fresh_cluster, shelf).parent_id == full.id


def replace_manifest(catalog: Catalog, backup: BaseBackup, body: bytes) -> None:
    """Give a recorded backup another manifest."""
    stored = catalog.store.put("other_manifest", body)
    catalog.store.objects.pop(backup_prefix(backup) + keys.RECOVERY_POINT)
    catalog.commit_backup(backup.model_copy(update={"manifest": stored}))
