"""The form of a recovery of configuration, read once and without guessing.

Whoever fills it in may be woken for it: one field says back to what, and takes an id, a time or
`newest`; anything else is refused in words, not interpreted.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.configuration.versions import is_version_id
from ledgerkeep.errors import RecoveryError
from ledgerkeep.model import utc_now

FIELDS = {"source", "version", "only", "delete_unknown", "scenario", "reason"}
NEWEST = "newest"
_SHORTEST_REASON = 10
_EXAMPLE = "2026-03-01T14:30:00+00:00"


def read_form(form: Mapping[str, object], sources: Sequence[str]) -> ConfigurationRequest:
    """What is asked for.

    :param sources: those that the policy names.
    :raises RecoveryError: naming the field, what is wrong with it, and what to write.
    """
    unknown = sorted(set(form) - FIELDS)
    if unknown:
        raise RecoveryError(
            f"the form has no field {', '.join(unknown)}",
            hint=f"its fields are {', '.join(sorted(FIELDS))}",
        )
    source = _text(form, "source")
    if source not in sources:
        raise RecoveryError(
            f"there is no source {source!r}", hint=f"the sources are {', '.join(sources)}"
        )
    return read_version(
        source,
        _text(form, "version"),
        only=_only(form),
        delete_unknown=form.get("delete_unknown") is True,
    )


def read_version(
    source: str, text: str, *, only: Sequence[str] = (), delete_unknown: bool = False
) -> ConfigurationRequest:
    """A request, with the version as a person writes it: its id, a time, or `newest`.

    :raises RecoveryError: it is none of them, has no offset from UTC, or lies in the future.
    """
    version_id = text if is_version_id(text) else None
    return ConfigurationRequest(
        source=source,
        version_id=version_id,
        at=None if version_id or text in ("", NEWEST) else _moment(text),
        only=tuple(only),
        delete_unknown=delete_unknown,
    )


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


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except ValueError as problem:
        raise RecoveryError(
            f"{text!r} is neither a version's id nor a time",
            hint=f"write {NEWEST}, an id as `ledgerkeep configuration list` shows it, or a time "
            f"such as {_EXAMPLE}",
        ) from problem
    if moment.tzinfo is None:
        raise RecoveryError(
            f"the time {text!r} has no offset from UTC",
            hint=f"write it as {_EXAMPLE}; add +00:00 if it is UTC",
        )
    if moment > utc_now():
        raise RecoveryError(
            f"the time {text!r} lies in the future",
            hint="look at the date and at the offset from UTC",
        )
    return moment


def _only(form: Mapping[str, object]) -> tuple[str, ...]:
    told = form.get("only") or []
    lines = told.splitlines() if isinstance(told, str) else told
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise RecoveryError("the names are no list of texts", hint="write one name to a line")
    return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _text(form: Mapping[str, object], field: str) -> str:
    told = form.get(field)
    return told.strip() if isinstance(told, str) else ""
