"""The compliance report as data: what the HTML shows and what the JSON says.

Durations are seconds, sizes bytes, moments UTC. Whatever is missing is None and is said to be
missing; nothing is left out because it looks bad.
"""

from typing import Literal

from pydantic import computed_field

from ledgerkeep.catalog.lsn import Lsn
from ledgerkeep.evidence.criteria import Criterion
from ledgerkeep.evidence.records import ChainHead, Finding, Outcome, RunKind, Severity, Target
from ledgerkeep.model import Record, UtcDatetime

LevelWord = Literal["recorded", "intact", "restored", "validated", "proven"]
Conclusion = Literal["met", "met with exceptions", "not met"]


class Period(Record):
    """What the report covers: runs that started in [since, until)."""

    since: UtcDatetime
    until: UtcDatetime


class DagRuns(Record):
    """The runs of one DAG in the period."""

    dag_id: str
    kind: RunKind
    runs: int
    succeeded: int
    last_at: UtcDatetime
    last_outcome: Outcome
    median_seconds: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def success_percent(self) -> float:
        """Share of runs that passed."""
        return 100 * self.succeeded / self.runs


class DayRuns(Record):
    """Runs that started on one day."""

    day: str
    succeeded: int
    failed: int


class BackupRow(Record):
    """A base backup or a fingerprint that is kept."""

    id: str
    kind: Literal["base_backup", "fingerprint"]
    at: UtcDatetime
    """When the backup ended, or the fingerprint was taken, by the server's clock."""
    start_lsn: Lsn
    end_lsn: Lsn
    raw_bytes: int | None
    stored_bytes: int | None
    level: LevelWord | None
    """None for a fingerprint: it is what others are proven against."""
    shown_at: UtcDatetime | None
    shown_by: str | None
    """The run that showed the level."""
    stops_because: str
    """Why the level is not higher."""
    parent_id: str | None = None
    """The backup that an incremental builds on; None for a full one."""
    page_checksum_failures: int = 0


class RecoveryWindow(Record):
    """The WAL of one timeline that is kept."""

    system_identifier: str
    timeline: int
    start_lsn: Lsn
    end_lsn: Lsn
    covered_until: UtcDatetime
    segments: int
    stored_bytes: int
    holes: list[str]
    """WAL that is lost for good, as LSN ranges."""


class RestoreTestRow(Record):
    """One restore test or recovery, with what it reached against what was promised."""

    run: str
    started_at: UtcDatetime
    outcome: Outcome
    scenario: str
    target: Target | None
    rto_seconds: float | None
    rpo_seconds: float | None
    recovery_point_ids: list[str]
    level: LevelWord | None
    tables_compared: int
    rows_compared: int
    sampled_tables: list[str]
    stops_because: str
    criteria: list[Criterion]
    """The four things it had to show; empty in evidence older than they are."""
    asked_by: str
    """A person's login; for a run of a schedule, how Airflow started it."""
    facts: dict[str, str]
    """What was decided, by whom, in words: `reason`, `answer`, `answered_by` …"""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rto_met(self) -> bool | None:
        """None: there is no target or no figure."""
        return _within(self.rto_seconds, self.target.rto_seconds if self.target else None)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rpo_met(self) -> bool | None:
        """None: there is no target or no figure."""
        return _within(self.rpo_seconds, self.target.rpo_seconds if self.target else None)


class Coverage(Record):
    """A moment at which the recoverable past was brought up to date."""

    at: UtcDatetime
    gap_seconds: float
    """What a failure right before would have lost: since the moment before, or as measured."""
    streamed: bool = False
    """WAL was streamed then, so it is the longest time from commit to durable."""


class Currency(Record):
    """How much would be lost now, and would have been lost at worst in the period."""

    newest: UtcDatetime | None
    """Every transaction committed before this moment can be recovered."""
    age_seconds: float | None
    target_seconds: float | None
    worst_gap_seconds: float | None
    coverage: list[Coverage]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def met(self) -> bool | None:
        """Whether a failure now would lose no more than promised."""
        return _within(self.age_seconds, self.target_seconds)


