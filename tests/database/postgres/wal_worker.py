"""A shipping worker in a process of its own, to be killed. Its arguments come as JSON on stdin."""

import json
import os
import signal
import sys

from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.database.postgres.stream_wal import stream_wal
from tests.database.postgres.wal_support import bucket_store, catalog_for, streaming_catalog


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
