"""An incremental backup as a whole: real servers, a real bucket, chains combined by hand."""

from pathlib import Path

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import ProofLevel
from tests.conftest import Cluster
from tests.database.postgres.backup_support import ask, full_backup, make_catalog, make_policy
from tests.database.postgres.increment_support import combined, incremental_backup

pytestmark = pytest.mark.integration


@pytest.fixture
def catalog(s3: ObjectStoreServer, bucket: str) -> Catalog:
    return make_catalog(s3, make_policy(bucket))


# -- what an incremental is


def test_chain_combined_by_plain_tools_holds_every_change(
    fresh_cluster: Cluster, catalog: Catalog, room: Path, place: Place
) -> None:
    """A full one and three incrementals, with a tablespace, updates, a new and a dropped table."""
    location = place.servers / f"{room.name}.ts"
    location.mkdir()
    place.account.own(location)
    fresh_cluster.execute(f"CREATE TABLESPACE fast LOCATION '{location}'")
    fresh_cluster.execute(
        "CREATE TABLE loans AS SELECT g AS id, 0 AS paid FROM generate_series(1, 60000) g"
    )
    fresh_cluster.execute(
        "CREATE TABLE audit TABLESPACE fast AS SELECT generate_series(1, 20000) n"
    )
    full = full_backup(fresh_cluster, catalog)

    fresh_cluster.execute("UPDATE loans SET paid = 1 WHERE id = 1")
    first = incremental_backup(fresh_cluster, catalog)
    fresh_cluster.execute("DELETE FROM audit WHERE n <= 10")
    fresh_cluster.execute("CREATE TABLE late AS SELECT 7 AS n")
    second = incremental_backup(fresh_cluster, catalog)
    fresh_cluster.execute("DROP TABLE late")
    fresh_cluster.execute("UPDATE loans SET paid = 2 WHERE id = 2")
    third = incremental_backup(fresh_cluster, catalog)

    chain = [full, first, second, third]
    assert [one.method for one in chain] == ["full", *["incremental"] * 3]
    assert [one.parent_id for one in chain] == [None, full.id, first.id, second.id]
    assert [one.id[17] for one in chain] == ["F", "I", "I", "I"]
    assert {one.full_because for one in chain} == {""}
    assert all(one.stored_bytes * 5 < full.stored_bytes for one in chain[1:])
    assert catalog.backups(full.system_identifier) == chain
    level = catalog.snapshot(full.system_identifier).level
    assert {level(one.id) for one in chain} == {ProofLevel.INTACT}
    with combined(catalog, chain, room, place) as server:
        assert ask(server, "SELECT sum(paid), count(*) FROM loans") == [(3, 60000)]
        assert ask(server, "SELECT count(*) FROM audit") == [(19990,)]
        assert ask(server, "SELECT to_regclass('late')") == [(None,)]
