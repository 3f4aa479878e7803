"""A worker that takes a backup in a process of its own, to be killed: `kill_backup` does.

Its arguments come as JSON on stdin; a line on stdout says how many bytes it has received.
"""

import json
import sys
from dataclasses import asdict

from include.sandbox.objectstore import Credentials, ObjectStore, ObjectStoreServer
from ledgerkeep.catalog.models import BackupMethod
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.full_backup import take_full_backup
from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup
from tests.conftest import Cluster
from tests.database.postgres.backup_support import make_catalog, make_policy
from tests.support.interrupted import start_worker

_RATE = 4
"""MiB a second: slow enough to be killed in the middle."""


def kill_backup(
    cluster: Cluster, s3: ObjectStoreServer, bucket: str, *, method: BackupMethod
) -> None:
    """Begin a backup, and kill its worker with SIGKILL in the middle of the stream."""
    told = {
        "endpoint": s3.endpoint,
        "user": asdict(s3.user),
        "bucket": bucket,
        "address": asdict(cluster.address),
        "method": method,
    }
    worker = start_worker("tests.database.postgres.backup_worker", told)
    assert worker.stdout is not None
    while int(worker.stdout.readline()) == 0:
        pass
    worker.kill()
    worker.wait()
    worker.stdout.close()


def _take() -> None:
    told = json.load(sys.stdin)
    store = ObjectStore(told["endpoint"], Credentials(**told["user"]), Credentials("", ""))
    take = take_full_backup if told["method"] == "full" else take_incremental_backup
    take(
        ServerAddress(**told["address"]),
        make_catalog(store, make_policy(told["bucket"], max_rate=_RATE)),
        origin=Origin("killed"),
        progress=lambda done, total, what: print(done, flush=True),
    )


if __name__ == "__main__":
    _take()
