"""The server's summaries of its WAL: which blocks changed, from where to where.

An incremental backup is made of them (PostgreSQL 17 and later: "WAL Summarization"), so they must
reach back to the start of the backup it builds on without a gap. A gap appears when summarizing
was off, when the WAL was written with `wal_level = minimal`, when the summaries were older than
`wal_summary_keep_time`, and in a restored copy, since no backup contains them. That the summaries
are behind the present is no gap: the server makes the rest while the backup waits.
"""

import psycopg

from ledgerkeep.catalog.lsn import Lsn
from ledgerkeep.database.postgres.description import one_row
from ledgerkeep.model import Record


class WalSummary(Record):
    """One file of summaries."""

    timeline: int
    start_lsn: Lsn
    end_lsn: Lsn


class WalSummaries(Record):
    """What a server has summarized of its WAL, at one moment."""

    enabled: bool
    keep_time: str
    """`wal_summary_keep_time` as the server shows it, e.g. `10d`."""
    summarized_lsn: Lsn
    """Up to where WAL has been looked at; 0 where the server does not know yet."""
    summaries: list[WalSummary]

    def gap_since(self, timeline: int, lsn: int) -> tuple[int, int] | None:
        """The first stretch since a position that no summary covers and none will, or None."""
        reached = lsn
        for summary in sorted(self.summaries, key=lambda one: one.start_lsn):
            if summary.timeline != timeline or summary.end_lsn <= reached:
                continue
            if summary.start_lsn > reached:
                return reached, summary.start_lsn
            reached = summary.end_lsn
        return (reached, self.summarized_lsn) if reached < self.summarized_lsn else None

    def knows_start(self, timeline: int, lsn: int) -> bool:
        """Whether a checkpoint began there, for all that is summarized yet.

        A summary ends wherever a checkpoint begins, and every base backup begins with one.
        """
        return lsn >= self.summarized_lsn or any(
            summary.timeline == timeline and lsn in (summary.start_lsn, summary.end_lsn)
            for summary in self.summaries
        )


def read_summaries(connection: psycopg.Connection) -> WalSummaries:
    """Ask a server of version 17 or later."""
    # The state first: what is summarized before the files are asked for must not look like a gap.
    enabled, keep_time, summarized_lsn = one_row(
        connection,
        "SELECT current_setting('summarize_wal')::bool, current_setting('wal_summary_keep_time'), "
        "summarized_lsn::text FROM pg_get_wal_summarizer_state()",
    )
    rows = connection.execute(
        "SELECT tli, start_lsn::text, end_lsn::text FROM pg_available_wal_summaries()"
    ).fetchall()
    return WalSummaries(
        enabled=enabled,
        keep_time=keep_time,
        summarized_lsn=summarized_lsn,
        summaries=[
            WalSummary(timeline=timeline, start_lsn=start, end_lsn=end)
            for timeline, start, end in rows
        ],
    )
