"""WAL shipping: one run makes everything up to the present moment durable.

Nothing is lost whenever the worker dies, and nobody has to clean up, because of the order:

1. a segment is put into the store, and acknowledged;
2. then the slot moves past it, so the server may recycle it;
3. when all segments up to the goal are there, the stretch is recorded, and only that counts.

A run that died after 1 is followed by one that gets the segment from the server again and finds
the same content stored. One that died after 2 is followed by one that finds the segments in the
store, unrecorded, and reads them back into its own stretch (`wal_route`).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from ledgerkeep import __version__
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn, segment_of
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.address import (
    ServerAddress,
    connect_replication,
    connection_error,
)
from ledgerkeep.database.postgres.description import ServerDescription, describe
from ledgerkeep.database.postgres.lineage import Lineage, check_lineage
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.database.postgres.slots import SlotState, shipping_slot
from ledgerkeep.database.postgres.stretch_tally import StretchTally
from ledgerkeep.database.postgres.timeline_history import TimelineHistory, fetch_history
from ledgerkeep.database.postgres.wal_goal import (
    ShippingGoal,
    nothing_written,
    require_primary,
    switch_segment,
)
from ledgerkeep.database.postgres.wal_route import (
    Available,
    Leg,
    first_legs,
    legs_from,
    resumed_legs,
    walk_back,
)
from ledgerkeep.database.postgres.wal_segment import (
    BLOCK,
    Segment,
    ShippedSegment,
    in_blocks,
    inspect_stored,
    store_segment,
)
from ledgerkeep.database.postgres.wal_stream import WalStream, has_wal, read_wal
from ledgerkeep.database.postgres.wal_transfer import WalTransfer
from ledgerkeep.errors import PolicyError
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import WalShipping
from ledgerkeep.progress import Progress, no_progress

_logger = logging.getLogger(__name__)


def ship_wal(
    address: ServerAddress,
    catalog: Catalog,
    *,
    run: str,
    progress: Progress = no_progress,
    slot_patience: float = 10.0,
) -> list[WalStretch]:
    """Switch the segment and ship everything up to that point over the policy's slot.

    :param run: who asks (`dag_id/run_id` or `cli`), for the log.
    :param slot_patience: seconds to wait until the slot of a dead worker is free.
    :returns: the recorded stretches, one per timeline, the newest last; none when the server has
        written nothing since the last run.
    :raises OperationRunning: another run ships.
    :raises WalError: WAL cannot be shipped without losing or mixing something.
    :raises DatabaseError, StorageError: the server or the store failed; run again.
    """
    slot = _policy(catalog).slot
    try:
        with operation_lock(address, f"{catalog.environment}/wal shipping") as connection:
            shipment = _prepare(address, catalog, connection, slot, slot_patience, progress)
            if shipment is None:
                return []
            _logger.info("%s ships WAL up to %s", run, format_lsn(shipment.goal.end_lsn))
            legs = shipment.route()
            shipment.store_histories()
            return shipment.travel(legs)
    except psycopg.OperationalError as problem:
        raise connection_error(address, str(problem)) from problem


def _prepare(
    address: ServerAddress,
    catalog: Catalog,
    connection: psycopg.Connection,
    slot_name: str,
    slot_patience: float,
    progress: Progress,
) -> "_Shipment | None":
    """Everything that is asked before anything is shipped; None when there is nothing to ship."""
    # Is it the server whose WAL lies in this place?
    server = describe(connection)
    require_primary(server)
    lineage = check_lineage(address, server, catalog)

    # Has it kept its promise?
    slot = shipping_slot(connection, slot_name, lineage.last, patience=slot_patience)
    if nothing_written(connection, lineage.last):
        return None

    # How far?
    goal = switch_segment(connection, server)
    return _Shipment(address, catalog, server, lineage, slot, goal, progress)


def _policy(catalog: Catalog) -> WalShipping:
    policy = catalog.policy.database.wal_shipping
    if policy is None:
        raise PolicyError(
            f"the policy of {catalog.environment} ships no WAL",
            hint="give it a section database.wal_shipping",
        )
    return policy


@dataclass
class _Shipment:
    """One run, with what it has found out."""

    address: ServerAddress
    catalog: Catalog
    server: ServerDescription
    lineage: Lineage
    slot: SlotState
    goal: ShippingGoal
    progress: Progress

    @property
    def history(self) -> TimelineHistory:
        """Of the server's timeline."""
        return self.lineage.history

    @property
    def size(self) -> int:
        """Bytes of a segment."""
        return self.server.segment_size

    # -- the way

    def route(self) -> list[Leg]:
        """Where to start, over which timelines, across which hole.

        :raises WalGap:
        """
        last = self.lineage.last
        if last is None or self.lineage.adopted:
            begin = self._floor(self.history.begin)
            reserved = max(self._reserved, begin)
            available = self._available(self.server.timeline, reserved, stop=begin)
            return first_legs(self.history, available, self.goal.end_lsn, self.size)
        if self._server_has(last):
            return legs_from(
                self.history, last.timeline, last.end_lsn, self.goal.end_lsn, self.size
            )
        timeline = self.history.at(self.slot.restart_lsn or 0)
        available = self._available(timeline, self._reserved, stop=last.end_lsn)
        legs = resumed_legs(self.history, last, available, self._backup_starts(), self.goal.end_lsn)
        self._tell_hole(legs)
        return legs

    def _server_has(self, last: WalStretch) -> bool:
        """Whether the WAL after the last stretch can still be read from the server."""
        if self._reserved <= last.end_lsn:
            return True
        timeline = self.history.at(last.end_lsn)
        return has_wal(self.address, timeline=timeline, position=last.end_lsn)

    @property
    def _reserved(self) -> int:
        """Start of the oldest segment that the slot keeps; the goal, when it keeps none."""
        return self._floor(self.slot.restart_lsn or self.goal.end_lsn)

    def _floor(self, position: int) -> int:
        return position // self.size * self.size

    def _available(self, timeline: int, reserved: int, *, stop: int) -> Available:
        stored = self.catalog.wal_names(
            self.server.system_identifier, timeline, first=segment_of(timeline, stop, self.size)
        )
        return walk_back(timeline, reserved, set(stored), self.size, stop=stop)

    def _backup_starts(self) -> list[int]:
        line = self.history.lineage(0)
        return [
            backup.start_lsn
            for backup in self.catalog.backups(self.server.system_identifier)
            if backup.timeline in line
        ]

    def _tell_hole(self, legs: list[Leg]) -> None:
        hole = legs[0].hole_before
        if hole is not None:
            _logger.warning(
                "WAL from %s to %s is lost; shipping goes on behind it, where a base backup starts",
                format_lsn(hole.start_lsn),
                format_lsn(hole.end_lsn),
            )

    def store_histories(self) -> None:
        """Store the `.history` of every timeline on the way that has one."""
        first = self.lineage.last.timeline + 1 if self.lineage.last else self.server.timeline
        for timeline in self.history.lineage(max(first, 2)):
            if timeline > 1:
                self._store_history(timeline)

    def _store_history(self, timeline: int) -> None:
        key = keys.wal_history(self.catalog.environment, self.server.system_identifier, timeline)
        if self.catalog.store.head(key) is not None:
            return
        connection = connect_replication(self.address)
        try:
            body = fetch_history(connection, timeline).body
        finally:
            connection.finish()
        self.catalog.store.put(key, body, retention=self.catalog.retention("wal"))

    # -- the journey

    def travel(self, legs: list[Leg]) -> list[WalStretch]:
        """Ship leg after leg; each is recorded before the next begins."""
        recorded = []
        tail = b""
        for leg in legs:
            tally = self._ship(leg, tail)
            tail = tally.tail
            if tally.count:
                stretch = self._stretch(leg, tally)
                self.catalog.commit_stretch(stretch)
                recorded.append(stretch)
        return recorded

    def _ship(self, leg: Leg, tail: bytes) -> StretchTally:
        tally = StretchTally(tail)
        for segment in self._segments(leg, leg.start, leg.stream_from):
            self._note(tally, leg, inspect_stored(self.catalog.store, segment))
        if leg.stream_from < leg.end:
            self._stream(leg, tally)
        self._ship_partial(leg)
        return tally

    def _stream(self, leg: Leg, tally: StretchTally) -> None:
        # Only the present timeline is read over the slot: confirming it there says that the rest
        # of the older ones is durable as well.
        slot = self.slot.name if leg.left_at is None else None
        with WalStream(
            self.address, timeline=leg.timeline, start=leg.stream_from, slot=slot
        ) as stream:
            WalTransfer(
                stream,
                self._upload,
                lambda shipped: self._note(tally, leg, shipped),
                in_flight=min(self.catalog.policy.storage.concurrency, 4),
            ).run(self._segments(leg, leg.stream_from, leg.end))

    def _note(self, tally: StretchTally, leg: Leg, shipped: ShippedSegment) -> None:
        tally.add(shipped)
        self.progress(
            tally.raw_bytes, leg.end - leg.start, f"WAL up to {format_lsn(shipped.segment.end)}"
        )

    def _ship_partial(self, leg: Leg) -> None:
        """The beginning of the segment inside which the timeline was left, under its own name.

        The next timeline's segment of that number starts with the same bytes, so recovery along
        this history does not need it; who must go back to the old timeline does.
        """
        start = leg.partial_start(self.size)
        if start is None or leg.left_at is None:
            return
        segment = self._segment(leg.timeline, start, partial=True)
        if self.catalog.store.head(segment.key) is not None:
            return
        content = read_wal(self.address, timeline=leg.timeline, start=start, end=leg.left_at)
        self._upload(segment, _padded(content, self.size))

    def _upload(self, segment: Segment, blocks: Iterator[bytes]) -> ShippedSegment:
        return store_segment(
            self.catalog.store,
            segment,
            blocks,
            level=self.catalog.policy.storage.compression_level,
            retention=self.catalog.retention("wal"),
        )

    def _segments(self, leg: Leg, start: int, end: int) -> Iterator[Segment]:
        for position in range(start, end, self.size):
            yield self._segment(leg.timeline, position)

    def _segment(self, timeline: int, start: int, *, partial: bool = False) -> Segment:
        return Segment(
            environment=self.catalog.environment,
            system_identifier=self.server.system_identifier,
            timeline=timeline,
            start=start,
            size=self.size,
            older_timelines=self.history.ancestors_in(timeline, start),
            partial=partial,
        )

    def _stretch(self, leg: Leg, tally: StretchTally) -> WalStretch:
        last = self.lineage.last
        covered_until, next_xid = self.goal.covered_until, self.goal.next_xid
        if leg.left_at is not None and last is not None:
            # When the last transaction of a timeline that was left committed is not known: promise
            # no more than before.
            covered_until, next_xid = last.covered_until, last.next_xid
        return tally.stretch(
            environment=self.catalog.environment,
            cluster=self.catalog.policy.database.cluster,
            system_identifier=self.server.system_identifier,
            created_at=utc_now(),
            made_by=f"ledgerkeep {__version__}",
            timeline=leg.timeline,
            segment_size=self.size,
            covered_until=covered_until,
            next_xid=next_xid,
            hole_before=leg.hole_before,
        )


def _padded(content: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Blocks of `content`, filled up with zeros to `size` bytes."""
    given = 0
    for block in in_blocks(content):
        yield block.ljust(BLOCK, b"\0")
        given += BLOCK
    while given < size:
        yield bytes(BLOCK)
        given += BLOCK
