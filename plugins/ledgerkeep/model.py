"""The base of every record that crosses a boundary: frozen, strict about unknown fields, UTC.

Records are stored as canonical JSON (sorted keys, no spaces) so that the same record always has
the same bytes and the same SHA-256.
"""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_utc)]
"""A moment with its offset, kept as UTC; a naive timestamp is refused."""


class Record(BaseModel):
    """A frozen record with one canonical JSON form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> bytes:
        """The canonical bytes: sorted keys, no insignificant space, UTF-8."""
        import json

        plain = self.model_dump(mode="json")
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode()

    def digest(self) -> str:
        """Hex SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, body: bytes | str) -> Self:
        """Parse stored bytes.

        :raises pydantic.ValidationError: when they are not such a record.
        """
        return cls.model_validate_json(body)


def utc_now() -> datetime:
    """The current moment, in UTC, with its offset."""
    return datetime.now(UTC)
