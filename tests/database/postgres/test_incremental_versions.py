"""An incremental backup asked of each supported major version, all builds with zstd but 15."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup
from ledgerkeep.errors import DatabaseError
from ledgerkeep.policy.model import IncrementalBackup
from ledgerkeep.progress import no_progress
from tests.conftest import Cluster, make_cluster
from tests.database.postgres.backup_support import (
    RUN,
    ask,
    full_backup,
    incremental_backup,
    make_policy,
)
from tests.database.postgres.increment_support import combined
from tests.support.memory_store import MemoryStore
from tests.support.postgres_versions import place_with

pytestmark = pytest.mark.integration


@contextmanager
def cluster_of(place: Place, major: int) -> Iterator[Cluster]:
    """A cluster of that version, on programs that compress."""
    data = place.servers / f"v{secrets.token_hex(4)}"
    made = make_cluster(place_with(place, major), data)
    try:
        yield made
    finally:
        made.stop(immediate=True)
        shutil.rmtree(data)


def shelf(before_17: str = "full") -> Catalog:
    policy = make_policy("memory")
    section = IncrementalBackup(schedule=None, before_17=before_17)
    database = policy.database.model_copy(update={"incremental_backup": section})
    return Catalog(MemoryStore(), policy.model_copy(update={"database": database}))


@pytest.mark.parametrize("major", [17, 18])
def test_chain_is_combined_by_the_versions_own_programs(
    place: Place, room: Path, major: int
) -> None:
    """The server compresses here, so the increment crosses the wire compressed."""
    catalog = shelf()
    with cluster_of(place, major) as cluster:
        cluster.execute("CREATE TABLE loans AS SELECT generate_series(1, 9000) AS id")
        full = full_backup(cluster, catalog)
        cluster.execute("DELETE FROM loans WHERE id > 8000")
        first = incremental_backup(cluster, catalog)
        cluster.execute("INSERT INTO loans VALUES (0)")
        second = incremental_backup(cluster, catalog)
        assert [first.parent_id, second.parent_id] == [full.id, first.id]
        with combined(catalog, [full, first, second], room, cluster.place) as server:
            assert ask(server, "SELECT count(*), min(id), max(id) FROM loans") == [(8001, 0, 8000)]


@pytest.mark.parametrize("major", [15, 16])
def test_older_server_gets_what_the_policy_says(place: Place, major: int) -> None:
    with cluster_of(place, major) as cluster:
        catalog = shelf("full")
        for _ in range(2):
            backup = incremental_backup(cluster, catalog)
            assert backup.method == "full"
            assert backup.full_because == f"PostgreSQL {major} takes no incremental backups"

        refusing = shelf("refuse")
        with pytest.raises(DatabaseError) as caught:
            take_incremental_backup(
                cluster.address, refusing, origin=Origin(RUN), progress=no_progress
            )
        assert caught.value.message == (
            f"the server is PostgreSQL {major}, which takes no incremental backups, "
            "and the policy refuses a full one in their place"
        )
        assert list(refusing.store.list("")) == []
