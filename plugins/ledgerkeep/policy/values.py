"""What a policy's fields are made of: durations, schedules, names, and sections that refuse typos.

Schedules are cron expressions in UTC. Durations are written the way people write them
(`15m`, `6h`, `30d`, `12w`, `7y`).
"""

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_DURATION = re.compile(r"^(\d+)([smhdwy])$")
_CRON_FIELD = r"[0-9*,/\-A-Za-z]+"


def parse_duration(text: object) -> timedelta:
    """`90s`, `15m`, `6h`, `30d`, `12w`, `7y` (a year is 365 days) as a timedelta.

    :raises ValueError: for anything else.
    """
    if isinstance(text, timedelta):
        return text
    found = _DURATION.match(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("a duration is a whole number and a unit: 90s, 15m, 6h, 30d, 12w or 7y")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def format_duration(length: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as the same length."""
    seconds = int(length.total_seconds())
    for unit in ("y", "w", "d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    PlainSerializer(format_duration, return_type=str),
]
Cron = Annotated[str, Field(pattern=rf"^({_CRON_FIELD} ){{4}}{_CRON_FIELD}$")]
Name = Annotated[str, Field(min_length=1, max_length=120)]
Library = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.$/-]{1,120}$")]
FileName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,63}$")]
"""Of a file of ours, without its ending."""
Percent = Annotated[float, Field(gt=0, le=100)]


class PolicyModel(BaseModel):
    """A frozen section of a policy; an unknown field is an error, not a silent wish."""

    model_config = ConfigDict(frozen=True, extra="forbid", title=None)


class Encryption(PolicyModel):
    """Server-side encryption of everything Ledgerkeep stores."""

    mode: Literal["aws:kms", "AES256", "none"] = "aws:kms"
    key_id: str | None = Field(default=None, description="KMS key id, ARN or alias, for aws:kms.")
