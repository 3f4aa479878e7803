"""A shipping worker in a process of its own, to be killed. Its arguments come as JSON on stdin."""

import json
import sys

from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.database.postgres.stream_wal import stream_wal
from tests.database.postgres.wal_support import bucket_store, catalog_for, streaming_catalog


def main() -> None:
    told = json.load(sys.stdin)
    store = bucket_store(told["endpoint"], told["access_key"], told["secret_key"], told["bucket"])
    address = ServerAddress(**told["address"])
    if told.get("stream"):
        stream_wal(address, streaming_catalog(told["slot"], store, interval="10m"), run="worker")
    else:
        ship_wal(address, catalog_for(told["slot"], store), run="worker")


if __name__ == "__main__":
    main()
