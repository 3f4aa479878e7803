"""Traces of a backup whose record is gone: what else says that it was once complete.

A directory without a record is what an interrupted backup leaves, and is swept. It can also be a
good backup whose record somebody deleted: all of its bytes may be there, and putting the record
back makes it exist again. So before such a directory is swept, whatever else names the backup as
complete is looked for, from the nearest to the farthest: a proof, the copy of its record in the
index, the evidence of the run that took it. What retention set out to remove leaves the same
traces for a while, and says so itself.

Records of evidence are read here by two of their fields alone: what they are is said in
`ledgerkeep.evidence.records`, in a room that this one knows nothing of.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ValidationError

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.index import load_index
from ledgerkeep.catalog.models import Proof
from ledgerkeep.catalog.reading import read_copies
from ledgerkeep.catalog.removal import RemovalRecord

_RECORDED_WITHIN = timedelta(days=2)
"""From the beginning of a backup to the end of its run: later evidence is of other runs."""


class _Run(BaseModel):
    """What matters of an evidence record."""

    dag_id: str
    outcome: str
    recovery_point_ids: list[str]


def lost_records(catalog: Catalog, system_identifier: str) -> dict[str, str]:
    """Id → trace of each backup that was complete and has no record, though nobody removed it.

    :raises StorageError: the store does not answer.
    """
    unfinished = catalog.unfinished_backups(system_identifier)
    found = {one: trace_of(catalog, system_identifier, one) for one in unfinished}
    return {backup_id: trace for backup_id, trace in found.items() if trace}


def trace_of(catalog: Catalog, system_identifier: str, backup_id: str) -> str:
    """What says that a backup was complete, in words; empty: nothing does, or retention removed it.

    :raises StorageError: the store does not answer.
    """
    trace = (
        _in_proofs(catalog, system_identifier, backup_id)
        or _in_index(catalog, system_identifier, backup_id)
        or _in_evidence(catalog, backup_id)
    )
    if trace and _was_to_go(catalog, system_identifier, backup_id):
        return ""
    return trace


def _in_proofs(catalog: Catalog, system_identifier: str, backup_id: str) -> str:
    shown = catalog.read_all(keys.proofs(catalog.environment, system_identifier, backup_id), Proof)
    if not shown:
        return ""
    last = max(shown, key=lambda proof: proof.shown_at)
    return f"it was shown to be {last.level} on {last.shown_at:%Y-%m-%d} by {last.run}"


def _in_index(catalog: Catalog, system_identifier: str, backup_id: str) -> str:
    index = keys.indexes(catalog.environment, system_identifier, "backups")
    prefix = keys.backup(catalog.environment, system_identifier, backup_id)
    copied = prefix + keys.RECOVERY_POINT in load_index(catalog.store, index)
    return "the index of the catalog has a copy of its record" if copied else ""


def _in_evidence(catalog: Catalog, backup_id: str) -> str:
    began = _began(backup_id)
    if began is None:
        return ""
    for key, run in _runs(catalog, began):
        if run.outcome == "success" and backup_id in run.recovery_point_ids:
            return f"the evidence {key} names it"
    return ""


def _runs(catalog: Catalog, began: datetime) -> Iterator[tuple[str, _Run]]:
    """The runs of the days on which a backup can have been recorded."""
    for day in range(_RECORDED_WITHIN.days + 1):
        prefix = f"{keys.evidence(catalog.environment)}{began + timedelta(days=day):%Y/%m/%d}/"
        for key, copy in read_copies(catalog.store, prefix).items():
            try:
                yield key, _Run.model_validate_json(copy.body)
            except ValidationError:
                continue  # the verification of the chain says what is wrong with it


def _began(backup_id: str) -> datetime | None:
    """Ids begin with the moment; see `new_backup_id`."""
    try:
        return datetime.strptime(backup_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _was_to_go(catalog: Catalog, system_identifier: str, backup_id: str) -> bool:
    removals = keys.removals(catalog.environment, system_identifier)
    return any(
        point.id == backup_id
        for removal in catalog.read_all(removals, RemovalRecord)
        for point in removal.points
    )
