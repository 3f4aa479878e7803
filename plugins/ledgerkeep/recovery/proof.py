"""The proof: a restored copy is identical to the source at exactly one point of its WAL.

The fingerprint says what each database of the source held, and where in the WAL that was. The copy
is replayed to just before that position and held there while it is read in the same way; then it
goes on to the next database's position. Nothing of the source is needed for that, so a copy can be
proven when the source is gone.

    first_target(fingerprint)   where to restore to, so that the proof can begin
    last_target(fingerprint)    where the proof leaves the copy
    prove_copy(...)             compares; ProofMismatch names what differs
    record_proof(...)           decides the level from all that was shown, and commits it
"""

from collections.abc import Sequence

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import DatabaseFingerprint, Fingerprint, Proof
from ledgerkeep.database.postgres.fingerprint import fingerprint_copy
from ledgerkeep.errors import ProofMismatch, RecoveryError
from ledgerkeep.model import utc_now
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.recovery.amcheck import SUITE as AMCHECK
from ledgerkeep.recovery.compare import Difference, compare, table_name
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.replay import open_copy
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.recovery.validation_report import ValidationReport
from ledgerkeep.worker import WorkerSettings

_NAMED = 20
"""Differences that a message names one by one."""


def first_target(fingerprint: Fingerprint) -> RecoveryTarget:
    """Where a copy must stand before it can be proven against the fingerprint."""
    return _target(fingerprint, min(one.lsn for one in fingerprint.databases))


def last_target(fingerprint: Fingerprint) -> RecoveryTarget:
    """Where the proof leaves a copy, and up to where it needs WAL."""
    return _target(fingerprint, max(one.lsn for one in fingerprint.databases))


def prove_copy(
    catalog: Catalog,
    room: Room,
    fingerprint: Fingerprint,
    *,
    settings: WorkerSettings,
    run: str,
    progress: Progress = no_progress,
) -> Proof:
    """Show that the copy is what the source was; commits nothing (see `record_proof`).

    The copy must not have been promoted, nor replayed past the first of the fingerprint's
    positions: restore it to `first_target`.

    :raises ProofMismatch: it is not identical; tables and row counts are named.
    :raises RecoveryError: the copy is of another cluster, or already past the position.
    """
    _check_same_cluster(room.record.plan, fingerprint)
    differences: list[Difference] = []
    # Replay only goes forward, so the databases come in the order of their positions.
    in_order = sorted(fingerprint.databases, key=lambda one: one.lsn)
    for expected in in_order:
        with open_copy(
            catalog,
            room,
            settings=settings,
            target=_target(fingerprint, expected.lsn),
            progress=progress,
        ) as copy:
            _check_not_past(expected, copy.replayed_lsn)
            found = fingerprint_copy(
                copy.address,
                expected.database,
                expected,
                catalog.policy.database.fingerprint.parallelism,
                progress,
            )
        differences += compare(expected, found)
    if differences:
        raise _mismatch(room.record.plan, differences)
    return _proof(room.record.plan, fingerprint, run)


def record_proof(
    catalog: Catalog,
    plan: RecoveryPlan,
    *,
    run: str,
    identical: Proof | None,
    validated: Sequence[ValidationReport] | None,
    because: str = "",
    restore_seconds: float | None = None,
) -> Proof:
    """Commit how far the plan's base backup was shown to be good: it was restored, at least.

    What an incremental builds on was read back whole and checked, so each of those backups is
    `intact`. None of them came up by itself, so none of them is more than that.

    :param identical: what `prove_copy` returned; None where nothing was compared.
    :param validated: what `validate_room` returned; None where it failed or was not done.
    :param because: why the level is not higher, for the report.
    """
    level: str = "restored"
    if validated is not None and identical is not None:
        level, because = "proven", ""
    elif any(report.suite != AMCHECK for report in validated or []):
        level = "validated"
    shown = identical or Proof(
        recovery_point_id=plan.backup_id, level="restored", shown_at=utc_now(), run=run
    )
    proof = shown.model_copy(
        update={
            "level": level,
            "shown_at": utc_now(),
            "restore_seconds": restore_seconds,
            "stops_because": because or _unsaid(level, validated),
        }
    )
    *ancestors, restored = plan.chain
    for ancestor in ancestors:
        intact = _intact(ancestor.id, proof)
        catalog.commit_proof(plan.system_identifier, intact, ancestor.method)
    catalog.commit_proof(plan.system_identifier, proof, restored.method)
    return proof


def _intact(backup_id: str, shown: Proof) -> Proof:
    return Proof(
        recovery_point_id=backup_id,
        level="intact",
        shown_at=shown.shown_at,
        run=shown.run,
        stops_because=f"it was restored as a part of {shown.recovery_point_id}, not by itself",
    )


def _unsaid(level: str, validated: Sequence[ValidationReport] | None) -> str:
    if level == "proven":
        return ""
    if validated is None:
        return "the copy was not validated"
    if level == "restored":
        return "the policy names no suite of expectations, and there was no fingerprint"
    return "there was no fingerprint of the source to compare with"


def _target(fingerprint: Fingerprint, lsn: int) -> RecoveryTarget:
    return RecoveryTarget(lsn=lsn, inclusive=False, timeline=fingerprint.timeline)


def _check_same_cluster(plan: RecoveryPlan, fingerprint: Fingerprint) -> None:
    if plan.system_identifier != fingerprint.system_identifier:
        raise RecoveryError(
            f"the copy is of the cluster {plan.system_identifier}, and the fingerprint "
            f"{fingerprint.id} of {fingerprint.system_identifier}",
            hint="choose a fingerprint of the cluster that was restored",
        )


def _check_not_past(expected: DatabaseFingerprint, replayed: int) -> None:
    if replayed > expected.lsn:
        raise RecoveryError(
            f"the copy has replayed WAL up to {format_lsn(replayed)}, past the fingerprint of "
            f"{expected.database} at {format_lsn(expected.lsn)}",
            hint="restore it again, to the first position of the fingerprint",
        )


def _mismatch(plan: RecoveryPlan, differences: Sequence[Difference]) -> ProofMismatch:
    words = [difference.describe() for difference in differences[:_NAMED]]
    if len(differences) > _NAMED:
        words.append(f"and {len(differences) - _NAMED} more")
    return ProofMismatch(
        f"the copy of {plan.backup_id} is not identical to the source: {'; '.join(words)}",
        hint="do not rely on this backup: prove an older one, take a new full backup, and look at "
        "the source's and the worker's storage",
    )


def _proof(plan: RecoveryPlan, fingerprint: Fingerprint, run: str) -> Proof:
    tables = [(one.database, table) for one in fingerprint.databases for table in one.tables]
    return Proof(
        recovery_point_id=plan.backup_id,
        level="proven",
        shown_at=utc_now(),
        run=run,
        target_lsn=last_target(fingerprint).lsn,
        fingerprint_id=fingerprint.id,
        fingerprint_sha256=fingerprint.digest(),
        tables_compared=len(tables),
        rows_compared=sum(table.rows for _, table in tables),
        sampled_tables=[
            f"{database}: {table_name(table)} ({table.sampled_percent:g} % of its pages)"
            for database, table in tables
            if table.sampled_percent is not None
        ],
        left_out={
            f"{one.database}: {name}": reason
            for one in fingerprint.databases
            for name, reason in one.left_out.items()
        },
    )
