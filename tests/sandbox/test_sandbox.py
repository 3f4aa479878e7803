"""Going down ends every process of the sandbox, and loses nothing."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from include.sandbox import database, objectstore, processes, sandbox, servers
from include.sandbox.objectstore import Credentials, ObjectStoreServer
from include.sandbox.sandbox import Sandbox
from include.sandbox.servers import Start, protected_server
from include.sandbox.state import State
from ledgerkeep.database.postgres.address import connect

pytestmark = pytest.mark.integration


@pytest.fixture
def ours(run_directory: Path) -> Iterator[Sandbox]:
    """A sandbox of the test's own, in which nothing runs yet."""
    home = run_directory / secrets.token_hex(4)
    home.mkdir()
    made = Sandbox(home)
    yield made
    sandbox.down(made)
    shutil.rmtree(home)


def start_servers(ours: Sandbox, state: State) -> ObjectStoreServer:
    """Two of the servers that keep data."""
    server = protected_server(state, ours.place())
    state.servers["database"] = database.start(server, ours.home)
    store = objectstore.start(
        ours.home / "store",
        user=Credentials("user", state.secrets.store_secret),
        admin=Credentials("admin", state.secrets.store_admin_secret),
        port=state.ports.store,
        mark=ours.home,
    )
    state.servers["store"] = store.daemon
    state.save(ours.home)
    return store


def left(ours: Sandbox) -> list[psutil.Process]:
    return processes.leftovers(ours.home, ours.place().servers, ours.state().servers.values())


def test_data_survive_down_and_up_and_no_process_is_left(ours: Sandbox) -> None:
    state = State()
    store = start_servers(ours, state)
    address = protected_server(state, ours.place()).address
    with connect(address) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
    objectstore.make_bucket(store, "kept")
    objectstore.admin_client(store).put_object(Bucket="kept", Key="kept", Body=b"x" * 100_000)

    sandbox.down(ours)
    assert left(ours) == []

    store = start_servers(ours, state)
    with connect(address) as connection:
        assert connection.execute("SELECT x FROM kept").fetchall() == [(1,)]
    found = objectstore.admin_client(store).get_object(Bucket="kept", Key="kept")
    assert found["Body"].read() == b"x" * 100_000


def test_servers_are_found_and_ended_although_the_state_is_lost(ours: Sandbox) -> None:
    start_servers(ours, State())
    (ours.home / "state.json").unlink()
    sandbox.down(ours)
    assert left(ours) == []


def test_status_tells_a_server_that_was_killed(ours: Sandbox) -> None:
    state = State()
    store = start_servers(ours, state)
    assert ours.state().running == ["database", "store"]
    psutil.Process(store.pid).kill()
    psutil.wait_procs([psutil.Process(store.pid)], timeout=10)
    said: list[str] = []
    assert not sandbox.status(ours, say=said.append)
    assert said == [
        "airflow  is down",
        "aws      is down",
        "database runs",
        "metadata is down",
        "replica  is down",
        "saas     is down",
        "store    is down",
    ]


def test_replication_is_turned_round_and_the_way_is_remembered(ours: Sandbox) -> None:
    state = State()
    start = Start(ours.home, ours.place(), state, ours.policies, 1, say=lambda line: None)
    servers.start_stores(start)
    assert ours.state().running == ["store", "replica", "replication-production"]
    before = ours.state().servers["replication-production"]
    said: list[str] = []
    sandbox.replicate(ours, backwards=True, say=said.append)
    bucket = "loan-management-documents-production"
    assert said == [f"{bucket}-replica is replicated to {bucket}"]
    after = ours.state()
    assert after.replicates_backwards
    assert before.process is None
    assert after.running == ["store", "replica", "replication-production"]
    backward = psutil.Process(after.servers["replication-production"].pid)
    assert f"-a.path=/buckets/{bucket}-replica" in backward.cmdline()
    backward.kill()
    psutil.wait_procs([backward], timeout=10)
    assert not sandbox.status(ours, say=said.append)
    assert "replication-production is down" in said


def test_down_without_a_sandbox_makes_none(tmp_path: Path) -> None:
    said: list[str] = []
    sandbox.down(Sandbox(tmp_path / "none"), say=said.append)
    assert said == ["there is no sandbox"]
    assert list(tmp_path.iterdir()) == []
