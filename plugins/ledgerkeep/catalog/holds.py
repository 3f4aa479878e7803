"""Holds: somebody needs a recovery point, whatever its age.

A hold and its release are two records beside each other, written once and locked as long as
evidence is, so who asked for what, when and why can be told years later. Nothing that is held is
removed by retention; a hold on WAL or on a fingerprint keeps what leads to it as well.

A recovery holds what it reads, from its plan to its end. That is nobody's decision to be kept for
years: the hold is not locked, is removed when the recovery has ended, and has an end of its own,
after which it keeps nothing, for a recovery that was killed.

A plan of retention may be older than a hold. So retention looks at the holds again right before it
removes, and whoever places one looks at what is held right after: one of the two sees the other.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from secrets import token_hex

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import HeldWal, Hold, HoldRelease
from ledgerkeep.errors import CatalogError, ObjectMissing, RecoveryPointMissing
from ledgerkeep.model import utc_now

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,119}")
_RELEASED = ".released.json"


def place_hold(catalog: Catalog, recovery_point_id: str, *, reason: str, placed_by: str) -> Hold:
    """Keep a recovery point of any kind until the hold is released.

    :raises RecoveryPointMissing: there is none of that id, or retention removed it meanwhile.
    :raises CatalogError: no reason, or what cannot be an id.
    """
    _check_id(recovery_point_id)
    system_identifier = _cluster_of(catalog, recovery_point_id)
    now = utc_now()
    hold = Hold(
        id=f"{now:%Y%m%dT%H%M%SZ}-{token_hex(4)}",
        recovery_point_id=recovery_point_id,
        reason=_said(reason, "a legal hold"),
        placed_by=placed_by,
        placed_at=now,
    )
    key = keys.hold(catalog.environment, system_identifier, hold.id)
    catalog.write(key, hold, catalog.retention("evidence"))
    # Was retention quicker?
    _cluster_of(catalog, recovery_point_id)
    return hold


def hold_for_recovery(
    catalog: Catalog,
    system_identifier: str,
    chain: Sequence[str],
    wal: HeldWal | None,
    *,
    run: str,
    until: datetime,
) -> Hold:
    """Keep a chain of backups, and the WAL on top of it, while a recovery reads them.

    In place of what the same run has held before: it may have planned anew.

    :param chain: ids from a full backup to the one that is restored.
    :raises RecoveryPointMissing: retention has removed one of them meanwhile.
    """
    prefix = _holds_of(catalog, system_identifier, run)
    before = [listed.key for listed in catalog.store.list(prefix)]
    now = utc_now()
    key = f"{prefix}{now:%Y%m%dT%H%M%S%fZ}.json"
    hold = Hold(
        id=key.removeprefix(keys.holds(catalog.environment, system_identifier))[: -len(".json")],
        recovery_point_id=chain[-1],
        reason=f"a recovery reads it: {run}",
        placed_by=run,
        placed_at=now,
        until=until,
        wal=wal,
    )
    catalog.write(key, hold, None)
    for earlier in before:
        catalog.store.delete_prefix(earlier)
    # Was retention quicker?
    for backup_id in chain:
        _cluster_of(catalog, backup_id)
    return hold


def end_recovery_holds(catalog: Catalog, run: str) -> int:
    """Hold nothing for a run any more; how many holds it had."""
    return sum(
        catalog.store.delete_prefix(_holds_of(catalog, system_identifier, run))
        for system_identifier in catalog.system_identifiers()
    )


def remove_expired_holds(catalog: Catalog, system_identifier: str) -> None:
    """What recoveries have left that never came to their end."""
    for hold in _unreleased(catalog, system_identifier):
        if _expired(hold):
            key = keys.hold(catalog.environment, system_identifier, hold.id)
            catalog.store.delete_prefix(key)


def release_hold(catalog: Catalog, hold_id: str, *, reason: str, released_by: str) -> HoldRelease:
    """End a hold; retention decides about the recovery point from now on.

    :raises CatalogError: no such hold, it has ended already, or no reason.
    """
    _check_id(hold_id)
    for system_identifier in catalog.system_identifiers():
        if catalog.store.head(keys.hold(catalog.environment, system_identifier, hold_id)) is None:
            continue
        key = keys.hold_release(catalog.environment, system_identifier, hold_id)
        if catalog.store.head(key) is not None:
            earlier = catalog.read(key, HoldRelease)
            raise CatalogError(
                f"legal hold {hold_id} was released on {earlier.released_at:%Y-%m-%d %H:%M:%S}Z "
                f"by {earlier.released_by}",
                hint="nothing is left to do; to hold the recovery point again, place a new hold",
            )
        release = HoldRelease(
            hold_id=hold_id,
            reason=_said(reason, "the release of a legal hold"),
            released_by=released_by,
            released_at=utc_now(),
        )
        catalog.write(key, release, catalog.retention("evidence"))
        return release
    raise CatalogError(
        f"no legal hold {hold_id} in {catalog.store.location}/{catalog.environment}",
        hint=f"list what exists: ledgerkeep hold list --environment {catalog.environment}",
    )


def active_holds(catalog: Catalog, system_identifier: str) -> list[Hold]:
    """The holds that have not ended, oldest first."""
    found = [hold for hold in _unreleased(catalog, system_identifier) if not _expired(hold)]
    return sorted(found, key=lambda hold: hold.placed_at)


def active_hold_keys(catalog: Catalog, system_identifier: str) -> set[str]:
    """Keys of the holds that nobody has ended, by one listing: a new one is seen without reading.

    Those whose own end has passed are among them.
    """
    prefix = keys.holds(catalog.environment, system_identifier)
    listed = {item.key for item in catalog.store.list(prefix)}
    ended = {key.removesuffix(_RELEASED) + ".json" for key in listed if key.endswith(_RELEASED)}
    return {key for key in listed if not key.endswith(_RELEASED)} - ended


def _unreleased(catalog: Catalog, system_identifier: str) -> list[Hold]:
    found = []
    for key in sorted(active_hold_keys(catalog, system_identifier)):
        # A recovery that ends takes its hold away.
        with suppress(ObjectMissing):
            found.append(catalog.read(key, Hold))
    return found


def _expired(hold: Hold) -> bool:
    return hold.until is not None and hold.until <= utc_now()


def _holds_of(catalog: Catalog, system_identifier: str, run: str) -> str:
    """Prefix of the holds of one recovery, whose run may have any name."""
    tag = sha256(run.encode()).hexdigest()[:12]
    return f"{keys.holds(catalog.environment, system_identifier)}recovery-{tag}-"


def _cluster_of(catalog: Catalog, point_id: str) -> str:
    for system_identifier in catalog.system_identifiers():
        if any(
            catalog.store.head(key) is not None
            for key in keys.records(catalog.environment, system_identifier, point_id)
        ):
            return system_identifier
    raise RecoveryPointMissing(
        f"no recovery point {point_id} in {catalog.store.location}/{catalog.environment}",
        hint=f"list what exists: ledgerkeep list --wal --environment {catalog.environment}",
    )


def _check_id(name: str) -> None:
    if not _ID.fullmatch(name):
        raise CatalogError(
            f"{name!r} cannot be an id",
            hint="ids have letters, digits, '-', '_' and '.'; copy one from ledgerkeep list --wal "
            "or ledgerkeep hold list",
        )


def _said(reason: str, what: str) -> str:
    if not reason.strip():
        raise CatalogError(
            f"{what} needs a reason",
            hint="say which case or request it is for: whoever reviews it later has only that",
        )
    return reason.strip()
