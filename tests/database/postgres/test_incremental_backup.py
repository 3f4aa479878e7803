"""An incremental backup as a whole: real servers, a real bucket, chains combined by hand."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import BaseBackup, ProofLevel
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.base_backup import Origin, stream_base_backup
from ledgerkeep.database.postgres.description import describe
from ledgerkeep.database.postgres.full_backup import find_streamed, record_backup
from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.database.postgres.wal_summaries import read_summaries
from ledgerkeep.errors import (
    BackupInterrupted,
    ChainBroken,
    IncrementImpossible,
    OperationRunning,
    StoreUnavailable,
)
from ledgerkeep.policy.model import Policy
from ledgerkeep.progress import no_progress
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.port import StoredObject
from ledgerkeep.worker import WorkerSettings
from tests.conftest import ROOT, Cluster
from tests.database.postgres.backup_support import (
    RUN,
    ask,
    backup_prefix,
    full_backup,
    make_catalog,
    make_policy,
)
from tests.database.postgres.increment_support import (
    combined,
    incremental_backup,
    run_program,
)
from tests.support import faulty_proxy
from tests.support.faulty_proxy import FaultyProxy
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.integration


@pytest.fixture
def catalog(s3: ObjectStoreServer, bucket: str) -> Catalog:
    return make_catalog(s3, make_policy(bucket))


@pytest.fixture
def shelf() -> Catalog:
    """A catalog in memory, for what does not depend on the store."""
    return Catalog(MemoryStore(), make_policy("memory"))


def with_longest_chain(policy: Policy, count: int) -> Policy:
    section = policy.database.incremental_backup.model_copy(update={"longest_chain": count})
    database = policy.database.model_copy(update={"incremental_backup": section})
    return policy.model_copy(update={"database": database})


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


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


# -- full instead, on real servers


def test_first_backup_is_a_full_one_and_the_next_builds_on_it(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    first = incremental_backup(fresh_cluster, shelf)
    assert (first.method, first.parent_id) == ("full", None)
    assert first.full_because == "there is no backup to build on yet"
    assert incremental_backup(fresh_cluster, shelf).parent_id == first.id


def test_chain_of_full_length_begins_anew(fresh_cluster: Cluster) -> None:
    policy = with_longest_chain(make_policy("memory"), 1)
    catalog = Catalog(MemoryStore(), policy)
    taken = [incremental_backup(fresh_cluster, catalog) for _ in range(4)]
    assert [one.id[17] for one in taken] == ["F", "I", "F", "I"]
    assert taken[2].full_because == f"the chain of {taken[0].id} has its 1 incremental backups"
    assert taken[3].parent_id == taken[2].id


def test_promotion_makes_the_next_one_full(fresh_cluster: Cluster, shelf: Catalog) -> None:
    """As after a restore, or a failover: the summaries before it may be incomplete."""
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.stop()
    (fresh_cluster.data / "standby.signal").touch()
    fresh_cluster.place.account.own(fresh_cluster.data / "standby.signal")
    fresh_cluster.start()
    fresh_cluster.execute("SELECT pg_promote()")

    after = incremental_backup(fresh_cluster, shelf)

    assert after.full_because == f"the server is on timeline 2, backup {full.id} on timeline 1"
    assert (after.method, after.timeline) == ("full", 2)
    assert incremental_backup(fresh_cluster, shelf).parent_id == after.id


def test_switched_checksums_make_the_next_one_full(
    fresh_cluster: Cluster, shelf: Catalog, place: Place
) -> None:
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.stop()
    run_program(place, "pg_checksums", "--disable", "-D", str(fresh_cluster.data))
    fresh_cluster.start()
    assert incremental_backup(fresh_cluster, shelf).full_because == (
        f"data checksums were switched off since backup {full.id}"
    )


def test_summarizing_off_makes_the_next_one_full(fresh_cluster: Cluster, shelf: Catalog) -> None:
    full_backup(fresh_cluster, shelf)
    switch_summarizing(fresh_cluster, "off")
    assert incremental_backup(fresh_cluster, shelf).full_because == (
        "the server does not summarize its WAL (summarize_wal is off)"
    )


def switch_summarizing(cluster: Cluster, on: str) -> None:
    cluster.stop()
    cluster.settings["summarize_wal"] = on
    cluster.start()


def test_summaries_that_are_gone_make_the_next_one_full(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """Older than wal_summary_keep_time, or lost with the disk they were on."""
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.execute("CREATE TABLE late AS SELECT 1 AS n")
    fresh_cluster.execute("CHECKPOINT")
    until(lambda: summarized(fresh_cluster) > full.stop_lsn, "nothing was summarized")
    for path in (fresh_cluster.data / "pg_wal" / "summaries").iterdir():
        path.unlink()

    after = incremental_backup(fresh_cluster, shelf)

    assert after.full_because.startswith("the server has no WAL summary from ")
    assert after.full_because.endswith(
        f"after the start of backup {full.id} (it keeps them for 10d)"
    )
    assert incremental_backup(fresh_cluster, shelf).parent_id == after.id


def summarized(cluster: Cluster) -> int:
    with connect(cluster.address) as connection:
        return read_summaries(connection).summarized_lsn


def test_time_of_minimal_wal_makes_the_next_one_full(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """What is written without WAL is in no summary; the server leaves a gap there."""
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.execute("CHECKPOINT")
    fresh_cluster.stop()
    settings = dict(fresh_cluster.settings)
    fresh_cluster.settings |= {
        "wal_level": "minimal",
        "summarize_wal": "off",
        "max_wal_senders": "0",
    }
    fresh_cluster.start()
    fresh_cluster.execute("CREATE TABLE unseen AS SELECT generate_series(1, 9000) n")
    fresh_cluster.stop()
    fresh_cluster.settings = settings
    fresh_cluster.start()
    with connect(fresh_cluster.address) as connection:
        now = describe(connection).lsn
    fresh_cluster.execute("CHECKPOINT")
    until(lambda: summarized(fresh_cluster) >= now, "the summarizer does not come past it")

    after = incremental_backup(fresh_cluster, shelf)

    assert after.full_because.startswith("the server has no WAL summary from ")
    assert after.full_because.endswith(
        f"after the start of backup {full.id} (it keeps them for 10d)"
    )


def test_disk_that_was_set_back_makes_the_next_one_full(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """Same identifier, same timeline, past the backup's end, and yet another history."""
    fresh_cluster.stop()
    snapshot = fresh_cluster.data.with_name(f"{fresh_cluster.data.name}.snapshot")
    subprocess.run(["cp", "-a", fresh_cluster.data, snapshot], check=True)
    fresh_cluster.start()
    fresh_cluster.execute("CREATE TABLE lost AS SELECT generate_series(1, 1000) n")
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.stop()
    shutil.rmtree(fresh_cluster.data)
    snapshot.rename(fresh_cluster.data)
    fresh_cluster.start()
    # Not a segment's end, where both histories may have begun anew.
    fresh_cluster.execute("CREATE TABLE other AS SELECT generate_series(1, 500000) n")
    fresh_cluster.execute("CHECKPOINT")
    until(lambda: summarized(fresh_cluster) > full.stop_lsn, "nothing was summarized")

    after = incremental_backup(fresh_cluster, shelf)

    assert after.full_because == (
        f"backup {full.id} is not in this server's past: no checkpoint began at "
        f"{format_lsn(full.start_lsn)}; was its disk set back to an earlier state?"
    )


