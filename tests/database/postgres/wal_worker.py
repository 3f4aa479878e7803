"""A shipping worker in a process of its own, to be killed. Its arguments come as JSON on stdin."""

import json
import sys

from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.ship_wal import ship_wal
from tests.database.postgres.wal_support import bucket_store, catalog_for


def main() -> None:
    told = json.load(sys.stdin)
    store = bucket_store(told["endpoint"], told["access_key"], told["secret_key"], told["bucket"])
    catalog = catalog_for(told["slot"], store)
    ship_wal(ServerAddress(**told["address"]), catalog, run="worker")


if __name__ == "__main__":
    main()
