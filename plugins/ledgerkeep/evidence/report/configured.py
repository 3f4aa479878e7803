"""The configuration in a report: for each source what is kept, and when it was last looked at.

A version that is old is not a fault: it is still what is live, if a run has compared it lately. So
both are shown, when the newest version was made, and when it was compared last.
"""

from datetime import datetime

from ledgerkeep.catalog.models import ProofLevel
from ledgerkeep.configuration.proof import ConfigurationProof
from ledgerkeep.configuration.registry import settings_of
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.evidence.report.gather import Material, ShownVersion
from ledgerkeep.evidence.report.model import ConfigurationRow


def configuration_rows(material: Material, records: list[EvidenceRecord]) -> list[ConfigurationRow]:
    """One row for each source that the policy names.

    :param records: the period's, without those that a later one replaced.
    """
    return [
        _row(source, shown, material, _looked_at(source, material, records))
        for source, shown in material.configuration.items()
    ]


def _row(
    source: str, shown: list[ShownVersion], material: Material, looked_at: datetime | None
) -> ConfigurationRow:
    newest = shown[-1].version if shown else None
    best = max(
        (proof for one in shown for proof in one.proofs),
        key=lambda proof: (ProofLevel[proof.level.upper()], proof.shown_at),
        default=None,
    )
    return ConfigurationRow(
        source=source,
        title=settings_of(source, material.policy).title or source,
        versions=len(shown),
        made=sum(
            material.period.since <= one.version.created_at < material.period.until for one in shown
        ),
        newest_id=newest.id if newest else None,
        newest_at=newest.created_at if newest else None,
        items=newest.item_count if newest else 0,
        secrets=newest.secret_count if newest else 0,
        major=newest.major if newest else "",
        looked_at=looked_at,
        level=best.level if best else "recorded",
        shown_id=best.version_id if best else None,
        shown_at=best.shown_at if best else None,
        shown_by=best.run if best else None,
        stops_because=_why_not_higher(newest is not None, best),
    )


def _why_not_higher(exported: bool, best: ConfigurationProof | None) -> str:
    if not exported:
        return "nothing was exported yet"
    return best.stops_because if best else "it was not restored yet"


def _looked_at(source: str, material: Material, records: list[EvidenceRecord]) -> datetime | None:
    """When a run of the period last compared the source with its newest version."""
    dag_id = f"{material.policy.environment}_configuration_backup"
    looked = [
        record.ended_at
        for record in records
        if record.dag_id == dag_id
        and any(name.startswith(f"{source}/") for name in record.recovery_point_ids)
    ]
    return max(looked, default=None)