# -- the server or the store changes its mind at the last moment


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


def test_refusal_of_the_server_is_followed_by_a_full_one(fresh_cluster: Cluster) -> None:
    """Summarizing is switched off between our question and the backup; one run, one backup."""
    store = Meanwhile()
    catalog = Catalog(store, make_policy("memory"))
    full = full_backup(fresh_cluster, catalog)

    def switch_off(stored: StoredObject) -> None:
        fresh_cluster.execute("ALTER SYSTEM SET summarize_wal = off")
        fresh_cluster.execute("SELECT pg_reload_conf()")

    fresh_cluster.stop()
    del fresh_cluster.settings["summarize_wal"]  # what the command line says cannot be changed
    with (fresh_cluster.data / "postgresql.conf").open("a") as conf:
        conf.write("summarize_wal = on\n")
    fresh_cluster.start()
    store.happens = switch_off

    after = incremental_backup(fresh_cluster, catalog)

    assert after.full_because == (
        "the server cannot take an incremental backup: "
        "incremental backups cannot be taken unless WAL summarization is enabled"
    )
    assert catalog.backups(full.system_identifier) == [full, after]
    assert catalog.unfinished_backups(full.system_identifier) == []


def test_incomplete_summaries_are_told_in_the_servers_words(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """Nothing was asked before: the server itself notices that summaries are missing."""
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.execute("CHECKPOINT")
    until(lambda: summarized(fresh_cluster) > full.stop_lsn, "nothing was summarized")
    for path in (fresh_cluster.data / "pg_wal" / "summaries").iterdir():
        path.unlink()
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


# -- interrupted


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


KILLED = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup
from include.sandbox.objectstore import Credentials, ObjectStore
from tests.database.postgres.backup_support import make_catalog, make_policy

told = json.loads(sys.stdin.readline())
store = ObjectStore(told["endpoint"], Credentials(*told["user"]), Credentials("", ""))
catalog = make_catalog(store, make_policy(told["bucket"], max_rate=4))
address = ServerAddress(host="127.0.0.1", port=told["port"], password=told["password"])
take_incremental_backup(
    address,
    catalog,
    origin=Origin("killed"),
    progress=lambda done, total, what: print(done, flush=True),
)
"""


def test_killed_worker_leaves_nothing_that_counts(
    fresh_cluster: Cluster, s3: ObjectStoreServer, bucket: str, catalog: Catalog
) -> None:
    """SIGKILL in the middle of the stream: the next run sweeps, and builds on the same parent."""
    full = full_backup(fresh_cluster, catalog)
    told: dict[str, Any] = {
        "endpoint": s3.endpoint,
        "user": [s3.user.access_key, s3.user.secret_key],
        "bucket": bucket,
        "port": fresh_cluster.port,
        "password": fresh_cluster.address.password,
    }
    worker = subprocess.Popen(
        [sys.executable, "-c", KILLED, json.dumps([str(ROOT / "plugins"), str(ROOT)])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    worker.stdin.write(json.dumps(told) + "\n")
    worker.stdin.flush()
    while int(worker.stdout.readline()) == 0:
        pass
    worker.kill()
    worker.wait()

    (interrupted,) = catalog.unfinished_backups(full.system_identifier)
    assert interrupted[17] == "I"
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ledgerkeep'"
    until(lambda: fresh_cluster.execute(query) == [(1,)], "the killed worker's sessions stay")
    after = incremental_backup(fresh_cluster, catalog)
    assert after.parent_id == full.id
    assert catalog.backups(full.system_identifier) == [full, after]
    assert catalog.unfinished_backups(full.system_identifier) == []


def test_recording_twice_is_recording_once(fresh_cluster: Cluster, shelf: Catalog) -> None:
    full_backup(fresh_cluster, shelf)
    increment: BaseBackup = incremental_backup(fresh_cluster, shelf)
    assert record_backup(shelf, increment.id, run=RUN, progress=no_progress) == increment
