"""Having WAL stored up to a position, whoever ships it."""

from datetime import timedelta

import pytest

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.database.postgres.lock import is_locked, operation_lock
from ledgerkeep.database.postgres.wal_awaited import is_covered, ship_past
from ledgerkeep.errors import OperationRunning
from tests.conftest import Cluster
from tests.database.postgres.test_stream_wal import commit, covers, streaming
from tests.database.postgres.wal_support import catalog_for, ship_one, streaming_catalog

pytestmark = pytest.mark.integration

LOCK = "production/wal shipping"


def test_where_wal_is_shipped_on_a_schedule_it_is_shipped_now(source: Cluster, slot: str) -> None:
    catalog = catalog_for(slot)
    position = commit(source)
    (stretch,) = ship_past(source.address, catalog, run="test", lsn=position)
    assert stretch.end_lsn >= position


def test_a_run_that_streams_is_waited_for(source: Cluster, slot: str) -> None:
    """The segment is switched for it: it would have waited for minutes."""
    catalog = streaming_catalog(slot, interval="8s", switch_after="7s")
    ship_one(source, catalog)
    position = commit(source)
    with streaming(source, catalog) as run:
        position = commit(source)
        assert ship_past(source.address, catalog, run="test", lsn=position) == []
        assert not run.done()
        assert covers(catalog, source, position)
        assert ship_past(source.address, catalog, run="test") == []


def test_it_is_shipped_from_here_when_no_run_shows_up(source: Cluster, slot: str) -> None:
    catalog = streaming_catalog(slot)
    first = ship_one(source, catalog)
    position = commit(source)
    (stretch,) = ship_past(
        source.address, catalog, run="test", lsn=position, between_runs=timedelta(seconds=1)
    )
    assert stretch.start_lsn == first.end_lsn
    assert stretch.end_lsn >= position


def test_a_run_that_stores_nothing_is_not_waited_for_forever(source: Cluster, slot: str) -> None:
    catalog = streaming_catalog(slot, interval="1s", switch_after="1s")
    ship_one(source, catalog)
    position = commit(source)
    with operation_lock(source.address, LOCK) as holder:
        assert not is_locked(holder, LOCK)
        with pytest.raises(OperationRunning) as refused:
            ship_past(source.address, catalog, run="test", lsn=position)
    assert refused.value.message == (
        f"WAL up to {format_lsn(position)} is not stored after 2 s, although a run streams"
    )
    assert refused.value.hint == (
        "its log says how far it has come, and whether the store keeps up with the server"
    )


def test_a_cluster_without_wal_is_not_covered(slot: str) -> None:
    assert not is_covered(catalog_for(slot), "1", timeline=1, lsn=1)


def test_only_its_own_timeline_covers_a_position(source: Cluster, slot: str) -> None:
    catalog = catalog_for(slot)
    commit(source)
    stretch = ship_one(source, catalog)
    identifier = stretch.system_identifier
    assert is_covered(catalog, identifier, timeline=1, lsn=stretch.end_lsn)
    assert not is_covered(catalog, identifier, timeline=1, lsn=stretch.end_lsn + 1)
    assert not is_covered(catalog, identifier, timeline=2, lsn=stretch.end_lsn)
