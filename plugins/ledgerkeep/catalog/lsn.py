"""Arithmetic of WAL positions and segment names.

A WAL position (LSN) is a byte offset in the WAL; people write it `16/B374D848`. A segment's file
name is timeline, then the segment number split in two hexadecimal words
(PostgreSQL: src/include/access/xlog_internal.h, XLogFileName).
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_LSN = re.compile(r"^([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})$")
_SEGMENT = re.compile(r"^[0-9A-F]{24}$")


def parse_lsn(text: object) -> int:
    """`16/B374D848` as a byte offset.

    :raises ValueError: for anything else.
    """
    if isinstance(text, int):
        return text
    found = _LSN.match(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("a WAL position looks like 16/B374D848")
    return int(found[1], 16) << 32 | int(found[2], 16)


def format_lsn(position: int) -> str:
    """A byte offset as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


Lsn = Annotated[
    int,
    BeforeValidator(parse_lsn),
    PlainSerializer(format_lsn, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["16/B374D848"]}),
]
"""A WAL position: an int in Python, `X/Y` text in JSON."""


def segment_name(timeline: int, number: int, segment_size: int) -> str:
    """The file name of segment `number` (position // segment_size)."""
    per_id = 0x100000000 // segment_size
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def segment_of(timeline: int, position: int, segment_size: int) -> str:
    """The file name of the segment that holds the byte at `position`."""
    return segment_name(timeline, position // segment_size, segment_size)


def is_segment_name(name: str) -> bool:
    """Whether `name` is that of a complete segment."""
    return _SEGMENT.match(name) is not None


def parse_segment_name(name: str, segment_size: int) -> tuple[int, int]:
    """(timeline, segment number) of a segment's file name.

    :raises ValueError: when it is not such a name.
    """
    if not is_segment_name(name):
        raise ValueError(f"{name!r} is not the name of a WAL segment")
    per_id = 0x100000000 // segment_size
    return int(name[:8], 16), int(name[8:16], 16) * per_id + int(name[16:], 16)
