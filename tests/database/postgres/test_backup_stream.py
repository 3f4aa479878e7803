"""BASE_BACKUP as events, from a server that compresses and from one that cannot."""

from collections.abc import Iterator

import pytest
import zstandard

from include.sandbox.place import Place
from ledgerkeep.database.postgres.backup_stream import (
    ArchiveBegins,
    BackupOptions,
    ManifestBegins,
    ServerProgress,
    open_backup_stream,
)
from ledgerkeep.database.postgres.manifest import parse_manifest
from ledgerkeep.database.postgres.read_back import check_members
from ledgerkeep.database.postgres.tar_stream import read_tar
from ledgerkeep.errors import DatabaseError
from tests.conftest import Cluster, make_cluster
from tests.support.postgres_versions import place_with

pytestmark = pytest.mark.integration


# The sandbox's own build has no zstd, that of the registry has: both ways are walked.
@pytest.fixture(params=[None, 18], ids=["sandbox", "registry"])
def any_cluster(request: pytest.FixtureRequest, place: Place) -> Iterator[Cluster]:
    if request.param:
        place = place_with(place, request.param)
    data = place.servers / f"v{request.param or 'sandbox'}"
    cluster = make_cluster(place, data)
    yield cluster
    cluster.stop(immediate=True)


def test_stream_holds_what_its_manifest_says(any_cluster: Cluster) -> None:
    """Whoever compresses: all files arrive, and the server's progress tells the archives' size."""
    archive, manifest = bytearray(), bytearray()
    into, done = archive, 0
    with open_backup_stream(any_cluster.address, BackupOptions("it's a label")) as stream:
        for event in stream.events():
            if isinstance(event, memoryview):
                into += event
            elif isinstance(event, ServerProgress):
                done = event.raw_bytes
            elif isinstance(event, ManifestBegins):
                into = manifest
            else:
                assert event == ArchiveBegins(tablespace_oid=None, location=None)
        assert stream.start_lsn < stream.require_stop_lsn()
        assert stream.timeline == 1
        assert stream.warnings == []
        assert 0 < stream.estimated_bytes <= done

    tar = (
        zstandard.ZstdDecompressor().stream_reader(archive).read() if stream.compressed else archive
    )
    assert len(tar) == done
    files = parse_manifest(bytes(manifest), "manifest").by_archive()[None]
    unlisted = check_members(
        read_tar([memoryview(tar).toreadonly()], "base"), files, lambda count: None
    )
    assert [path for path in unlisted if not path.startswith("pg_wal/")] == []
    assert any_cluster.execute("SELECT slot_name FROM pg_replication_slots") == []


def test_server_without_room_for_a_slot_says_so(fresh_cluster: Cluster) -> None:
    for number in range(20):
        fresh_cluster.execute(f"SELECT pg_create_physical_replication_slot('taken_{number}')")
    with (
        pytest.raises(DatabaseError) as caught,
        open_backup_stream(fresh_cluster.address, BackupOptions("x")),
    ):
        pass
    assert caught.value.message == (
        "the server has no room for a base backup: all replication slots are in use"
    )
    assert caught.value.hint == (
        "raise max_replication_slots and max_wal_senders: a base backup takes one "
        "slot and two senders while it runs"
    )
