"""A full backup as a whole: from a live server into a real bucket, and back."""

from pathlib import Path

import pytest
from ledgerkeep.catalog.models import ProofLevel

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from tests.conftest import Cluster
from tests.database.postgres.backup_support import (
    ask,
    full_backup,
    make_catalog,
    make_policy,
    restored,
)

pytestmark = pytest.mark.integration


def test_backup_restores_by_plain_tools(
    fresh_cluster: Cluster, s3: ObjectStoreServer, bucket: str, room: Path, place: Place
) -> None:
    """Tables, a tablespace and an unlogged table come up from nothing but what was stored."""
    location = place.servers / f"{room.name}.ts"
    location.mkdir()
    place.account.own(location)
    fresh_cluster.execute(f"CREATE TABLESPACE fast LOCATION '{location}'")
    fresh_cluster.execute("CREATE TABLE loans AS SELECT generate_series(1, 5000) AS id")
    fresh_cluster.execute("CREATE TABLE audit TABLESPACE fast AS SELECT generate_series(1, 100) n")
    fresh_cluster.execute("CREATE UNLOGGED TABLE cache AS SELECT 1 AS n")
    catalog = make_catalog(s3, make_policy(bucket))

    backup = full_backup(fresh_cluster, catalog)

    assert catalog.backups(backup.system_identifier) == [backup]
    assert catalog.snapshot(backup.system_identifier).level(backup.id) == ProofLevel.INTACT
    assert [archive.location for archive in backup.archives] == [str(location), None]
    assert backup.start_lsn < backup.stop_lsn
    assert backup.started_at < backup.stopped_at
    assert backup.page_checksum_failures == []
    with restored(catalog, backup, room, place) as server:
        assert ask(server, "SELECT count(*), sum(id) FROM loans") == [(5000, 12502500)]
        assert ask(server, "SELECT count(*) FROM audit") == [(100,)]
        assert ask(server, "SELECT count(*) FROM cache") == [(0,)]
