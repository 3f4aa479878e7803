"""What is written down about a run, and the links that chain those records.

A record is made once, when the run ends, and says everything an auditor asks: what ran, when, who
started it, how each step ended, what it made or proved, how long it took, what was found. The
link beside it makes the record's place in the order permanent: it names the record's SHA-256 and
the SHA-256 of the link before, so neither can be changed, removed or put in between unseen.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat

from ledgerkeep.evidence.criteria import Criterion
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.storage.port import Sha256

RunKind = Literal["backup", "check", "recovery", "restore-test", "report"]
Outcome = Literal["success", "failed"]
Severity = Literal["info", "warning", "critical"]


class Finding(Record):
    """Something a person should look at."""

    what: str
    severity: Severity
    owner: str
    """The team that answers for it; the policy's owner unless the run names another."""


class Target(Record):
    """The recovery objectives a run was measured against, as the policy had them then."""

    name: str
    """The scenario's name in the policy, e.g. `database_failure`."""
    rto_seconds: NonNegativeFloat
    rpo_seconds: NonNegativeFloat | None
    """None: depends on when the incident is detected."""


class NotTaken(Record):
    """Why the run of an incremental backup took none, and rightly so: a full one was under way."""

    backup_id: str
    """The full backup, recorded since or not."""
    run: str
    since: UtcDatetime

    @property
    def words(self) -> str:
        """The reason as it is said while the full backup runs."""
        return f"a full backup of {self.run} is running since {self.since:%Y-%m-%d %H:%M:%S}Z"


class EvidenceRecord(Record):
    """One run of one DAG, as it ended."""

    schema_version: Literal[1] = 1
    environment: str
    dag_id: str
    run_id: str
    kind: RunKind
    outcome: Outcome
    started_at: UtcDatetime
    ended_at: UtcDatetime
    triggered_by: str
    """A person's login, or how Airflow started it (`scheduled`)."""
    tasks: dict[str, str] = {}
    """Task id → its state in Airflow when the record was made."""
    recovery_point_ids: list[str] = []
    """Recovery points the run made, checked or restored."""
    measurements: dict[str, float] = {}
    """Figures by name; the name ends in its unit: `stored_bytes`, `rto_seconds` …"""
    scenario: str = ""
    """What a recovery or restore test set out to do, stated before it began."""
    target: Target | None = None
    criteria: list[Criterion] = []
    """Of a recovery or a restore test: the four things it must show; empty for other runs."""
    facts: dict[str, str] = {}
    """What was decided, by whom, in words: `requested_by`, `reason`, `approved_by` …"""
    findings: list[Finding] = []
    not_taken: NotTaken | None = None
    """Of a backup: it passed without one, for this reason."""
    versions: dict[str, str] = {}
    """Program → version: ledgerkeep, airflow, python, server."""

    @property
    def run(self) -> str:
        """The run as proofs name it: `dag_id/run_id`."""
        return f"{self.dag_id}/{self.run_id}"

    def substance(self) -> str:
        """Hex SHA-256 of all but the end: equal when a task is merely tried again."""
        return self.model_copy(update={"ended_at": self.started_at}).digest()


class EvidenceLink(Record):
    """One link of the chain."""

    schema_version: Literal[1] = 1
    sequence: Annotated[int, Field(ge=1)]
    record_key: str
    record_sha256: Sha256
    previous_sha256: Sha256 | None
    """Of the bytes of the link before; None for the first."""
    at: UtcDatetime
    """When the link was made."""


class ChainHead(Record):
    """The end of a chain; whoever notes it can tell later that nothing before it was changed."""

    sequence: int
    """Number of links; 0: there is none yet."""
    sha256: Sha256 | None
    """Of the bytes of the last link."""
