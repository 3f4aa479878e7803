"""What was shown of a version after it had been stored: never written into it, but beside it.

Restored and compared equal in an isolated place: proven. Restored, and the service then said that
it does not work: restored. Opened with all of its hashes where the service has no such place:
intact. The highest of them is what counts.
"""

from typing import Literal

from ledgerkeep.model import Record, UtcDatetime

Level = Literal["intact", "restored", "proven"]


class ConfigurationProof(Record):
    """One thing that was shown of a version, by one run."""

    schema_version: Literal[1] = 1
    source: str
    version_id: str
    level: Level
    run: str
    """The Airflow run (`dag_id/run_id`)."""
    shown_at: UtcDatetime
    items: int
    restore_seconds: float | None = None
    stops_because: str = ""
    """Why the level is not higher, in words; empty when proven."""
