"""Watching a replay until it is where it should be, or will not get there.

Two witnesses: the feeder, which knows what the server has asked for, and the server itself, once
it is consistent and answers. There is no limit to how long a replay may take, only to how long it
may stand still.
"""

import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg

from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.database.postgres.postmaster import Postmaster
from ledgerkeep.errors import LedgerkeepError, RecoveryStopped
from ledgerkeep.progress import Progress
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.wal_feeder import WalFeeder

_POLL = 0.05
_QUIET = 1.0
"""Seconds without a replayed record after which the end of the WAL is taken for reached: the
server may ask for the next segment a little ahead of what it has replayed."""
_STATE = """
SELECT pg_get_wal_replay_pause_state(), pg_last_wal_replay_lsn()::text,
       pg_last_xact_replay_timestamp()
"""
_WAITING = "waiting for WAL to become available"
_COMPLAINTS = ("FATAL:", "PANIC:", "ERROR:", "fetch-wal:")
_TOO_LOW = re.compile(
    r"(\w+) = \d+ is a lower setting than on the primary server, "
    r"where its value was (\d+)"
)
_ADVICE = {
    "could not access file": "install this library with the worker's PostgreSQL programs, or take "
    "it out of the policy's database.preload_libraries",
    "resource manager with ID": "the WAL is an extension's own: name its library in the policy's "
    "database.preload_libraries",
}
_ORDINARY = (
    "starting up",
    "not yet accepting",
    "in recovery mode",
    "shutting down",
    "administrator command",
)
"""What a server says to whoever connects at the wrong moment, whatever goes on in it."""


@dataclass(frozen=True)
class Replayed:
    """How far replay has come."""

    paused: bool
    lsn: int
    at: datetime | None
    """Commit time of the last transaction replayed."""
    too_low: dict[str, str] = field(default_factory=dict)
    """Settings that the source raised after the backup, and their values there: a standby stops
    where it reads of it, and must be started again with them."""


