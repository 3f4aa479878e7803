"""A worker that ships or streams WAL in a process of its own, to be killed, and what is left then.

Its arguments come as JSON on stdin.
"""

import json
import os
import signal
import sys
from dataclasses import asdict

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.database.postgres.stream_wal import stream_wal
from ledgerkeep.database.postgres.wal_segment import Segment, inspect_stored
from ledgerkeep.errors import OperationRunning
from tests.conftest import Cluster
from tests.database.postgres.wal_support import (
    MEGABYTE,
    bucket_store,
    catalog_for,
    ship,
    stored_names,
    streaming_catalog,
    waldump,
)
from tests.support.faulty_proxy import FaultyProxy
from tests.support.interrupted import Worker, start_worker, until


def start_shipping(
    source: Cluster,
    s3: ObjectStoreServer,
    proxy: FaultyProxy,
    bucket: str,
    slot: str,
    *,
    stream: bool = False,
) -> Worker:
    """Ship, or stream, in another process."""
    told = {
        "stream": stream,
        "address": asdict(source.address),
        "slot": slot,
        "endpoint": proxy.endpoint,
        "bucket": bucket,
        **asdict(s3.user),
    }
    return start_worker("tests.database.postgres.wal_worker", told)


def ship_after_a_death(source: Cluster, catalog: Catalog) -> list[WalStretch]:
    """Ship, as soon as the server has noticed that the other worker is gone."""
    shipped: list[list[WalStretch]] = []

    def free() -> bool:
        try:
            shipped.append(ship(source, catalog))
        except OperationRunning:
            return False
        return True

    until(free, "the killed worker still has the lock", 20)
    return shipped[0]


def assert_whole(source: Cluster, catalog: Catalog, stretch: WalStretch) -> None:
    """Every segment is stored, is what it should be, and they read as one piece of WAL."""
    assert len(stored_names(catalog, stretch)) == stretch.segment_count
    for start in range(stretch.start_lsn, stretch.end_lsn, MEGABYTE):
        segment = Segment("production", stretch.system_identifier, 1, start, MEGABYTE)
        inspect_stored(catalog.store, segment)
    assert "SWITCH" in waldump(source, catalog, stretch).splitlines()[-1]


class Ended(BaseException):
    """What the signal that ends a task raises wherever it is, as Airflow's does."""


def end(number: int, frame: object) -> None:
    raise Ended


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    told = json.load(sys.stdin)
    store = bucket_store(told["endpoint"], told["access_key"], told["secret_key"], told["bucket"])
    address = ServerAddress(**told["address"])
    if told["stream"]:
        try:
            stream_wal(
                address, streaming_catalog(told["slot"], store, interval="10m"), run="worker"
            )
        except Ended:
            # So does the process of an Airflow task, whatever its threads wait for.
            os._exit(7)
    else:
        ship_wal(address, catalog_for(told["slot"], store), run="worker")


if __name__ == "__main__":
    main()
