"""What a recovery of documents says as evidence, in words; pure.

Nothing here names an evidence model: that room lies below. A finding and a criterion are plain
fields, as every task contributes them.
"""

from datetime import datetime
from typing import Any

from ledgerkeep.documents.recovery.report import RecoveryReport
from ledgerkeep.documents.recovery.request import DocumentRequest, ToMoment
from ledgerkeep.documents.recovery.sample import Compared
from ledgerkeep.errors import ProofMismatch, ValidationFailed


def given_up(request: DocumentRequest, now: datetime) -> float:
    """Seconds of changes that are gone back over: those since the moment; of a version, none."""
    goal = request.goal
    return max(0.0, (now - goal.at).total_seconds()) if isinstance(goal, ToMoment) else 0.0


def findings_of(report: RecoveryReport) -> list[dict[str, str]]:
    """What a person should look at."""
    where = f"each of them is named in {report.lines.key}"
    told = [
        (report.outcomes.get("failed", 0), "documents could not be brought back", "critical"),
        (report.unproven_keys, "copies are not what their versions are", "critical"),
        (
            report.outcomes.get("conflict", 0),
            "documents were left alone, because somebody has written to them since",
            "warning",
        ),
        (report.outcomes.get("missing", 0), "documents have no version to go back to", "warning"),
        (
            report.overtaken_keys,
            "documents were written to by somebody after they had been brought back",
            "warning",
        ),
    ]
    return [
        {"what": f"{count} {what}; {where}", "severity": severity}
        for count, what, severity in told
        if count
    ]


def criteria_of(report: RecoveryReport) -> list[dict[str, Any]]:
    """Integrity as it was shown; the rest is not asked of a recovery in place."""
    copied, failed = report.outcomes.get("copied", 0), report.outcomes.get("failed", 0)
    proven = copied - report.unproven_keys - report.proofs.get("overtaken", 0)
    how = ", ".join(f"{count} by {name}" for name, count in sorted(report.proofs.items()))
    words = f"{proven} of {copied} copies are what their versions are" + (
        f" ({how})" if how else ""
    )
    unasked = "documents are read where they always were; nothing else was asked"
    return [
        {
            "name": "data integrity",
            "met": report.unproven_keys == 0 and failed == 0,
            "words": f"{words}; {failed} failed" if failed else words,
        },
        {"name": "application works", "met": None, "words": unasked},
        {"name": "performance within range", "met": None, "words": unasked},
    ]


def criteria_of_sample(found: Compared, slowest_ratio: float) -> list[dict[str, Any]]:
    """What a restore test showed; being in time is measured apart."""
    same = found.documents - found.different_count
    usable = found.documents - found.altered_count
    return [
        {
            "name": "data integrity",
            "met": found.different_count == 0,
            "words": f"{same} of {found.documents} documents ({found.size} bytes) are byte for "
            "byte the versions that were restored",
        },
        {
            "name": "application works",
            "met": found.altered_count == 0,
            "words": f"{usable} of {found.documents} documents are read by their key with the "
            "content type, metadata and tags that the version has",
        },
        {
            "name": "performance within range",
            "met": found.ratio <= slowest_ratio,
            "words": f"reading the copies took {found.ratio:.2f} times as long as reading the "
            f"versions, of {slowest_ratio:g} allowed",
        },
    ]


def refuse_difference(found: Compared, slowest_ratio: float) -> None:
    """Fail when the copies are not what they have to be.

    :raises ProofMismatch: bytes differ.
    :raises ValidationFailed: what belongs to them differs, or they are read too slowly.
    """
    if found.different_count:
        raise ProofMismatch(
            f"{found.different_count} of {found.documents} restored documents are not the "
            f"versions that they were made from: {', '.join(found.different)}",
            hint="read both again, and compare with the replica before anything is recovered",
        )
    if found.altered_count:
        raise ValidationFailed(
            f"{found.altered_count} of {found.documents} restored documents have lost metadata, "
            f"content type or tags: {', '.join(found.altered)}",
            hint="may the worker's identity read and write tags? otherwise the store drops them",
        )
    if found.ratio > slowest_ratio:
        raise ValidationFailed(
            f"reading the restored documents took {found.ratio:.2f} times as long as reading the "
            f"versions, more than {slowest_ratio:g}",
            hint="run the test again when the store has less to do, or allow more in slowest_ratio",
        )
