"""What the loan database holds at a moment, and what a recovered copy of it holds.

A copy is started as its handover says, counted, and removed: a demo that only believed the runs
would show nothing.
"""

import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.sandbox import environment
from include.sandbox.stage import Stage
from ledgerkeep.cli.airflow_api import DagRun
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.recovery.handover import Handover, start_copy, stop_copy
from ledgerkeep.worker import WorkerSettings

_COUNTED = ("loans", "payments", "ledger_lines", "documents_document")

Counts = dict[str, int]


def quiet_moment(stage: Stage, *, seconds: float = 0.01) -> tuple[datetime, Counts]:
    """A moment at which nobody writes, by the server's clock, and what the database holds then.

    :param seconds: that must lie between it and every write before and after. S3 tells whole
        seconds, so documents need more than one.
    """
    with connect(stage.database) as connection:
        connection.execute("SELECT pg_sleep(%s)", [seconds])
        then = _count(connection)
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        connection.execute("SELECT pg_sleep(%s)", [seconds])
    assert row is not None
    return row[0].astimezone(UTC), then


def count_copy(stage: Stage, recovery: DagRun) -> Counts:
    """Start the copy with the commands of its handover, count, stop it, and remove it."""
    handover = Handover.model_validate(stage.api.returned(recovery, "hand_over"))
    settings = WorkerSettings()
    stage.console.print(f"the copy: {shlex.join(handover.start)}", soft_wrap=True)
    start_copy(handover, settings=settings)
    try:
        address = ServerAddress(
            host=handover.socket_directory,
            port=handover.port,
            user=handover.user,
            database=environment.DATABASE,
        )
        with connect(address) as connection:
            return _count(connection)
    finally:
        stop_copy(handover, settings=settings)
        shutil.rmtree(Path(handover.services).parent)


def _count(connection: Any) -> Counts:
    found = {}
    for name in _COUNTED:
        row = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
        found[name] = row[0]
    return found
