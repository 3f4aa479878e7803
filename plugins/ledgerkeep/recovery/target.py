"""Where a recovery shall end: a moment, a WAL position, a transaction, a restore point, or the end.

A target is stated by a person under pressure, so nothing about it is guessed: exactly one kind, a
moment only with its offset from UTC. `parse_target(kind, value)` reads what the command line and
the parameters of an Airflow run carry.

Public: `RecoveryTarget`, `parse_target(kind, value, *, inclusive=True, timeline=None)`.
"""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from ledgerkeep.catalog.lsn import Lsn, format_lsn, parse_lsn
from ledgerkeep.errors import RecoveryError
from ledgerkeep.model import Record, UtcDatetime

Kind = Literal["time", "lsn", "xid", "name", "latest"]
KINDS: tuple[Kind, ...] = ("time", "lsn", "xid", "name", "latest")
_FIRST_NORMAL_XID = 3
_LONGEST_NAME = 63


class RecoveryTarget(Record):
    """Exactly one of time, lsn, xid, name, latest."""

    time: UtcDatetime | None = None
    """Transactions committed up to this moment, by the server's clock."""
    lsn: Lsn | None = None
    """WAL up to this position."""
    xid: int | None = Field(default=None, ge=_FIRST_NORMAL_XID)
    """Up to the commit of this transaction (64 bit, as pg_current_xact_id() gives it)."""
    name: str | None = Field(default=None, min_length=1, max_length=_LONGEST_NAME)
    """Up to a restore point made with pg_create_restore_point; the latest of that name."""
    latest: bool = False
    """To the end of the WAL that is stored without a gap."""
    inclusive: bool = True
    """Whether what happened exactly at the target is in the result
    (PostgreSQL: recovery_target_inclusive; means something for time, lsn and xid)."""
    timeline: int | None = Field(default=None, ge=1)
    """The timeline to follow; None: the newest on which the target lies."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = self._given()
        if len(given) != 1:
            raise ValueError(
                f"a recovery target is exactly one of {', '.join(KINDS)}; "
                f"given: {', '.join(given) or 'none'}"
            )
        return self

    @property
    def kind(self) -> Kind:
        """Which one it is."""
        return self._given()[0]

    def _given(self) -> list[Kind]:
        # By identity: the WAL position 0/0 equals False.
        values = {kind: getattr(self, kind) for kind in KINDS}
        return [kind for kind, value in values.items() if value is not None and value is not False]

    @property
    def value(self) -> str:
        """The target as `parse_target` reads it back."""
        if self.time is not None:
            return self.time.isoformat()
        if self.lsn is not None:
            return format_lsn(self.lsn)
        return str(self.xid) if self.xid is not None else self.name or ""

    def server_settings(self, *, restore_point: int | None = None) -> dict[str, str]:
        """The `recovery_target…` settings that make a server stop there.

        A restore point is given by its position: the server would stop at the first of that name.
        The latest position is no setting: there is nothing after it to stop before.

        :param restore_point: position of the restore point, for a target by name.
        """
        inclusive = {"recovery_target_inclusive": "on" if self.inclusive else "off"}
        if self.time is not None:
            return {"recovery_target_time": self.time.isoformat(sep=" "), **inclusive}
        if self.lsn is not None:
            return {"recovery_target_lsn": format_lsn(self.lsn), **inclusive}
        if self.xid is not None:
            return {"recovery_target_xid": str(self.xid), **inclusive}
        if restore_point is not None:
            return {
                "recovery_target_lsn": format_lsn(restore_point),
                "recovery_target_inclusive": "off",
            }
        return {}

    def __str__(self) -> str:
        words = {
            "time": "",
            "lsn": "WAL position ",
            "xid": "transaction ",
            "name": "restore point ",
        }
        return "the latest position" if self.latest else f"{words[self.kind]}{self.value}"


def parse_target(
    kind: str, value: str = "", *, inclusive: bool = True, timeline: int | None = None
) -> RecoveryTarget:
    """Read a target from text.

    :raises RecoveryError: an unknown kind, or a value that is none of that kind.
    """
    text = value.strip()
    fields: dict[str, object] = {"inclusive": inclusive, "timeline": timeline}
    if kind == "latest":
        fields["latest"] = True
    elif kind == "time":
        fields["time"] = _moment(text)
    elif kind == "lsn":
        fields["lsn"] = _position(text)
    elif kind == "xid":
        fields["xid"] = _transaction(text)
    elif kind == "name":
        fields["name"] = text
    else:
        raise RecoveryError(
            f"{kind!r} is not a kind of recovery target",
            hint=f"use one of {', '.join(KINDS)}",
        )
    try:
        return RecoveryTarget.model_validate(fields)
    except ValidationError as problem:
        raise RecoveryError(
            f"{value!r} is not a recovery target of the kind {kind}: {problem.errors()[0]['msg']}",
            hint="a transaction is a number from 3 up, a restore point a name of 1 to "
            f"{_LONGEST_NAME} characters, a timeline a number from 1 up",
        ) from problem


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RecoveryError(
            f"{text!r} is not a moment",
            hint="write it as ISO 8601 with its offset from UTC: 2026-03-01T14:30:00+00:00",
        ) from None
    if moment.tzinfo is None:
        raise RecoveryError(
            f"the recovery target {text!r} has no offset from UTC",
            hint=f"say which clock is meant: {text}+00:00 if it is UTC",
        )
    return moment


def _position(text: str) -> int:
    try:
        return parse_lsn(text)
    except ValueError:
        raise RecoveryError(
            f"{text!r} is not a WAL position",
            hint="a WAL position looks like 16/B374D848, as pg_current_wal_lsn() gives it",
        ) from None


def _transaction(text: str) -> int:
    if not text.isdecimal():
        raise RecoveryError(
            f"{text!r} is not a transaction id",
            hint="a transaction id is a whole number, as pg_current_xact_id() gives it",
        )
    return int(text)
