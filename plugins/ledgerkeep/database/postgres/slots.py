"""The physical replication slot: the server's promise to keep WAL until it is stored.

The slot's `restart_lsn` is where WAL is still guaranteed from. It moves only when shipping
confirms what the object store has acknowledged, so whoever drops the slot breaks the promise, and
that must be said loudly and not healed in silence. Only a full backup, which needs none of the
WAL before it, may make the slot anew.
"""

import time
from typing import Any

import psycopg

from ledgerkeep.catalog.lsn import Lsn, format_lsn
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.errors import DatabaseError, SlotInUse, SlotInvalidated, SlotMissing
from ledgerkeep.model import Record

_POLL_SECONDS = 0.2


class SlotState(Record):
    """A physical slot as the server describes it (PostgreSQL: view pg_replication_slots)."""

    name: str
    restart_lsn: Lsn | None
    """The oldest WAL the server keeps for it; None: it keeps none."""
    active_pid: int | None
    """The server process that streams from it."""
    wal_status: str | None
    """reserved, extended, unreserved or lost."""
    invalidation_reason: str | None = None
    """Told by PostgreSQL 17 and later."""
    created: bool = False
    """Made by this very call."""

    @property
    def invalidated(self) -> bool:
        """Whether the server has given its WAL up for good."""
        return self.wal_status == "lost" or self.invalidation_reason is not None


def read_slot(connection: psycopg.Connection, name: str) -> SlotState | None:
    """The slot's state, or None when there is no such slot.

    :raises DatabaseError: a logical slot has that name.
    """
    # As JSON, because the columns differ between the versions we support.
    row = connection.execute(
        "SELECT to_jsonb(slot) FROM pg_replication_slots AS slot WHERE slot_name = %s", [name]
    ).fetchone()
    if row is None:
        return None
    told: dict[str, Any] = row[0]
    if told["slot_type"] != "physical":
        raise DatabaseError(
            f"replication slot {name} is a logical slot",
            hint="WAL shipping needs a physical one: give the policy's wal_shipping.slot "
            "another name",
        )
    return SlotState(
        name=name,
        restart_lsn=told["restart_lsn"],
        active_pid=told["active_pid"],
        wal_status=told["wal_status"],
        invalidation_reason=told.get("invalidation_reason"),
    )


def ensure_slot(connection: psycopg.Connection, name: str) -> SlotState:
    """For a full backup, before it starts: from here on the server keeps all WAL.

    Makes the slot when it is missing, makes it anew when it is invalidated or keeps no WAL, and
    otherwise leaves it, active or not.

    :raises DatabaseError: a logical slot has that name.
    """
    found = read_slot(connection, name)
    if found is not None and not found.invalidated and found.restart_lsn is not None:
        return found
    if found is not None:
        connection.execute("SELECT pg_drop_replication_slot(%s)", [name])
    _create(connection, name)
    made = read_slot(connection, name)
    if made is None:
        raise DatabaseError(
            f"replication slot {name} vanished right after it was made",
            hint="does something on the server drop unknown slots (Patroni does)? "
            "make it known there as a permanent slot",
        )
    return made.model_copy(update={"created": True})


def _create(connection: psycopg.Connection, name: str) -> None:
    try:
        connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [name])
    except psycopg.Error as problem:
        raise DatabaseError(
            f"replication slot {name} cannot be made: {' '.join(str(problem).split())}",
            hint="the role needs REPLICATION, and the server a free slot (max_replication_slots)",
        ) from problem


def shipping_slot(
    connection: psycopg.Connection,
    name: str,
    shipped: WalStretch | None,
    *,
    patience: float = 10.0,
) -> SlotState:
    """The slot that shipping reads from, made only when nothing has ever been shipped.

    :param shipped: the newest stretch in the catalog.
    :param patience: seconds to wait for the walsender of a worker that died.
    :raises SlotMissing, SlotInvalidated, SlotInUse:
    """
    found = _idle_slot(connection, name, patience)
    if found is None and shipped is not None:
        raise SlotMissing(
            f"replication slot {name} is gone; its WAL had been shipped up to "
            f"{format_lsn(shipped.end_lsn)} (segment {shipped.last_segment})",
            hint="was the slot dropped, is this a new primary after a failover, or a clone? "
            "if this is the server to protect, take a full backup: it makes the slot anew",
        )
    if found is not None and found.invalidated:
        raise SlotInvalidated(
            f"replication slot {name} is invalidated "
            f"({found.invalidation_reason or 'wal_status lost'}): "
            "the server has given up WAL that was not shipped yet",
            hint="take a full backup: it makes the slot anew; then raise max_slot_wal_keep_size "
            "or ship more often",
        )
    return ensure_slot(connection, name)


def _idle_slot(connection: psycopg.Connection, name: str, patience: float) -> SlotState | None:
    deadline = time.monotonic() + patience
    while True:
        found = read_slot(connection, name)
        if found is None or found.active_pid is None:
            return found
        if time.monotonic() > deadline:
            raise in_use(connection, found)
        time.sleep(_POLL_SECONDS)


def in_use(connection: psycopg.Connection, slot: SlotState) -> SlotInUse:
    """The error that says who streams from the slot."""
    row = connection.execute(
        "SELECT application_name, client_addr::text FROM pg_stat_replication WHERE pid = %s",
        [slot.active_pid],
    ).fetchone()
    who = f"{row[0]} from {row[1] or 'a local socket'}" if row else "another client"
    return SlotInUse(
        f"replication slot {slot.name} is in use by {who} (server process {slot.active_pid})",
        hint="the slot belongs to WAL shipping alone: stop the other client, or give it a slot "
        "of its own; if it is a dead worker's, the server ends it after wal_sender_timeout",
    )
