"""How what is stored is looked after: the latest verification, and how old the readings are.

The age of the readings is not what a verification says about itself: it follows from the proofs
and the records of readings in the catalog, so a verification that no longer runs shows here.
"""

from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.evidence.report.gather import Material
from ledgerkeep.evidence.report.model import Verification
from ledgerkeep.evidence.verification.inventory import stored_objects
from ledgerkeep.evidence.verification.share import overdue


def verification_of(material: Material, records: list[EvidenceRecord]) -> Verification:
    """The verifications of the period and the readings as they stand now."""
    section = material.policy.database.verification
    dag_id = f"{material.policy.environment}_database_backup_verification"
    latest = next((one for one in reversed(records) if one.dag_id == dag_id), None)
    stored = [
        one
        for snapshot in material.snapshots
        for one in stored_objects(snapshot, material.checked[snapshot.system_identifier])
    ]
    late = overdue(stored, now=material.now, within=section.reread_within) if section else []
    objects = sum(one.objects for one in stored)
    oldest = min((one.last_read for one in stored), default=None)
    return Verification(
        promised_seconds=section.reread_within.total_seconds() if section else None,
        run=latest.run if latest else None,
        at=latest.started_at if latest else None,
        outcome=latest.outcome if latest else None,
        parts=latest.tasks if latest else {},
        findings=latest.findings if latest else [],
        stored_objects=objects,
        read_in_time=objects - sum(one.objects for one in late),
        oldest_reading=oldest,
        oldest_seconds=max(0.0, (material.now - oldest).total_seconds()) if oldest else None,
    )
