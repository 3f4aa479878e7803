"""An incremental backup as a whole: real servers, a real bucket, chains combined by hand."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import ProofLevel
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.full_backup import find_streamed
from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup
from ledgerkeep.model import utc_now
from ledgerkeep.progress import no_progress
from tests.conftest import Cluster
from tests.database.postgres.backup_support import (
    RUN,
    ask,
    backup_prefix,
    full_backup,
    incremental_backup,
    make_policy,
)
from tests.database.postgres.increment_support import combined
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.integration


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


def test_increment_holds_one_changed_block_and_no_more(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    fresh_cluster.execute(
        "CREATE TABLE big AS SELECT g, repeat('x', 500) FROM generate_series(1, 40000) g"
    )
    # Else the first reader sets hint bits on every page, which counts as a change.
    fresh_cluster.execute("VACUUM (FREEZE) big")
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.execute("UPDATE big SET g = 0 WHERE g = 20000")

    increment = incremental_backup(fresh_cluster, shelf)

    manifest = json.loads(shelf.store.get(increment.manifest.key))
    sizes = {file["Path"]: file["Size"] for file in manifest["Files"]}
    path = Path(fresh_cluster.execute("SELECT pg_relation_filepath('big')")[0][0])
    # The old and the new version's blocks, and three words and two numbers before them.
    assert 8192 <= sizes[str(path.parent / f"INCREMENTAL.{path.name}")] <= 3 * 8192
    assert increment.file_count == len(sizes)
    assert (increment.parent_id, increment.full_because) == (full.id, "")


def test_first_backup_is_a_full_one_and_the_next_builds_on_it(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    first = incremental_backup(fresh_cluster, shelf)
    assert (first.method, first.parent_id) == ("full", None)
    assert first.full_because == "there is no backup to build on yet"
    assert incremental_backup(fresh_cluster, shelf).parent_id == first.id


def test_role_with_replication_alone_may_take_one(fresh_cluster: Cluster, shelf: Catalog) -> None:
    fresh_cluster.execute("CREATE ROLE keeper LOGIN REPLICATION PASSWORD 'keep'")
    full = full_backup(fresh_cluster, shelf)
    address = replace(fresh_cluster.address, user="keeper", password="keep")
    backup_id = take_incremental_backup(address, shelf, origin=Origin(RUN), progress=no_progress)
    assert find_streamed(shelf, backup_id).parent_id == full.id


def test_progress_of_an_increment_names_no_total(fresh_cluster: Cluster, shelf: Catalog) -> None:
    """How much has changed is known when all of it has been read."""
    full_backup(fresh_cluster, shelf)
    told: list[tuple[int, int | None, str]] = []
    take_incremental_backup(
        fresh_cluster.address, shelf, origin=Origin(RUN), progress=lambda *what: told.append(what)
    )
    assert {total for _, total, _ in told} == {None}
    assert told[-1][0] > 0


def test_increment_is_locked_as_long_as_the_policy_says_for_it(fresh_cluster: Cluster) -> None:
    """All objects of it: a lock as long as a full one's would outlive what keeps it."""
    store = MemoryStore()
    policy = make_policy("memory", lock=True)
    assert policy.storage.object_lock is not None
    shorter = policy.storage.object_lock.model_copy(update={"incrementals": timedelta(hours=2)})
    storage = policy.storage.model_copy(update={"object_lock": shorter})
    catalog = Catalog(store, policy.model_copy(update={"storage": storage}))
    full = full_backup(fresh_cluster, catalog)
    increment = incremental_backup(fresh_cluster, catalog)
    for backup, hours in ((full, 24), (increment, 2)):
        keys = [volume.key for archive in backup.archives for volume in archive.volumes]
        for key in (*keys, backup.manifest.key, f"{backup_prefix(backup)}recovery-point.json"):
            head = store.head(key)
            assert head is not None
            assert head.retention is not None
            assert abs(head.retention.until - utc_now() - timedelta(hours=hours)) < timedelta(
                hours=1
            )