class ReplayWatch:
    """One replay, followed from the start of its server."""

    def __init__(
        self, server: Postmaster, feeder: WalFeeder, plan: RecoveryPlan, *, ends_itself: bool
    ) -> None:
        self._server = server
        self._feeder = feeder
        self._plan = plan
        self._ends_itself = ends_itself
        self._log_start = server.log.stat().st_size if server.log.exists() else 0
        self._connection: psycopg.Connection | None = None
        self._state: Replayed | None = None
        self._moved_at = time.monotonic()
        self._mark: tuple[object, ...] = ()

    def wait(self, target: str, progress: Progress, patience: float) -> Replayed:
        """Return when replay is paused at the target, or has used up the WAL and that is the same;
        or when it cannot go on with these settings (`too_low`).

        :param target: in words, for messages.
        :param patience: seconds of standstill after which it is given up.
        :raises RecoveryStopped:
        """
        try:
            while True:
                self._look()
                self._report(progress)
                if (too_low := self._stopped_by_settings()) is not None:
                    return too_low
                if not self._server.alive:
                    raise self._ended(target)
                if self._state is not None and self._reached(self._state, target):
                    return self._state
                if time.monotonic() - self._moved_at > patience:
                    raise self._stuck(target, patience)
                time.sleep(_POLL)
        finally:
            if self._connection is not None:
                self._connection.close()

    # -- looking

    def _look(self) -> None:
        """Ask the server, if it answers, and note whether anything has moved."""
        if self._connection is None and self._server.answers():
            self._connection = self._connect()
        if self._connection is not None:
            try:
                row = self._connection.execute(_STATE).fetchone()
            except psycopg.OperationalError:
                # It ended under us; whether the server did is looked at next.
                self._connection = None
                row = None
            if row is not None and row[1] is not None:
                self._state = Replayed(row[0] == "paused", parse_lsn(row[1]), row[2])
        mark = (self._feeder.served, self._state, self._lines_logged())
        if mark != self._mark:
            self._mark = mark
            self._moved_at = time.monotonic()

    def _connect(self) -> psycopg.Connection | None:
        try:
            return psycopg.connect(self._server.address.conninfo(), autocommit=True)
        except psycopg.OperationalError:
            return None

    def _report(self, progress: Progress) -> None:
        start = self._plan.backup_stop_lsn
        lsn = self._state.lsn if self._state else max(start, self._feeder.served_until)
        done = min(max(lsn - start, 0), self._plan.wal_raw_bytes)
        progress(done, self._plan.wal_raw_bytes or None, f"replay at {format_lsn(lsn)}")

    def _lines_logged(self) -> int:
        """A server that has nothing to replay says so again and again: that is no movement."""
        return sum(_WAITING not in line for line in self._new_log().splitlines())

    # -- judging

    def _reached(self, state: Replayed, target: str) -> bool:
        if state.paused:
            return True
        if not self._feeder.asked_beyond:
            return False
        whole = state.lsn >= self._plan.available_until
        if not whole and time.monotonic() - self._moved_at < _QUIET:
            return False
        if self._ends_itself:
            return True
        raise RecoveryStopped(
            f"all WAL until {format_lsn(state.lsn)} was replayed without meeting {target}",
            hint="the transaction may have been rolled back before, or still have been running "
            "when the WAL was shipped; recover to a time or a WAL position instead",
        )

    def _stopped_by_settings(self) -> Replayed | None:
        """Whether replay stands because a setting of ours is lower than it was on the source
        (PostgreSQL: "Hot Standby", Administrator's Overview).
        """
        if self._server.alive and (self._state is None or not self._state.paused):
            return None
        said = self._new_log()
        if "insufficient parameter settings" not in said:
            return None
        raised = dict(_TOO_LOW.findall(said))
        lsn = self._state.lsn if self._state else 0
        return Replayed(paused=False, lsn=lsn, at=None, too_low=raised)

    def _ended(self, target: str) -> LedgerkeepError:
        failure = self._feeder.failure
        where = f" at {format_lsn(self._state.lsn)}" if self._state else ""
        if failure is not None:
            stopped = RecoveryStopped(
                f"replay stopped{where} before {target}: {failure.message}", hint=failure.hint
            )
            stopped.__cause__ = failure
            return stopped
        complaint = self._last_complaint()
        return RecoveryStopped(
            f"the server ended{where} before {target}: {complaint}",
            hint=advice(complaint, self._server.log),
        )

    def _stuck(self, target: str, patience: float) -> RecoveryStopped:
        where = f" at {format_lsn(self._state.lsn)}" if self._state else ""
        return RecoveryStopped(
            f"replay has stood still{where} for {patience:.0f} s before {target}: "
            f"{self._last_complaint()}",
            hint=f"the whole log is {self._server.log}; if nothing is wrong there, the WAL itself "
            "is damaged at that position: recover to a target before it",
        )

    def _new_log(self) -> str:
        with self._server.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _last_complaint(self) -> str:
        return last_complaint(self._new_log()) or self._server.last_words(2)


def last_complaint(log: str) -> str:
    """Why a server stopped, by its log: its last complaint that is about itself; may be empty."""
    lines = [
        line
        for line in log.splitlines()
        if any(mark in line for mark in _COMPLAINTS)
        and not any(words in line for words in _ORDINARY)
    ]
    return _words(lines[-1]) if lines else ""


def advice(complaint: str, log: Path) -> str:
    """What to do about a server's last words: libraries are the policy's to name."""
    whole = f"the whole log is {log}"
    for words, what in _ADVICE.items():
        if words in complaint:
            return f"{what}; {whole}"
    return whole


def _words(line: str) -> str:
    """A log line without its time and severity."""
    for mark in ("FATAL:", "PANIC:", "ERROR:", "DETAIL:"):
        line = line.partition(mark)[2] or line
    return line.strip()
