"""Restores of a real cluster: to every kind of target, and what must go wrong in the right way."""

from pathlib import Path

import pytest

from ledgerkeep.database.postgres.address import connect
from ledgerkeep.recovery.replay import Copy, open_copy
from ledgerkeep.recovery.restore import RestoreResult, restore_cluster
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.worker import WorkerSettings
from tests.recovery.conftest import History

pytestmark = pytest.mark.integration


def restore(
    history: History, target: RecoveryTarget, room: Path, settings: WorkerSettings, **more: object
) -> RestoreResult:
    """Plan and restore a test copy."""
    how = {"run": "test/run", "purpose": "test", **more}
    plan = history.plan(target)
    return restore_cluster(history.catalog, plan, room, settings=settings, **how)


def ask(copy: Copy, query: str) -> list[tuple]:
    """The rows of a query on a copy."""
    with connect(copy.address) as connection:
        return connection.execute(query).fetchall()


def names(copy: Copy) -> str:
    """The rows that are in the copy, in one word."""
    rows = ask(copy, "SELECT name FROM event WHERE name <> 'before' ORDER BY name")
    assert ask(copy, "SELECT count(*) FROM event WHERE name = 'before'") == [(1,)]
    return "".join(name for (name,) in rows)


@pytest.mark.parametrize("kind", ["time", "lsn", "xid", "xid exclusive", "name", "latest", "stop"])
def test_rows_before_the_target_are_there_and_none_after(history, room, settings, kind):
    mark = history.marks["c"]
    target, expected = {
        "time": (RecoveryTarget(time=mark.time), "abc"),
        "lsn": (RecoveryTarget(lsn=mark.lsn, inclusive=False), "abc"),
        "xid": (RecoveryTarget(xid=mark.xid), "abc"),
        "xid exclusive": (RecoveryTarget(xid=mark.xid, inclusive=False), "ab"),
        "name": (RecoveryTarget(name="release"), "abc"),
        "latest": (RecoveryTarget(latest=True), "abcde"),
        "stop": (RecoveryTarget(lsn=history.backup.stop_lsn), ""),
    }[kind]
    result = restore(history, target, room, settings)
    assert set(result.seconds) == {"preflight", "extract", "replay"}
    assert result.recovery_seconds > 0
    assert result.files > 900
    with open_copy(history.catalog, Room.open(room), settings=settings) as copy:
        assert names(copy) == expected
        assert copy.replayed_lsn == result.replayed_lsn
        assert ask(copy, "SELECT count(*) FROM bulk") == [(150000,)]
