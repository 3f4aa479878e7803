"""What every run that ships WAL has in common, whether it ships up to a moment or streams.

Nothing is lost whenever the worker dies, and nobody has to clean up, because of the order:

1. a segment is put into the store, and acknowledged;
2. then the slot moves past it, so the server may recycle it;
3. when a stretch of segments is there, it is recorded, and only that is a recovery point.

A run that died after 1 is followed by one that gets the segment from the server again and finds
the same content stored. One that died after 2 is followed by one that finds the segments in the
store, unrecorded, and reads them back into its own stretch (`wal_route`). Should no run follow,
because the server is lost as well, a recovery finds them itself (`wal_tail`).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from ledgerkeep import __version__
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn, segment_of
from ledgerkeep.catalog.models import DurableAfter, WalStretch
from ledgerkeep.database.postgres.address import ServerAddress, connect_replication
from ledgerkeep.database.postgres.description import ServerDescription, describe
from ledgerkeep.database.postgres.lineage import Lineage, check_lineage
from ledgerkeep.database.postgres.slots import SlotState, shipping_slot
from ledgerkeep.database.postgres.stretch_tally import StretchTally
from ledgerkeep.database.postgres.timeline_history import TimelineHistory, fetch_history
from ledgerkeep.database.postgres.wal_goal import Mark, Marks, require_primary
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
from ledgerkeep.database.postgres.wal_tail import stored_tail
from ledgerkeep.database.postgres.wal_transfer import WalTransfer
from ledgerkeep.errors import PolicyError
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import WalShipping
from ledgerkeep.progress import Progress

_logger = logging.getLogger(__name__)

_MOST_IN_FLIGHT = 4


def shipping_policy(catalog: Catalog) -> WalShipping:
    """What the policy says about shipping WAL.

    :raises PolicyError: nothing.
    """
    policy = catalog.policy.database.wal_shipping
    if policy is None:
        raise PolicyError(
            f"the policy of {catalog.environment} ships no WAL",
            hint="give it a section database.wal_shipping",
        )
    return policy


def shipping_lock(catalog: Catalog) -> str:
    """The name of the lock that a run holds while it ships."""
    return f"{catalog.environment}/wal shipping"


def prepare_shipment(
    address: ServerAddress,
    catalog: Catalog,
    connection: psycopg.Connection,
    *,
    slot_patience: float,
    progress: Progress,
) -> "Shipment":
    """Everything that is asked before anything is shipped."""
    # Is it the server whose WAL lies in this place?
    server = describe(connection)
    require_primary(server)
    lineage = check_lineage(address, server, catalog)

    # Has it kept its promise?
    name = shipping_policy(catalog).slot
    slot = shipping_slot(connection, name, lineage.last, patience=slot_patience)
    return Shipment(address, catalog, server, lineage, slot, progress)


@dataclass
class Shipment:
    """One run, with what it has found out."""

    address: ServerAddress
    catalog: Catalog
    server: ServerDescription
    lineage: Lineage
    slot: SlotState
    progress: Progress
    marks: Marks = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the moments that are reachable already."""
        last = self.lineage.last
        if last is None or self.lineage.adopted:
            self.marks = Marks()
            return
        self.marks = Marks(Mark(last.end_lsn, last.covered_until, last.next_xid))
        tail = stored_tail(self.catalog, self.server.system_identifier, last)
        if tail is not None and tail.timeline == self.server.timeline:
            self.marks.add(Mark(tail.end_lsn, tail.covered_until, tail.next_xid))

    @property
    def continues(self) -> bool:
        """Whether WAL of this line was recorded before."""
        return self.lineage.last is not None and not self.lineage.adopted

    @property
    def history(self) -> TimelineHistory:
        """Of the server's timeline."""
        return self.lineage.history

    @property
    def size(self) -> int:
        """Bytes of a segment."""
        return self.server.segment_size

    @property
    def in_flight(self) -> int:
        """How many segments are under way at once, at most."""
        return min(self.catalog.policy.storage.concurrency, _MOST_IN_FLIGHT)

    # -- the way

    def route(self, target: int) -> list[Leg]:
        """Where to start, over which timelines, across which hole, to `target`.

        The last leg is on the server's own timeline.

        :param target: a segment boundary.
        :raises WalGap:
        """
        last = self.lineage.last
        oldest = self._floor(self.slot.restart_lsn or target)
        if last is None or self.lineage.adopted:
            begin = self._floor(self.history.begin)
            available = self._available(self.server.timeline, max(oldest, begin), stop=begin)
            return first_legs(self.history, available, target, self.size)
        if self._server_has(last, oldest):
            return legs_from(self.history, last.timeline, last.end_lsn, target, self.size)
        timeline = self.history.at(self.slot.restart_lsn or 0)
        available = self._available(timeline, oldest, stop=last.end_lsn)
        legs = resumed_legs(self.history, last, available, self._backup_stops(), target)
        self._tell_hole(legs)
        return legs

    def _server_has(self, last: WalStretch, oldest: int) -> bool:
        """Whether the WAL after the last stretch can still be read from the server."""
        if oldest <= last.end_lsn:
            return True
        timeline = self.history.at(last.end_lsn)
        return has_wal(self.address, timeline=timeline, position=last.end_lsn)

    def _floor(self, position: int) -> int:
        return position // self.size * self.size

    def _available(self, timeline: int, reserved: int, *, stop: int) -> Available:
        stored = self.catalog.wal_names(
            self.server.system_identifier, timeline, first=segment_of(timeline, stop, self.size)
        )
        return walk_back(timeline, reserved, set(stored), self.size, stop=stop)

    def _backup_stops(self) -> list[int]:
        line = self.history.lineage(0)
        return [
            backup.stop_lsn
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

    def travel(self, legs: list[Leg], tally: StretchTally) -> list[WalStretch]:
        """Ship leg after leg to its end; each is recorded before the next begins.

        :param tally: empty; afterwards it is empty again, and knows where the last leg ended.
        """
        recorded = []
        for leg in legs:
            self.take_stored(leg, tally)
            if leg.stream_from < leg.end:
                self._stream(leg, tally)
            self._ship_partial(leg)
            recorded += self.record(leg, tally)
        return recorded

    def take_stored(self, leg: Leg, tally: StretchTally) -> None:
        """Count what a run before has stored and not recorded."""
        for segment in self.segments(leg, leg.start, leg.stream_from):
            tally.add(inspect_stored(self.catalog.store, segment))
            self._tell(tally, leg, segment)

    def _stream(self, leg: Leg, tally: StretchTally) -> None:
        def note(shipped: ShippedSegment) -> None:
            tally.add(shipped)
            self._tell(tally, leg, shipped.segment)

        with self.open_stream(leg) as stream:
            WalTransfer(stream, self.upload, note, in_flight=self.in_flight).run(
                self.segments(leg, leg.stream_from, leg.end)
            )

    def open_stream(self, leg: Leg) -> WalStream:
        """WAL of a leg, from where it is not stored yet."""
        # Only the present timeline is read over the slot: confirming it there says that the rest
        # of the older ones is durable as well.
        slot = self.slot.name if leg.left_at is None else None
        return WalStream(self.address, timeline=leg.timeline, start=leg.stream_from, slot=slot)

    def _tell(self, tally: StretchTally, leg: Leg, segment: Segment) -> None:
        self.progress(tally.raw_bytes, leg.end - leg.start, f"WAL up to {format_lsn(segment.end)}")

    def _ship_partial(self, leg: Leg) -> None:
        """The beginning of the segment inside which the timeline was left, under its own name.

        The next timeline's segment of that number starts with the same bytes, so recovery along
        this history does not need it; who must go back to the old timeline does.
        """
        start = leg.partial_start(self.size)
        if start is None or leg.left_at is None:
            return
        segment = self.segment(leg.timeline, start, partial=True)
        if self.catalog.store.head(segment.key) is not None:
            return
        content = read_wal(self.address, timeline=leg.timeline, start=start, end=leg.left_at)
        self.upload(segment, _padded(content, self.size))

    def upload(self, segment: Segment, blocks: Iterator[bytes]) -> ShippedSegment:
        """Put one segment and return when the store has acknowledged it."""
        return store_segment(
            self.catalog.store,
            segment,
            blocks,
            level=self.catalog.policy.storage.compression_level,
            retention=self.catalog.retention("wal"),
            marks=self.marks,
        )

    def segments(self, leg: Leg, start: int, end: int) -> Iterator[Segment]:
        """The segments of a leg between two boundaries."""
        for position in range(start, end, self.size):
            yield self.segment(leg.timeline, position)

    def segment(self, timeline: int, start: int, *, partial: bool = False) -> Segment:
        """The segment that starts at a boundary."""
        return Segment(
            environment=self.catalog.environment,
            system_identifier=self.server.system_identifier,
            timeline=timeline,
            start=start,
            size=self.size,
            older_timelines=self.history.ancestors_in(timeline, start),
            partial=partial,
        )

    def record(
        self, leg: Leg, tally: StretchTally, durable_after: DurableAfter | None = None
    ) -> list[WalStretch]:
        """Record what was counted, as one stretch, and count anew; nothing when nothing was."""
        mark = self._mark(leg, tally.end) if tally.count else None
        if mark is None:
            return []
        stretch = tally.stretch(
            environment=self.catalog.environment,
            cluster=self.catalog.policy.database.cluster,
            system_identifier=self.server.system_identifier,
            created_at=utc_now(),
            made_by=f"ledgerkeep {__version__}",
            timeline=leg.timeline,
            segment_size=self.size,
            covered_until=mark.covered_until,
            next_xid=mark.next_xid,
            hole_before=leg.hole_before if tally.start == leg.start else None,
            durable_after=durable_after,
        )
        self.catalog.commit_stretch(stretch)
        self.marks.forget_before(stretch.end_lsn)
        tally.begin_anew()
        return [stretch]

    def _mark(self, leg: Leg, end: int) -> Mark | None:
        last = self.lineage.last
        if leg.left_at is not None and last is not None:
            # When the last transaction of a timeline that was left committed is not known: promise
            # no more than before.
            return Mark(end, last.covered_until, last.next_xid)
        return self.marks.at(end)


def _padded(content: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Blocks of `content`, filled up with zeros to `size` bytes."""
    given = 0
    for block in in_blocks(content):
        yield block.ljust(BLOCK, b"\0")
        given += BLOCK
    while given < size:
        yield bytes(BLOCK)
        given += BLOCK
