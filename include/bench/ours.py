"""One operation of ours, as a process of its own, to be measured from outside.

    python -m include.bench.ours backup | incremental | record | newest
        | restore ROOM PURPOSE BACKUP LSN | ship | stream INTERVAL

The same functions of the core that the operators call.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.policy.load import load_policy
from ledgerkeep.progress import no_progress
from ledgerkeep.recovery.room import Purpose
from ledgerkeep.storage.open import open_store
from ledgerkeep.worker import worker_settings


def carry_out(operation: str, *rest: str) -> None:
    """Carry out an operation."""
    settings = worker_settings()
    policy = load_policy(settings.policies / "production.yaml")
    catalog = Catalog(open_store(policy.storage, settings), policy)
    stage = json.loads(os.environ["BENCH_STAGE"])
    address = ServerAddress(host=stage["sockets"], port=stage["port"])
    {
        "backup": _backup,
        "incremental": _incremental,
        "record": _record,
        "newest": _newest,
        "restore": _restore,
        "ship": _ship,
        "stream": _stream,
    }[operation](catalog, address, *rest)


def _backup(catalog: Catalog, address: ServerAddress) -> None:
    from ledgerkeep.database.postgres.base_backup import Origin
    from ledgerkeep.database.postgres.full_backup import take_full_backup

    take_full_backup(address, catalog, origin=Origin("bench"), progress=no_progress)


def _incremental(catalog: Catalog, address: ServerAddress) -> None:
    from ledgerkeep.database.postgres.base_backup import Origin
    from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup

    backup_id = take_incremental_backup(
        address, catalog, origin=Origin("bench"), progress=no_progress
    )
    if backup_id[17] != "I":
        raise SystemExit(f"{backup_id} is a full backup")


def _record(catalog: Catalog, address: ServerAddress) -> None:
    from ledgerkeep.database.postgres.full_backup import record_backup

    (cluster,) = catalog.system_identifiers()
    (backup_id,) = catalog.unfinished_backups(cluster)
    record_backup(catalog, backup_id, run="bench", progress=no_progress)


def _newest(catalog: Catalog, address: ServerAddress) -> None:
    """Tell which backup to restore, and to where: whoever recovers knows, before the clock runs."""
    (cluster,) = catalog.system_identifiers()
    backup = catalog.backups(cluster)[-1]
    print(json.dumps([backup.id, format_lsn(backup.stop_lsn)]), flush=True)


def _restore(
    catalog: Catalog,
    address: ServerAddress,
    room: str,
    purpose: Purpose,
    backup_id: str,
    lsn: str,
) -> None:
    from ledgerkeep.recovery.plan import plan_from_catalog
    from ledgerkeep.recovery.restore import restore_cluster
    from ledgerkeep.recovery.target import RecoveryTarget

    (cluster,) = catalog.system_identifiers()
    target = RecoveryTarget(lsn=parse_lsn(lsn))
    plan = plan_from_catalog(catalog, cluster, target, backup_id=backup_id)
    result = restore_cluster(
        catalog,
        plan,
        Path(room),
        settings=worker_settings(),
        run="bench",
        purpose=purpose,
        progress=no_progress,
    )
    # Stopping the server again is no part of a restore: tell how long it has been ready.
    ready_at = result.started_at + timedelta(seconds=result.recovery_seconds)
    since = (datetime.now(UTC) - ready_at).total_seconds()
    print(json.dumps({"ready_since_seconds": since, **result.seconds}), flush=True)


def _ship(catalog: Catalog, address: ServerAddress) -> None:
    from ledgerkeep.database.postgres.ship_wal import ship_wal

    ship_wal(address, catalog, run="bench", progress=no_progress)


def _stream(catalog: Catalog, address: ServerAddress, interval: str) -> None:
    from ledgerkeep.database.postgres.stream_wal import stream_wal
    from ledgerkeep.policy.model import ContinuousShipping, Policy

    continuous = ContinuousShipping.model_validate({"interval": interval})
    policy = catalog.policy.model_dump(mode="json")
    policy["database"]["wal_shipping"] |= {
        "schedule": None,
        "continuous": continuous.model_dump(mode="json"),
    }
    streaming = Catalog(catalog.store, Policy.model_validate(policy))
    streamed = stream_wal(address, streaming, run="bench", progress=no_progress)
    told = streamed.durable_after.model_dump() if streamed.durable_after else {}
    told["switch_after"] = continuous.switch_after.total_seconds()
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    carry_out(*sys.argv[1:])
