"""What is asked of a recovery of configuration: which source, back to what, and how much of it.

Back to a version by its id, or to the version that was the newest at a moment, or to the newest.
What is live and not in that version was made since, perhaps on purpose: it is left alone unless
the request says `delete_unknown`.
"""

import re
from functools import cache
from typing import Annotated, Self

from pydantic import Field, model_validator

from ledgerkeep.model import Record, UtcDatetime

Pattern = Annotated[str, Field(min_length=1, max_length=2048)]


class ConfigurationRequest(Record):
    """One recovery of configuration, as it is asked for."""

    source: Annotated[str, Field(min_length=1)]
    version_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    at: UtcDatetime | None = None
    """The version that was the newest then; without it and an id, the newest there is."""
    only: tuple[Pattern, ...] = ()
    """Keys, in which `*` stands for anything and `?` for one character; empty: all of them."""
    delete_unknown: bool = False
    """Delete what is live and not in the version."""

    @model_validator(mode="after")
    def _is_meant(self) -> Self:
        if self.version_id is not None and self.at is not None:
            raise ValueError("either a version or a moment")
        return self

    @property
    def words(self) -> str:
        """What is asked for, in one line."""
        which = ", ".join(self.only) or "everything"
        return f"{self.source}: {which}, back to {self._goal}"

    @property
    def _goal(self) -> str:
        if self.version_id is not None:
            return f"version {self.version_id}"
        if self.at is not None:
            return f"what it was at {self.at:%Y-%m-%d %H:%M:%S}Z"
        return "the newest version"

    def covers(self, key: str) -> bool:
        """Whether the request is about this key."""
        return not self.only or any(_expression(one).fullmatch(key) for one in self.only)

    def unmatched(self, keys: list[str]) -> list[str]:
        """The patterns that none of the keys matches."""
        return [
            one for one in self.only if not any(_expression(one).fullmatch(key) for key in keys)
        ]


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    """Brackets are no wildcards here: they may be part of a key."""
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL)
