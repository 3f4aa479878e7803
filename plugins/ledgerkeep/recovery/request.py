"""What a person asks for in the recovery form, read once and without guessing.

Whoever fills it in may be woken at three in the morning. So every field says in words what was
wrong with it and what to write, what contradicts itself is refused rather than interpreted, and a
field that the form does not have (a misspelt one in a script) is an error, not ignored.

    read_point_in_time(form) -> RecoveryRequest
    read_full_restore(form, snapshot) -> RecoveryRequest
"""

import re
from collections.abc import Mapping
from typing import get_args

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.models import BaseBackup, ProofLevel
from ledgerkeep.errors import RecoveryError, RecoveryPointMissing
from ledgerkeep.model import Record
from ledgerkeep.recovery.form import (
    DESTINATION,
    FULL_RESTORE_FIELDS,
    LATEST_PROVEN,
    POINT_IN_TIME_FIELDS,
    SHORTEST_REASON,
    Afterwards,
    DocumentsThen,
    Scenario,
    Through,
)
from ledgerkeep.recovery.target import RecoveryTarget, parse_target

_NAMED = 3


class RecoveryRequest(Record):
    """One filled-in form."""

    target: RecoveryTarget
    backup_id: str | None = None
    """The base backup to use; None: the newest that fits."""
    destination: str = ""
    """Directory on the worker; empty: one below the worker's rooms, named after the run."""
    afterwards: Afterwards = "stopped"
    scenario: Scenario
    """Which of the policy's objectives it is measured against."""
    reason: str
    documents: DocumentsThen = "none"
    """What happens about the documents of the moment."""


def read_point_in_time(form: Mapping[str, object]) -> RecoveryRequest:
    """The form of a point-in-time recovery.

    :raises RecoveryError: naming the field, what is wrong with it, and what to write.
    """
    known_fields(form, POINT_IN_TIME_FIELDS)
    kind, value = text_of(form, "target_kind"), text_of(form, "target_value")
    if kind == "latest" and value:
        raise RecoveryError(
            f"the target is the latest position, and yet a value is given: {value!r}",
            hint="leave the target value empty, or choose the kind of target that the value is of",
        )
    timeline = text_of(form, "timeline")
    if timeline and not timeline.isdecimal():
        raise RecoveryError(
            f"{timeline!r} is not a timeline",
            hint="a timeline is a number such as 2; leave it empty for the newest",
        )
    target = parse_target(
        kind,
        value,
        inclusive=choice(form, "stop_at", ("after", "before"), "after") == "after",
        timeline=int(timeline) if timeline else None,
    )
    return _request(form, target, text_of(form, "backup") or None)


def read_full_restore(form: Mapping[str, object], snapshot: CatalogSnapshot) -> RecoveryRequest:
    """The form of a full restore.

    :raises RecoveryError: as `read_point_in_time`.
    :raises RecoveryPointMissing: there is no such recovery point, or none is proven.
    """
    known_fields(form, FULL_RESTORE_FIELDS)
    backup = choose_backup(snapshot, text_of(form, "recovery_point") or LATEST_PROVEN)
    if choice(form, "through", get_args(Through), "latest") == "latest":
        target = RecoveryTarget(latest=True)
    else:
        target = RecoveryTarget(lsn=backup.stop_lsn, timeline=backup.timeline)
    return _request(form, target, backup.id)


def choose_backup(snapshot: CatalogSnapshot, recovery_point: str) -> BaseBackup:
    """The base backup that is meant.

    :param recovery_point: its id, or `latest proven`.
    :raises RecoveryPointMissing:
    """
    newest_first = sorted(snapshot.backups, key=lambda one: one.stopped_at, reverse=True)
    near = ", ".join(f"{one.id} ({snapshot.level(one.id).word})" for one in newest_first[:_NAMED])
    if recovery_point == LATEST_PROVEN:
        fit = [one for one in newest_first if snapshot.level(one.id) == ProofLevel.PROVEN]
        problem = f"no recovery point of the cluster {snapshot.system_identifier} is proven"
    else:
        fit = [one for one in newest_first if one.id == recovery_point]
        problem = f"there is no recovery point {recovery_point!r}"
    if not fit:
        raise RecoveryPointMissing(
            problem,
            hint=f"name one by its id; the newest are {near}"
            if near
            else "nothing is stored of this cluster: take a full backup",
        )
    return fit[0]


def _request(
    form: Mapping[str, object], target: RecoveryTarget, backup_id: str | None
) -> RecoveryRequest:
    reason = reason_of(form)
    return RecoveryRequest(
        target=target,
        backup_id=backup_id,
        destination=directory_of(form, "destination"),
        afterwards=choice(form, "afterwards", get_args(Afterwards), "stopped"),
        scenario=choice(form, "scenario", get_args(Scenario), ""),
        reason=reason,
        documents=choice(form, "documents", get_args(DocumentsThen), "none"),
    )


def reason_of(form: Mapping[str, object]) -> str:
    """Why, on one line.

    :raises RecoveryError: it does not say.
    """
    reason = " ".join(text_of(form, "reason").split())
    if len(reason) < SHORTEST_REASON:
        raise RecoveryError(
            f"the reason {reason!r} does not say why",
            hint="write what happened, and the incident's or ticket's number, for whoever approves "
            "and for the evidence",
        )
    return reason


def directory_of(form: Mapping[str, object], field: str) -> str:
    """A directory's full path, or nothing.

    :raises RecoveryError: it is something else.
    """
    directory = text_of(form, field)
    if not re.match(DESTINATION, directory):
        raise RecoveryError(
            f"the {field} {directory!r} is not a directory's full path",
            hint="write it from the root, in plain letters, such as /srv/recovery/loans-1, or "
            "leave it empty",
        )
    return directory


def known_fields(form: Mapping[str, object], known: set[str]) -> None:
    """Refuse what the form does not have.

    :raises RecoveryError:
    """
    unknown = sorted(set(form) - known)
    if unknown:
        raise RecoveryError(
            f"the form has no field {', '.join(unknown)}",
            hint=f"its fields are {', '.join(sorted(known))}",
        )


def choice(form: Mapping[str, object], field: str, allowed: tuple[str, ...], default: str) -> str:
    """One of the allowed values.

    :raises RecoveryError: it is another.
    """
    given = text_of(form, field) or default
    if given not in allowed:
        raise RecoveryError(f"{field} is {given!r}", hint=f"it can be {' or '.join(allowed)}")
    return given


def text_of(form: Mapping[str, object], field: str) -> str:
    """A field's text without the spaces around it; empty where it is not filled in."""
    value = form.get(field)
    return "" if value is None else str(value).strip()
