"""`retention` and `hold`: what stays, what goes and why, and what must not go."""

import getpass
from argparse import Namespace
from typing import Any
from urllib.parse import urlsplit

from ledgerkeep.catalog.holds import active_holds, place_hold, release_hold
from ledgerkeep.catalog.removal import Removal
from ledgerkeep.catalog.retention import RetentionPlan
from ledgerkeep.catalog.retention_words import describe_plan, describe_removal
from ledgerkeep.cli.output import Output
from ledgerkeep.cli.session import open_session
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.retention import apply_retention, plan_clusters
from ledgerkeep.errors import PolicyError
from ledgerkeep.model import utc_now


def show_retention(arguments: Namespace, output: Output) -> int:
    """What would stay and go now; touches nothing."""
    plans = plan_clusters(open_session(arguments.environment).catalog, now=utc_now())
    if output.machine:
        output.document({"plans": [_plan(plan) for plan in plans]})
    else:
        output.lines([line for plan in plans for line in describe_plan(plan)])
    return 0


def apply(arguments: Namespace, output: Output) -> int:
    """Remove what the plan removes."""
    applied = apply_retention(
        None if arguments.server_is_gone else _address(arguments.server),
        open_session(arguments.environment).catalog,
        run="cli",
        now=utc_now(),
    )
    if output.machine:
        plain = [{**_plan(one.plan), **_removal(one.removal)} for one in applied]
        output.document({"applied": plain})
        return 0
    for one in applied:
        output.lines(
            [
                f"cluster {one.plan.system_identifier}: {len(one.removal.removed)} removed, "
                f"{len(one.removal.locked)} locked, {len(one.plan.kept)} stay",
                *describe_removal(one.removal),
            ]
        )
    return 0


def place(arguments: Namespace, output: Output) -> int:
    """Place a legal hold."""
    hold = place_hold(
        open_session(arguments.environment).catalog,
        arguments.id,
        reason=arguments.reason,
        placed_by=getpass.getuser(),
    )
    if output.machine:
        output.document(hold.model_dump(mode="json"))
    else:
        output.lines([f"legal hold {hold.id} keeps {hold.recovery_point_id} until it is released"])
    return 0


def release(arguments: Namespace, output: Output) -> int:
    """Release a legal hold."""
    released = release_hold(
        open_session(arguments.environment).catalog,
        arguments.id,
        reason=arguments.reason,
        released_by=getpass.getuser(),
    )
    if output.machine:
        output.document(released.model_dump(mode="json"))
    else:
        output.lines([f"legal hold {released.hold_id} is released; retention decides from now on"])
    return 0


def list_holds(arguments: Namespace, output: Output) -> int:
    """The holds that are active, those of recoveries under way among them."""
    catalog = open_session(arguments.environment).catalog
    holds = [
        hold
        for system_identifier in catalog.system_identifiers()
        for hold in active_holds(catalog, system_identifier)
    ]
    if output.machine:
        output.document({"holds": [hold.model_dump(mode="json") for hold in holds]})
    elif not holds:
        output.lines([f"no hold in {catalog.store.location}/{catalog.environment}"])
    else:
        output.table(
            ["id", "recovery point", "since (UTC)", "until (UTC)", "by", "reason"],
            [
                [
                    hold.id,
                    hold.recovery_point_id,
                    f"{hold.placed_at:%Y-%m-%d %H:%M:%S}",
                    f"{hold.until:%Y-%m-%d %H:%M:%S}" if hold.until else "released",
                    hold.placed_by,
                    hold.reason,
                ]
                for hold in holds
            ],
        )
    return 0


def _address(url: str) -> ServerAddress:
    """The protected server; its password comes from PGPASSWORD or the password file."""
    if urlsplit(url).password is not None:
        raise PolicyError(
            "the address of the server has a password in it, which every process can read",
            hint="leave it out, and set PGPASSWORD or use ~/.pgpass",
        )
    return ServerAddress.from_url(url)


def _plan(plan: RetentionPlan) -> dict[str, Any]:
    return {
        "system_identifier": plan.system_identifier,
        "now": plan.now.isoformat(),
        "notices": plan.notices,
        "decisions": [
            {
                "kind": one.kind,
                "id": one.id,
                "at": one.at.isoformat() if one.at else None,
                "stored_bytes": one.stored_bytes,
                "keep": [reason.words for reason in one.keep],
                "remove": one.remove.words if one.remove else None,
            }
            for one in plan.decisions
        ],
    }


def _removal(removal: Removal) -> dict[str, Any]:
    return {
        "removed": [one.id for one in removal.removed],
        "locked": [
            {
                "id": one.decision.id,
                "until": one.until.isoformat() if one.until else None,
                "what": one.what,
            }
            for one in removal.locked
        ],
        "objects_removed": removal.objects,
        "record": removal.record_key,
        "stopped": removal.stopped,
    }
