"""Where timelines branch off: the `.history` files (PostgreSQL: "Timelines").

Each promotion starts a new timeline; its history names every ancestor and the position at which
that one was left. So the history tells whether a server is the continuation of WAL that is stored
already, or of something else.
"""

from dataclasses import dataclass

from psycopg import pq
from psycopg.pq.abc import PGconn

from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.errors import DatabaseError


@dataclass(frozen=True)
class TimelineHistory:
    """The ancestry of one timeline."""

    timeline: int
    switches: tuple[tuple[int, int], ...] = ()
    """(ancestor timeline, position at which it was left), oldest first."""
    body: bytes = b""
    """The file as the server has it; empty for timeline 1, which has none."""

    def end_of(self, timeline: int) -> int | None:
        """Where an ancestor was left; None when it is none."""
        return dict(self.switches).get(timeline)

    @property
    def begin(self) -> int:
        """Where this timeline itself begins (0 for the first)."""
        return self.switches[-1][1] if self.switches else 0

    def begin_of(self, timeline: int) -> int:
        """Where this timeline or an ancestor begins (0 for the oldest)."""
        older = [switch for ancestor, switch in self.switches if ancestor < timeline]
        return older[-1] if older else 0

    def at(self, position: int) -> int:
        """The timeline of this lineage on which the byte at `position` was written."""
        for ancestor, switch in self.switches:
            if position < switch:
                return ancestor
        return self.timeline

    def ancestors_in(self, timeline: int, position: int) -> frozenset[int]:
        """Timelines that a page at `position` may name in a file of `timeline` besides that one.

        The segment in which a timeline begins is a copy of the one before up to that point.
        """
        if position >= self.begin_of(timeline):
            return frozenset()
        return frozenset(ancestor for ancestor, _ in self.switches if ancestor < timeline)

    def lineage(self, start: int) -> list[int]:
        """The timelines from ancestor `start` down to this one, in order."""
        return [timeline for timeline, _ in self.switches if timeline >= start] + [self.timeline]


def parse_history(timeline: int, body: bytes) -> TimelineHistory:
    """Read a history file: per line timeline, position, reason; `#` starts a comment.

    :raises DatabaseError: a line is something else.
    """
    switches = []
    for line in body.decode(errors="replace").splitlines():
        fields = line.split(maxsplit=2)
        if not fields or fields[0].startswith("#"):
            continue
        try:
            switches.append((int(fields[0]), parse_lsn(fields[1])))
        except (ValueError, IndexError) as problem:
            raise DatabaseError(
                f"the history of timeline {timeline} has a line that cannot be read: {line!r}",
                hint="look at that .history file in the server's pg_wal directory",
            ) from problem
    return TimelineHistory(timeline, tuple(switches), body)


def fetch_history(connection: PGconn, timeline: int) -> TimelineHistory:
    """Ask a server for a timeline's history, over a replication connection.

    :raises DatabaseError: the server has no such file.
    """
    if timeline == 1:
        return TimelineHistory(1)
    result = connection.exec_(f"TIMELINE_HISTORY {timeline}".encode())
    if result.status != pq.ExecStatus.TUPLES_OK:
        said = " ".join(result.error_message.decode(errors="replace").split())
        raise DatabaseError(
            f"the server does not give the history of timeline {timeline}: {said}",
            hint=f"{timeline:08X}.history belongs in its pg_wal directory; "
            "copy it there from the former primary",
        )
    return parse_history(timeline, result.get_value(0, 1) or b"")
