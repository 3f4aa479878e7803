"""The exported snapshot: tied to an LSN, and gone with its connection."""

import signal
import subprocess
import sys
import time

import pytest

from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.description import describe
from ledgerkeep.database.postgres.fingerprint.snapshot import (
    exported_snapshot,
    why_no_exact_fingerprint,
)
from ledgerkeep.errors import DatabaseAccessDenied, DatabaseError
from tests.conftest import ROOT, Cluster

pytestmark = pytest.mark.integration

_HOLD = """
import sys
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.fingerprint.snapshot import exported_snapshot
host, port, database = sys.argv[1:]
with exported_snapshot(ServerAddress(host, int(port), database=database)) as snapshot:
    print(snapshot.name, flush=True)
    sys.stdin.read()
"""


def _slots(cluster: Cluster, database: str) -> int:
    found = cluster.execute(
        f"SELECT count(*) FROM pg_replication_slots WHERE database = '{database}'"
    )
    count: int = found[0][0]
    return count


def test_snapshot_sees_what_was_committed_before_its_lsn(cluster: Cluster, database: str) -> None:
    """And nothing that came later."""
    cluster.execute("CREATE TABLE t (a int)", database)
    cluster.execute("INSERT INTO t VALUES (1)", database)
    before = parse_lsn(cluster.execute("SELECT pg_current_wal_lsn()::text")[0][0])

    with exported_snapshot(cluster.address.to(database)) as snapshot:
        cluster.execute("INSERT INTO t VALUES (2)", database)
        with connect(cluster.address.to(database)) as reader:
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            reader.execute(f"SET TRANSACTION SNAPSHOT '{snapshot.name}'".encode())
            seen = reader.execute("SELECT a FROM t").fetchall()

    after = parse_lsn(cluster.execute("SELECT pg_current_wal_lsn()::text")[0][0])
    assert seen == [(1,)]
    assert before <= snapshot.lsn < after


def test_slot_is_gone_after_the_block(cluster: Cluster, database: str) -> None:
    """It would hold back WAL and vacuum."""
    with exported_snapshot(cluster.address.to(database)):
        assert _slots(cluster, database) == 1

    _wait_until_no_slot(cluster, database)


def test_killed_worker_leaves_no_slot(cluster: Cluster, database: str) -> None:
    """SIGKILL gives nobody a chance to clean up, so there must be nothing to clean up."""
    server = cluster.server.address
    worker = subprocess.Popen(
        [sys.executable, "-c", _HOLD, server.host, str(server.port), database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "plugins")},
    )
    assert worker.stdout is not None
    assert worker.stdout.readline()
    assert _slots(cluster, database) == 1

    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()

    _wait_until_no_slot(cluster, database)


def _wait_until_no_slot(cluster: Cluster, database: str) -> None:
    deadline = time.monotonic() + 20
    while _slots(cluster, database):
        assert time.monotonic() < deadline, "the slot is still there"


def test_transaction_that_does_not_end_is_not_waited_for_for_ever(
    cluster: Cluster, database: str
) -> None:
    """A consistent point needs every writer of the moment to have ended."""
    address = cluster.address.to(database)
    cluster.execute("CREATE TABLE t (a int)", database)
    with connect(address) as writer:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(DatabaseError) as caught, exported_snapshot(address, patience=0.5):
            pass

    assert caught.value.message == (
        f"no snapshot of {address} after 0 s: transactions that were already writing have not ended"
    )
    assert caught.value.hint == (
        "look for long ones: SELECT pid, xact_start, query FROM pg_stat_activity "
        "WHERE backend_xid IS NOT NULL ORDER BY xact_start"
    )
    _wait_until_no_slot(cluster, database)


def test_role_without_replication_is_refused(cluster: Cluster, database: str) -> None:
    """The role that reads tables may lack the privilege for slots."""
    role = f"plain_{database}"
    cluster.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'plain'")
    address = ServerAddress("127.0.0.1", cluster.port, role, "plain", database)
    try:
        with pytest.raises(DatabaseAccessDenied), exported_snapshot(address):
            pass
    finally:
        cluster.execute(f"DROP ROLE {role}")


def test_reasons_for_no_exact_fingerprint_are_sentences_for_the_report(cluster: Cluster) -> None:
    """Empty where there is none."""
    with connect(cluster.address) as connection:
        description = describe(connection)

    assert why_no_exact_fingerprint(description) == ""
    assert why_no_exact_fingerprint(description.model_copy(update={"wal_level": "replica"})) == (
        "wal_level is replica and not logical, so the source's content "
        "cannot be tied to an exact LSN"
    )
    assert why_no_exact_fingerprint(description.model_copy(update={"in_recovery": True})) == (
        "the server is a standby, and only a primary can export a snapshot at a known LSN"
    )
