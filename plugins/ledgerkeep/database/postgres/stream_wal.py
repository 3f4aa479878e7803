"""WAL shipping without end: a run streams for its interval, and the next one follows at once.

Every segment is stored as soon as it is complete, and a segment into which something was written is
completed after a few seconds, so what a disaster costs is seconds. A server that nobody uses is
left alone. The run records one stretch, at its end; what a restore point names is recorded as soon
as it is durable, because only a record tells its name. Until then `wal_tail` finds what is stored.

Whatever breaks ends the run; it does not connect again by itself. A server that was restarted may
be another one by now, and all the questions that a run begins with have to be asked again. The
answer to every kind of interruption is thus the same, and the one that is tested most: the next
run.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.catalog.models import DurableAfter, WalStretch
from ledgerkeep.database.postgres.address import ServerAddress, connection_error
from ledgerkeep.database.postgres.description import one_row
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.database.postgres.stretch_tally import StretchTally
from ledgerkeep.database.postgres.wal_activity import SegmentActivity
from ledgerkeep.database.postgres.wal_commits import CommitScan
from ledgerkeep.database.postgres.wal_goal import insert_position, make_mark, switch_segment
from ledgerkeep.database.postgres.wal_lag import DurableLag
from ledgerkeep.database.postgres.wal_pace import Pace, Step
from ledgerkeep.database.postgres.wal_route import Leg
from ledgerkeep.database.postgres.wal_segment import Segment, ShippedSegment
from ledgerkeep.database.postgres.wal_shipment import (
    Shipment,
    prepare_shipment,
    shipping_lock,
    shipping_policy,
)
from ledgerkeep.database.postgres.wal_stream import WalChunk, WalStream
from ledgerkeep.database.postgres.wal_transfer import WalTransfer
from ledgerkeep.errors import DatabaseError, PolicyError
from ledgerkeep.policy.model import ContinuousShipping
from ledgerkeep.progress import Progress, no_progress

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_SILENCE_SECONDS = 60.0
_POSITIONS = "SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text"
_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"


@dataclass(frozen=True)
class StreamedWal:
    """What one run made durable."""

    stretches: list[WalStretch]
    """Recorded, the newest last; none when nobody has used the server."""
    durable_after: DurableAfter | None
    """Of the whole run; None when nothing was written."""


def stream_wal(
    address: ServerAddress,
    catalog: Catalog,
    *,
    run: str,
    progress: Progress = no_progress,
    slot_patience: float = 10.0,
) -> StreamedWal:
    """Ship WAL over the policy's slot while it is written, for the policy's interval.

    :param run: who asks (`dag_id/run_id` or `cli`), for the log.
    :param slot_patience: seconds to wait until the slot of a dead worker is free.
    :raises PolicyError: the policy does not ask for it.
    :raises OperationRunning: another run ships.
    :raises WalError: WAL cannot be shipped without losing or mixing something.
    :raises DatabaseError: the server failed; what had come whole is stored and recorded.
    :raises StorageError: the store failed; the next run records what is stored.
    """
    continuous = _continuous(catalog)
    try:
        with operation_lock(address, shipping_lock(catalog)) as connection:
            shipment = prepare_shipment(
                address, catalog, connection, slot_patience=slot_patience, progress=progress
            )
            present = insert_position(connection) // shipment.size * shipment.size
            *left, leg = shipment.route(present)
            shipment.store_histories()
            tally = StretchTally()
            recorded = shipment.travel(left, tally)
            _logger.info("%s streams WAL from %s on", run, format_lsn(leg.stream_from))
            streaming = _Streaming(shipment, connection, leg, tally, continuous)
            streaming.run()
            return StreamedWal([*recorded, *streaming.recorded], streaming.lag.of_run())
    except psycopg.OperationalError as problem:
        raise connection_error(address, str(problem)) from problem


def _continuous(catalog: Catalog) -> ContinuousShipping:
    continuous = shipping_policy(catalog).continuous
    if continuous is None:
        raise PolicyError(
            f"the policy of {catalog.environment} does not ship WAL continuously",
            hint="give it a section database.wal_shipping.continuous",
        )
    return continuous


class _Streaming:
    """The present timeline, from the first segment that is not recorded to the end of the run."""

    def __init__(
        self,
        shipment: Shipment,
        connection: psycopg.Connection,
        leg: Leg,
        tally: StretchTally,
        continuous: ContinuousShipping,
    ) -> None:
        self.recorded: list[WalStretch] = []
        self.lag = DurableLag()
        self._shipment = shipment
        self._connection = connection
        self._leg = leg
        self._tally = tally
        self._continuous = continuous
        self._stored_at: dict[int, float] = {}
        self._durable_at = 0.0
        self._stored_bytes = 0

    def run(self) -> None:
        shipment, leg = self._shipment, self._leg
        shipment.take_stored(leg, self._tally)
        try:
            with shipment.open_stream(leg) as stream:
                attendant = _Attendant(
                    shipment, self._connection, stream, leg.stream_from, self._continuous, self.lag
                )
                WalTransfer(
                    stream,
                    self._upload,
                    self._durable,
                    in_flight=shipment.in_flight,
                    attendant=attendant,
                ).run(self._segments(attendant))
        except DatabaseError:
            # The server may not come back, and no other run either: what there is counts now.
            self._record()
            raise
        self._record()

    def _segments(self, attendant: "_Attendant") -> Iterator[Segment]:
        position = self._leg.stream_from
        while attendant.last_end is None or position < attendant.last_end:
            yield self._shipment.segment(self._leg.timeline, position)
            position += self._shipment.size

    def _upload(self, segment: Segment, blocks: Iterator[bytes]) -> ShippedSegment:
        shipped = self._shipment.upload(segment, blocks)
        self._stored_at[segment.end] = time.monotonic()
        return shipped

    def _durable(self, shipped: ShippedSegment) -> None:
        end = shipped.segment.end
        # An uploader may have been done before its predecessor; only together they count.
        self._durable_at = max(self._durable_at, self._stored_at.pop(end))
        self.lag.durable(end, self._durable_at)
        self._tally.add(shipped)
        # Segments that were switched are mostly empty: what they take in the store says more.
        self._stored_bytes += shipped.stored.size
        self._shipment.progress(self._stored_bytes, None, f"WAL stored up to {format_lsn(end)}")
        mark = self._shipment.marks.at(end)
        named = self._tally.restore_points
        # Once per mark, however many restore points somebody makes.
        if named and mark is not None and mark.lsn >= named[-1].lsn:
            self._record()

    def _record(self) -> None:
        self.recorded += self._shipment.record(self._leg, self._tally, self.lag.of_stretch())


class _Attendant:
    """Looks at the server each second, and marks, switches and ends when the pace says so."""

    def __init__(
        self,
        shipment: Shipment,
        connection: psycopg.Connection,
        stream: WalStream,
        start: int,
        continuous: ContinuousShipping,
        lag: DurableLag,
    ) -> None:
        self.last_end: int | None = None
        """Where the last segment of the run ends, as soon as that is known."""
        self._shipment = shipment
        self._connection = connection
        self._stream = stream
        self._lag = lag
        now = time.monotonic()
        self._pace = Pace(
            _seconds(continuous.switch_after), now, now + _seconds(continuous.interval)
        )
        self._received = start
        self._activity = SegmentActivity(start)
        self._looked_at = self._heard_at = self._began = now
        self._begun_at, self._flushed = self._positions()
        # Before the first record nothing was promised, so nothing has waited for it either.
        self._before = CommitScan(start, self._begun_at if shipment.continues else start)
        (server_clock,) = one_row(connection, _CLOCK)
        self._server_ahead = server_clock - now

    def tick(self) -> None:
        """See `Attendant`."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS and self.last_end is None:
            self._looked_at = now
            try:
                self._look(now)
            except psycopg.OperationalError as problem:
                raise connection_error(self._shipment.address, str(problem)) from problem

    def received(self, chunk: WalChunk) -> None:
        """See `Attendant`."""
        self._heard_at = time.monotonic()
        data, size = chunk.data, self._shipment.size
        while len(data):
            room = size - self._received % size
            self._see(data[:room])
            data = data[room:]

    def silence(self) -> None:
        """See `Attendant`."""
        now = time.monotonic()
        if self._flushed <= self._received:
            self._heard_at = now
        elif now - self._heard_at > _SILENCE_SECONDS:
            raise self._stream.silent()

    def ends(self) -> bool:
        """See `Attendant`."""
        return self._pace.is_over(time.monotonic()) and self._pace.waiting_since is None

    def _see(self, data: memoryview) -> None:
        """Some bytes of the open segment."""
        self._see_commits(data)
        activity = self._activity
        if activity.began_at is None:
            activity.feed(data)
            if activity.began_at is not None:
                self._lag.disregard(activity.start, activity.began_at)
                before = activity.began_at < self._begun_at
                self._pace.wrote(self._heard_at, before_the_run=before)
        self._received += len(data)
        if self._received % self._shipment.size == 0:
            self._activity = SegmentActivity(self._received)
            self._pace.opened()

    def _see_commits(self, data: memoryview) -> None:
        """What was committed before the run began has waited since then."""
        if not self._before.is_over:
            for commit in self._before.feed(data):
                at = min(commit.at - self._server_ahead, self._began)
                self._lag.committed(commit.end, at)

    def _look(self, now: float) -> None:
        written, self._flushed = self._positions()
        self._lag.written(written, now)
        size = self._shipment.size
        step = self._pace.step(now, filled=written // size > self._received // size)
        if step is Step.SWITCH:
            self._shipment.marks.add(switch_segment(self._connection, size))
            self._pace.marked(now)
        elif step is Step.MARK:
            self._shipment.marks.add(make_mark(self._connection))
            self._pace.marked(now)
        if self._pace.is_last(now):
            self.last_end = (self._received // size + 1) * size

    def _positions(self) -> tuple[int, int]:
        written, flushed = one_row(self._connection, _POSITIONS)
        return parse_lsn(written), parse_lsn(flushed)


def _seconds(length: timedelta) -> float:
    return length.total_seconds()