class DurableRow(Record):
    """How soon commits were durable, in the stretches of one cluster that were streamed."""

    system_identifier: str
    stretches: int
    samples: int
    """Moments at which something waited, in all of them."""
    typical_seconds: float
    """The median of the stretches' medians, each counted as often as it was sampled."""
    worst_seconds: float
    worst_at: UtcDatetime
    """Up to when the stretch covers that has it."""
    target_seconds: float | None
    over_target: int
    """Stretches in which something took longer than the objective."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def met(self) -> bool | None:
        """Whether at worst no more than promised would have been lost; None: nothing is."""
        return _within(self.worst_seconds, self.target_seconds)


class RetentionRow(Record):
    """What is promised to be kept, and whether everything the runs made in that time is there."""

    what: str
    promised_seconds: float
    made: int
    """Recovery points that runs of the period made and that must still be kept."""
    missing: list[str]
    """Those of them that are gone."""
    kept: int
    oldest: UtcDatetime | None
    newest: UtcDatetime | None


class ArchiveRow(Record):
    """A recovery point in the vault of another account."""

    id: str
    year: int
    recovery_point_id: str
    level: LevelWord
    """How far it had been shown to be good when it was archived."""
    archived_at: UtcDatetime
    location: str
    storage_class: str
    locked_until: UtcDatetime
    objects: int
    stored_bytes: int


class ConfigurationRow(Record):
    """One source of configuration that the policy names."""

    source: str
    title: str
    """What a person calls it."""
    versions: int
    """That are kept."""
    made: int
    """Of them, in the period."""
    newest_id: str | None
    """None: nothing of it was ever exported."""
    newest_at: UtcDatetime | None
    items: int
    secrets: int
    major: str
    """Why the newest is a major version; empty: it is none."""
    looked_at: UtcDatetime | None
    """When a run of the period compared it with what was live last."""
    level: LevelWord
    """How far any version that is kept has been shown to be good, the newest best one."""
    shown_id: str | None
    shown_at: UtcDatetime | None
    shown_by: str | None
    stops_because: str
    """Why the level is not higher."""


class Control(Record):
    """A security control: what the policy wants, what was found on stored objects."""

    name: str
    wanted: str
    found: str
    objects: int
    """How many stored objects were looked at."""
    met: bool


class Verification(Record):
    """How what is stored is looked after: the latest verification, and when what was read back."""

    promised_seconds: float | None
    """Every stored object is read back at least this often; None: the policy asks for none."""
    run: str | None
    """The latest of the period; None: there was none."""
    at: UtcDatetime | None
    outcome: Outcome | None
    parts: dict[str, str]
    """What it looked at → `success`, or another state."""
    findings: list[Finding]
    stored_objects: int
    """Volumes, manifests and WAL segments that are kept; records are read by every run."""
    read_in_time: int
    """Those of them that were written or read back within the promised time."""
    oldest_reading: UtcDatetime | None
    oldest_seconds: float | None
    """Its age."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def met(self) -> bool | None:
        """Whether all was read in time; None: nothing is promised."""
        return None if self.promised_seconds is None else self.read_in_time == self.stored_objects


class ReportException(Record):
    """A deviation from the policy, or from what should be."""

    at: UtcDatetime
    severity: Severity
    what: str
    run: str | None = None
    owner: str


class FindingRow(Record):
    """What a run found."""

    run: str
    at: UtcDatetime
    finding: Finding


class EvidenceRow(Record):
    """One run in the list of evidence."""

    run: str
    kind: RunKind
    outcome: Outcome
    started_at: UtcDatetime
    seconds: float
    triggered_by: str
    recovery_point_ids: list[str]
    record_sha256: str
    """Of the evidence record: its link in the chain holds the same."""


class ChainResult(Record):
    """Whether the evidence is as it was written."""

    verified: bool
    head: ChainHead | None
    compared_with: ChainHead | None
    """The head that the report before this one noted; the chain still contains it."""
    problem: str = ""


class HistoryComparison(Record):
    """Airflow's own run history against the evidence."""

    runs: int | None
    """Finished runs in Airflow in the period; None: the history could not be read."""
    agreeing: int
    why_not: str = ""


class ComplianceReport(Record):
    """One environment, one period."""

    schema_version: Literal[1] = 1
    environment: str
    cluster: str
    criticality: str
    owner: str
    period: Period
    made_at: UtcDatetime
    made_by: str
    dags: list[DagRuns]
    days: list[DayRuns]
    backups: list[BackupRow]
    windows: list[RecoveryWindow]
    restore_tests: list[RestoreTestRow]
    currency: Currency
    durable_after: list[DurableRow]
    """For each cluster whose WAL was streamed; empty where it is shipped on a schedule."""
    retention: list[RetentionRow]
    verification: Verification
    archives: list[ArchiveRow]
    """All that are in the vault, oldest first, whenever they were made."""
    configuration: list[ConfigurationRow]
    """A row for each source that the policy names."""
    controls: list[Control]
    exceptions: list[ReportException]
    findings: list[FindingRow]
    sampled_tables: dict[str, float]
    """Tables the policy lets be fingerprinted by a sample only → percent."""
    chain: ChainResult
    history: HistoryComparison
    evidence: list[EvidenceRow]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def conclusion(self) -> Conclusion:
        """Not met: something critical. Met with exceptions: something else to explain."""
        severities = {one.severity for one in self.exceptions}
        if "critical" in severities:
            return "not met"
        return "met with exceptions" if "warning" in severities else "met"

    @property
    def runs(self) -> int:
        """All runs in the period."""
        return sum(dag.runs for dag in self.dags)

    @property
    def succeeded(self) -> int:
        """Those that passed."""
        return sum(dag.succeeded for dag in self.dags)

    @property
    def base_backups(self) -> list[BackupRow]:
        """Base backups that are kept, oldest first."""
        return [row for row in self.backups if row.kind == "base_backup"]


def _within(reached: float | None, target: float | None) -> bool | None:
    return None if reached is None or target is None else reached <= target
