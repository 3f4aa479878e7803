"""One operation of a kind at a time, and the next one as soon as it is over."""

import os
import signal
import threading
from collections.abc import Iterator

import psycopg
import pytest

from ledgerkeep.database.postgres import lock
from ledgerkeep.database.postgres.lock import operation_lock
from tests.conftest import Cluster


@pytest.fixture
def sessions_stay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As with a server so busy that it ends no session within the test."""
    closed: list[psycopg.Connection] = []
    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Connection, "close", lambda self: closed.append(self))
        yield
    for connection in closed:
        connection.close()


def _run(cluster: Cluster, problem: BaseException | None = None) -> None:
    with operation_lock(cluster.address, "test/lock"):
        if problem is not None:
            raise problem


@pytest.mark.usefixtures("sessions_stay")
def test_next_run_is_not_refused_for_a_session_that_has_not_ended_yet(cluster: Cluster) -> None:
    _run(cluster)
    _run(cluster)


@pytest.mark.usefixtures("sessions_stay")
def test_next_run_is_not_refused_for_one_that_has_failed(cluster: Cluster) -> None:
    with pytest.raises(KeyError):
        _run(cluster, KeyError("of the run itself"))
    _run(cluster)


def test_run_ends_although_the_server_does_not_answer(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the network is what ended it; its session is one that has stopped."""
    monkeypatch.setattr(lock, "_RELEASE_SECONDS", 0.1)
    with operation_lock(cluster.address, "test/lock") as connection:
        session = connection.info.backend_pid
        os.kill(session, signal.SIGSTOP)
        # Who waits for an answer gets one in the end, and is found out by it.
        too_late = threading.Timer(30, os.kill, (session, signal.SIGCONT))
        too_late.start()
    waited = not too_late.is_alive()
    too_late.cancel()
    os.kill(session, signal.SIGCONT)
    assert not waited


def _lose_the_session(cluster: Cluster) -> None:
    with operation_lock(cluster.address, "test/lock") as connection:
        connection.close()
        raise KeyError("of the run itself")


def test_run_that_lost_its_session_fails_with_its_own_problem(cluster: Cluster) -> None:
    with pytest.raises(KeyError, match="of the run itself"):
        _lose_the_session(cluster)
