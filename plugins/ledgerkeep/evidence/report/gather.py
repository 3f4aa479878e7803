"""Everything a compliance report needs, read from the object store once.

This is the part with effects; what it found goes as plain data into `build`. A broken chain does
not stop the report: that the evidence cannot be trusted is the first thing it has to say.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from pydantic import BaseModel, ValidationError

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.archive.make import archives
from ledgerkeep.catalog.archive.record import YearlyArchive
from ledgerkeep.catalog.catalog import Catalog, CatalogSnapshot
from ledgerkeep.catalog.models import Checked
from ledgerkeep.configuration.proof import ConfigurationProof
from ledgerkeep.configuration.registry import source_names
from ledgerkeep.configuration.versions import ConfigurationVersion, StoredVersions
from ledgerkeep.database.postgres.wal_tail import with_tail
from ledgerkeep.errors import EvidenceChainBroken
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.evidence.history import AirflowRun
from ledgerkeep.evidence.records import ChainHead, EvidenceRecord
from ledgerkeep.evidence.report.model import ChainResult, Period
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectHead, ObjectStore

_LOOKED_AT = 10
"""Newest objects of each kind whose encryption and lock are looked at."""


@dataclass(frozen=True)
class ShownVersion:
    """A version of the configuration, and what was shown of it."""

    version: ConfigurationVersion
    proofs: list[ConfigurationProof]


@dataclass(frozen=True)
class Material:
    """What a report is made from."""

    policy: Policy
    period: Period
    now: datetime
    records: list[EvidenceRecord]
    """Of the runs that started in the period, superseded ones among them."""
    snapshots: list[CatalogSnapshot]
    archives: list[YearlyArchive]
    """What lies in the vault, as this bucket knows it."""
    checked: dict[str, list[Checked]]
    """System identifier → what verifications have read back."""
    configuration: dict[str, list[ShownVersion]]
    """Source → its versions, oldest first."""
    heads: list[ObjectHead]
    """Newest backups, WAL, and evidence as they lie in the store."""
    chain: ChainResult
    history: list[AirflowRun] | None
    """Airflow's rows of the period; None: not read, for the reason in `history_problem`."""
    history_problem: str = ""


class _NotedChain(BaseModel):
    """The part of an earlier report that is read again; it may have been another version's."""

    chain: ChainResult


def gather(
    store: ObjectStore,
    policy: Policy,
    period: Period,
    *,
    history: list[AirflowRun] | None,
    history_problem: str = "",
    now: datetime | None = None,
) -> Material:
    """Read the period's evidence, the catalog, and how objects are protected.

    :param history: Airflow's own runs, read before this is called (so that what finished in
        between has its evidence) and from an hour before the period on (a run may be due before
        it and start inside it); None where they could not be had.
    """
    catalog = Catalog(store, policy)
    log = EvidenceLog(store, policy)
    chain = _verify(log, _noted_head(store, policy.environment))
    snapshots = [
        # A run that streams records at its end; what it has stored by now can be recovered.
        with_tail(catalog, catalog.snapshot(identifier))
        for identifier in catalog.system_identifiers()
    ]
    return Material(
        policy=policy,
        period=period,
        now=now or utc_now(),
        records=_records(log, period, chain),
        snapshots=snapshots,
        archives=[
            archive for one in snapshots for archive in archives(catalog, one.system_identifier)
        ],
        checked={
            one.system_identifier: catalog.checked(one.system_identifier) for one in snapshots
        },
        configuration={
            name: _shown(StoredVersions(store, policy), name) for name in source_names(policy)
        },
        heads=_heads(store, policy, snapshots, chain),
        chain=chain,
        history=history,
        history_problem=history_problem,
    )


def _shown(versions: StoredVersions, source: str) -> list[ShownVersion]:
    return [ShownVersion(one, versions.proofs(one)) for one in versions.all(source)]


def _verify(log: EvidenceLog, noted: ChainHead | None) -> ChainResult:
    try:
        head = log.verify(noted)
    except EvidenceChainBroken as broken:
        return ChainResult(verified=False, head=None, compared_with=noted, problem=broken.message)
    return ChainResult(verified=True, head=head, compared_with=noted)


def _noted_head(store: ObjectStore, environment: str) -> ChainHead | None:
    """The chain's head as the newest earlier report noted it."""
    noted = [
        item.key for item in store.list(keys.reports(environment)) if item.key.endswith(".json")
    ]
    for key in sorted(noted, reverse=True):
        try:
            head = _NotedChain.model_validate_json(store.get(key)).chain.head
        except ValidationError:
            continue  # another kind of report lies there too, and notes no chain
        if head is not None:
            return head
    return None


def _records(log: EvidenceLog, period: Period, chain: ChainResult) -> list[EvidenceRecord]:
    try:
        return log.read(period.since, period.until)
    except EvidenceChainBroken:
        if chain.verified:
            raise
        return []  # the report says why there is nothing to show


def _heads(
    store: ObjectStore, policy: Policy, snapshots: list[CatalogSnapshot], chain: ChainResult
) -> list[ObjectHead]:
    looked_at = []
    for snapshot in snapshots:
        name, identifier = snapshot.environment, snapshot.system_identifier
        for backup in snapshot.backups[-_LOOKED_AT:]:
            looked_at += [
                keys.backup(name, identifier, backup.id) + keys.RECOVERY_POINT,
                *(volume.key for archive in backup.archives for volume in archive.volumes[:1]),
            ]
        for stretch in snapshot.stretches[-_LOOKED_AT:]:
            looked_at.append(keys.wal_segment(name, identifier, stretch.last_segment))
    last = chain.head.sequence if chain.head else 0
    links = f"{keys.evidence(policy.environment)}chain/"
    after = f"{links}{max(0, last - _LOOKED_AT):012d}.json"
    looked_at += [item.key for item in islice(store.list(links, start_after=after), _LOOKED_AT)]
    found = (store.head(key) for key in looked_at)
    return [head for head in found if head is not None]
