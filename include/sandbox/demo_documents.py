"""The documents family, from nothing, through a real scheduler.

The loan system writes loans and documents, and the second region follows. Then an accident: all
documents below a prefix are deleted, others are overwritten. The check of rows against objects
finds it. The database is recovered to the moment before, as a copy, and the run writes down which
versions its rows need; the documents are brought back to these. Both recoveries are approved by a
second person over the REST API. Then the check finds nothing any more, the rows of the copy are
those that were counted at that moment, and the replica holds every version of all this.

Every figure of the table at the end comes from the evidence that the runs left.
"""

import random
from dataclasses import dataclass
from datetime import datetime

from rich.table import Table

from include.sandbox.copies import Counts, count_copy, quiet_moment
from include.sandbox.documents import Document
from include.sandbox.load import write_load
from include.sandbox.sandbox import Sandbox
from include.sandbox.stage import Stage, perform
from ledgerkeep.cli.airflow_api import DagRun
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.errors import ProofMismatch
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.progress import format_bytes

FULL = "database_full_backup"
WAL = "database_wal_shipping"
ROWS = "documents_metadata_consistency"
DATABASE_RECOVERY = "database_point_in_time_recovery"
RECOVERY = "document_recovery"
REPLICA = "documents_replica_consistency"
NEEDS = [FULL, WAL, ROWS, DATABASE_RECOVERY, RECOVERY, REPLICA]

_SECONDS_OF_WRITING = 5.0
_QUIET_SECONDS = 1.5
_OVERWRITTEN = 20
_KEYS = "SELECT object_key FROM documents_document ORDER BY object_key"


@dataclass(frozen=True)
class Accident:
    """What happened to the documents."""

    prefix: str
    deleted: int
    overwritten: int


def run(ours: Sandbox, *, size_mb: int, keep: bool) -> int:
    """Run the demo; returns the exit status."""
    return perform(ours, _family, size_mb=size_mb, keep=keep, needs=NEEDS)


def _family(stage: Stage) -> None:
    # Something to lose: a backup, and a day's work after it.
    stage.run(FULL)
    _write(stage)
    moment, then = quiet_moment(stage, seconds=_QUIET_SECONDS)
    stage.run(WAL)

    # The accident, and the check that finds it.
    accident = _accident(stage)
    found = stage.run_in_vain(ROWS, {"fresh": True})

    # Back to the moment before: the database as a copy, the documents in their own bucket.
    copy = _recover(
        stage,
        DATABASE_RECOVERY,
        {"target_kind": "time", "target_value": moment.isoformat(), "documents": "plan"},
    )
    counted = count_copy(stage, copy)
    if counted != then:
        raise ProofMismatch(f"the copy holds {counted}, the database held {then} at {moment}")
    versions = str(stage.api.returned(copy, "check_documents"))
    recovery = _recover(
        stage, RECOVERY, {"goal": "manifest", "moment_check": versions, "prefix": "*"}
    )

    # Do rows and objects agree again, and does the second region hold all of it?
    runs = {
        "found": found,
        "copy": copy,
        "recovery": recovery,
        "afterwards": stage.run(ROWS, {"fresh": True}),
        "replica": stage.run(REPLICA),
    }
    evidence = {name: stage.evidence(run) for name, run in runs.items()}
    stage.console.print(_table(stage, accident, evidence, moment, then))


def _write(stage: Stage) -> None:
    with write_load(stage.database, clients=4, documents=stage.documents) as load:
        load.wait(_SECONDS_OF_WRITING)
    stage.console.print(f"{load.transactions} transactions were written, documents among them")


def _accident(stage: Stage) -> Accident:
    """Delete what lies below a prefix, and overwrite some of the rest."""
    with connect(stage.database) as connection:
        keys = [key for (key,) in connection.execute(_KEYS)]
    # A hundred packages, with one from the middle among them.
    prefix = keys[len(keys) // 2][: len("documents/00000000")]
    doomed = [key for key in keys if key.startswith(prefix)]
    rest = [key for key in keys if not key.startswith(prefix)]
    victims = random.sample(rest, min(_OVERWRITTEN, len(rest)))
    for key in doomed:
        stage.documents.remove(key)
    stage.documents.put_all(Document(key, b"overwritten by mistake") for key in victims)
    stage.console.print(
        f"[red]the accident:[/] {len(doomed)} documents below {prefix} deleted, "
        f"{len(victims)} others overwritten"
    )
    return Accident(prefix, len(doomed), len(victims))


def _recover(stage: Stage, action: str, form: dict[str, str]) -> DagRun:
    asked = {
        "reason": "a demo: documents were deleted and overwritten by mistake",
        "scenario": "accidental_deletion",
    }
    with stage.approving() as approve:
        return stage.run(action, {**form, **asked}, meanwhile=approve)


def _table(
    stage: Stage,
    accident: Accident,
    evidence: dict[str, EvidenceRecord],
    moment: datetime,
    then: Counts,
) -> Table:
    table = Table(show_header=False)
    table.add_row(
        "the accident",
        f"{accident.deleted} documents below {accident.prefix} deleted, "
        f"{accident.overwritten} overwritten",
    )
    findings = [finding.what for finding in evidence["found"].findings]
    table.add_row("what the check found", "\n".join(findings))
    copy = evidence["copy"]
    rows = ", ".join(f"{count:,} {name}" for name, count in then.items())
    table.add_row("the database", f"as at {moment.isoformat()}, in {_rto(copy)}\n{rows}, as then")
    needed = copy.measurements
    table.add_row(
        "its documents",
        f"{needed['documents_there']:,.0f} of {needed['document_rows']:,.0f} rows have their "
        f"version of that moment, {needed['documents_to_recover']:,.0f} are to be brought back",
    )
    recovery = evidence["recovery"]
    figures = recovery.measurements
    table.add_row(
        "brought back",
        f"{figures['planned_documents']:,.0f} documents, "
        f"{format_bytes(int(figures['copied_bytes']))}, in {_rto(recovery)}, "
        f"approved by {recovery.facts['answered_by']}",
    )
    table.add_row("proven", recovery.facts["proofs"])
    after = evidence["afterwards"].measurements
    table.add_row(
        "afterwards",
        f"{after['document_rows']:,.0f} rows, {after['documents']:,.0f} documents, no finding",
    )
    table.add_row("the replica", _replica(evidence["replica"]))
    table.add_row("Airflow", f"{stage.url} (user admin)")
    return table


def _rto(record: EvidenceRecord) -> str:
    reached, target = record.measurements["rto_seconds"], record.target
    allowed = f" of {target.rto_seconds:,.0f} s allowed" if target else ""
    return f"{reached:.0f} s{allowed}"


def _replica(record: EvidenceRecord) -> str:
    figures = record.measurements
    return (
        f"{figures['versions_same']:,.0f} of {figures['versions_compared']:,.0f} versions are the "
        f"same, {figures['versions_on_their_way']:,.0f} on their way, "
        f"{figures['versions_missing']:,.0f} missing"
    )
