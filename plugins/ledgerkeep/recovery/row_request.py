"""The form of a recovery of document rows, read once and without guessing.

The rows come out of a restored copy: of one that an earlier recovery handed over, by its directory,
or of one that this run restores for itself and removes again.

    read_row_recovery(form) -> RowRequest
"""

from collections.abc import Mapping

from ledgerkeep.documents.metadata.difference import Apply
from ledgerkeep.documents.metadata.staging import Selection
from ledgerkeep.errors import RecoveryError
from ledgerkeep.model import Record
from ledgerkeep.recovery.form import APPLY, ROW_RECOVERY_FIELDS, Scenario
from ledgerkeep.recovery.request import choice, directory_of, known_fields, reason_of, text_of
from ledgerkeep.recovery.target import RecoveryTarget, parse_target

_SCENARIOS = ("database_failure", "accidental_deletion", "security_incident")


class RowRequest(Record):
    """One filled-in form."""

    copy_directory: str
    """Of a copy that was handed over; empty: restore one to the target."""
    target: RecoveryTarget | None
    """Of the copy that is restored; None: there is one already."""
    selection: Selection
    apply: Apply
    scenario: Scenario
    reason: str


def read_row_recovery(form: Mapping[str, object]) -> RowRequest:
    """The form of a recovery of document rows.

    :raises RecoveryError: naming the field, what is wrong with it, and what to write.
    """
    known_fields(form, ROW_RECOVERY_FIELDS)
    directory, value = directory_of(form, "copy"), text_of(form, "target_value")
    if directory and value:
        raise RecoveryError(
            f"the copy is in {directory}, and yet a target is given: {value!r}",
            hint="leave the target empty to use that copy, or the copy empty to restore one",
        )
    return RowRequest(
        copy_directory=directory,
        target=None if directory else _target(form, value),
        selection=_selection(form),
        apply=choice(form, "apply", APPLY, "missing"),
        scenario=choice(form, "scenario", _SCENARIOS, "accidental_deletion"),
        reason=reason_of(form),
    )


def _target(form: Mapping[str, object], value: str) -> RecoveryTarget:
    return parse_target(
        choice(form, "target_kind", ("time", "lsn", "xid", "name", "latest"), "time"),
        value,
        inclusive=choice(form, "stop_at", ("after", "before"), "after") == "after",
    )


def _selection(form: Mapping[str, object]) -> Selection:
    """Keys, or a prefix; `*` says that all documents are meant, which an empty field must not."""
    told = form.get("keys") or []
    lines = told.splitlines() if isinstance(told, str) else told
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise RecoveryError("the keys are no list of texts", hint="write one key to a line")
    keys = tuple(sorted({line for line in lines if line}, key=str.encode))
    prefix = str(form.get("prefix") or "")
    if bool(keys) == bool(prefix):
        what = "both keys and a prefix" if keys else "neither keys nor a prefix"
        raise RecoveryError(
            f"{what} are given",
            hint="write the keys, one to a line, or the prefix; a prefix of * means all documents",
        )
    return Selection(keys=keys, prefix="" if prefix == "*" else prefix)
