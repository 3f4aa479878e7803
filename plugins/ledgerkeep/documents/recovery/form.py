"""The form of a recovery of documents, read once and without guessing.

A field that contradicts another is refused, not interpreted: whoever fills it in may be woken for
it, and the plan that follows has to be of what was meant.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from pydantic import ValidationError

from ledgerkeep.documents.recovery.request import (
    LONGEST_KEY,
    DocumentRequest,
    Goal,
    ToManifest,
    ToMoment,
    ToVersion,
    Undelete,
)
from ledgerkeep.errors import RecoveryError
from ledgerkeep.model import utc_now

FIELDS = {
    "goal",
    "moment",
    "deleted_from",
    "deleted_to",
    "version_id",
    "moment_check",
    "keys",
    "prefix",
    "incident_ended_at",
    "on_conflict",
    "remove_later_keys",
    "source",
    "scenario",
    "reason",
}
_SHORTEST_REASON = 10
_OF_GOAL = {
    "moment": {"moment"},
    "undelete": {"deleted_from", "deleted_to"},
    "version": {"version_id"},
    "manifest": {"moment_check"},
}
_EXAMPLE = "2026-03-01T14:30:00+00:00"


def read_form(form: Mapping[str, object]) -> DocumentRequest:
    """What is asked for.

    :raises RecoveryError: naming the field, what is wrong with it, and what to write.
    """
    unknown = sorted(set(form) - FIELDS)
    if unknown:
        raise RecoveryError(
            f"the form has no field {', '.join(unknown)}",
            hint=f"its fields are {', '.join(sorted(FIELDS))}",
        )
    goal = _goal(form)
    ended = _text(form, "incident_ended_at")
    try:
        return DocumentRequest(
            keys=_keys(form),
            prefix=_prefix(form),
            goal=goal,
            incident_ended_at=_moment(form, "incident_ended_at") if ended else None,
            on_conflict=_text(form, "on_conflict") or "leave",
            remove_later_keys=bool(form.get("remove_later_keys")),
            source=_text(form, "source") or "primary",
        )
    except ValidationError as problem:
        raise _contradiction(problem) from problem


def reason_of(form: Mapping[str, object]) -> str:
    """Why, on one line.

    :raises RecoveryError: it does not say.
    """
    reason = " ".join(_text(form, "reason").split())
    if len(reason) < _SHORTEST_REASON:
        raise RecoveryError(
            f"the reason {reason!r} does not say why",
            hint="write what happened, and the incident's or ticket's number, for whoever approves "
            "and for the evidence",
        )
    return reason


def _goal(form: Mapping[str, object]) -> Goal:
    kind = _text(form, "goal") or "moment"
    if kind not in _OF_GOAL:
        raise RecoveryError(
            f"there is no goal {kind!r}", hint=f"the goals are {', '.join(_OF_GOAL)}"
        )
    _refuse_other_goals(form, kind)
    try:
        if kind == "moment":
            return ToMoment(at=_moment(form, "moment"))
        if kind == "version":
            return ToVersion(version_id=_needed(form, "version_id"))
        if kind == "manifest":
            return ToManifest(moment_check=_needed(form, "moment_check"))
        return Undelete(
            deleted_from=_moment(form, "deleted_from"), deleted_to=_moment(form, "deleted_to")
        )
    except ValidationError as problem:
        raise _contradiction(problem) from problem


def _refuse_other_goals(form: Mapping[str, object], kind: str) -> None:
    others = {field for goal, fields in _OF_GOAL.items() if goal != kind for field in fields}
    given = sorted(field for field in others if _text(form, field))
    if given:
        raise RecoveryError(
            f"{', '.join(given)} is filled in, but the goal is {kind}",
            hint="empty it, or choose the goal that it belongs to",
        )


def _keys(form: Mapping[str, object]) -> tuple[str, ...]:
    """The list of keys: a list, or text with one to a line. Spaces belong to a key."""
    told = form.get("keys") or []
    lines = told.splitlines() if isinstance(told, str) else told
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise RecoveryError("the keys are no list of texts", hint="write one key to a line")
    for key in lines:
        if len(key.encode()) > LONGEST_KEY:
            raise RecoveryError(
                f"the key {key[:50]!r}… has {len(key.encode())} bytes",
                hint=f"no key has more than {LONGEST_KEY}; is it one key to a line?",
            )
        if key.startswith(("s3://", "arn:")):
            raise RecoveryError(
                f"{key[:80]!r} is an address, not a key",
                hint="write only what stands behind the bucket's name and its slash",
            )
    return tuple(sorted({key for key in lines if key}, key=str.encode))


def _prefix(form: Mapping[str, object]) -> str | None:
    """The prefix; `*` says that all documents are meant, which an empty field must not."""
    told = form.get("prefix")
    prefix = told if isinstance(told, str) else ""
    if not prefix and not _keys(form):
        raise RecoveryError(
            "neither keys nor a prefix are given",
            hint="write the keys, one to a line, or the prefix; a prefix of * means all documents",
        )
    if prefix == "*":
        return ""
    if prefix.endswith("*"):
        raise RecoveryError(
            f"the prefix {prefix!r} ends with a star",
            hint="write it without: all keys that begin with it are meant",
        )
    return prefix or None


def _moment(form: Mapping[str, object], field: str) -> datetime:
    text = _needed(form, field)
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except ValueError as problem:
        raise RecoveryError(
            f"{field} is no moment: {text!r}", hint=f"write it as {_EXAMPLE}"
        ) from problem
    if moment.tzinfo is None:
        raise RecoveryError(
            f"{field} has no offset from UTC: {text!r}",
            hint=f"write it as {_EXAMPLE}; add +00:00 if it is UTC",
        )
    if field != "deleted_to" and moment > utc_now():
        raise RecoveryError(
            f"{field} lies in the future: {text!r}",
            hint="look at the date and at the offset from UTC",
        )
    return moment


def _needed(form: Mapping[str, object], field: str) -> str:
    text = _text(form, field)
    if not text:
        raise RecoveryError(
            f"{field} is empty", hint="it says what is gone back to; fill it in, or another goal"
        )
    return text


def _text(form: Mapping[str, object], field: str) -> str:
    told = form.get(field)
    return told.strip() if isinstance(told, str) else ""


def _contradiction(problem: ValidationError) -> RecoveryError:
    first = problem.errors()[0]
    words = first["msg"].removeprefix("Value error, ")
    where = ".".join(map(str, first["loc"]))
    return RecoveryError(
        f"the request contradicts itself: {f'{where}: ' if where else ''}{words}",
        hint="change the fields that do not go together; nothing was planned",
    )
