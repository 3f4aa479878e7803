"""Searching a whole sandbox for secrets: every place it writes to, in every form a value may take.

What is compressed is opened first. A value is looked for as it is, in base64 at any offset, in
URLs, JSON (also inside other JSON), HTML and hexadecimal. Short values are not searched: they are
part of anything.
"""

import base64
import html
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psycopg
import zstandard
from psycopg import sql

SHORTEST = 8
"""Characters."""


@dataclass(frozen=True)
class Place:
    """Something that was written somewhere."""

    name: str
    content: bytes


def search(places: Iterable[Place], secrets: Mapping[str, str]) -> list[str]:
    """Which secret is in which place, in words; the value itself is not among them.

    :param secrets: what it is → its value.
    """
    needles = {
        form: what
        for what, value in secrets.items()
        if len(value) >= SHORTEST
        for form in forms(value)
    }
    found = []
    for place in places:
        content = _opened(place.content)
        told = {what for form, what in needles.items() if form in content}
        found += [f"{what} in {place.name}" for what in sorted(told)]
    return found


def forms(value: str) -> set[bytes]:
    """Every way a value may be written."""
    raw = value.encode()
    quoted = json.dumps(value, ensure_ascii=False)[1:-1]
    ascii_only = json.dumps(value)[1:-1]
    texts = {
        value,
        quoted,
        ascii_only,
        json.dumps(quoted, ensure_ascii=False)[1:-1],
        json.dumps(ascii_only)[1:-1],
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        html.escape(value),
        repr(value)[1:-1],
        raw.hex(),
    }
    return {text.encode() for text in texts} | set(_base64(raw))


def files(root: Path, *, without: Iterable[str] = ()) -> Iterator[Place]:
    """Every file below a directory, but for those below some of its entries."""
    left_out = set(without)
    for entry in sorted(root.iterdir()):
        if entry.name in left_out:
            continue
        for path in [entry] if entry.is_file() else sorted(entry.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield Place(f"the file {path}", path.read_bytes())


def objects(client: Any, bucket: str) -> Iterator[Place]:
    """Every version of every object of a bucket, with its metadata and key."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in page.get("Versions", []):
            key = one["Key"]
            answer = client.get_object(Bucket=bucket, Key=key, VersionId=one["VersionId"])
            name = f"the object {bucket}/{key}"
            yield Place(name, answer["Body"].read())
            yield Place(f"{name}, its metadata", json.dumps([key, answer["Metadata"]]).encode())


def rows(conninfo: str) -> Iterator[Place]:
    """Every row of every table of a database, as text; bytes in hexadecimal."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') "
            "AND table_type = 'BASE TABLE' ORDER BY 1, 2"
        ).fetchall()
        for schema, table in tables:
            query = sql.SQL("SELECT row_to_json(t)::text FROM {}.{} t").format(
                sql.Identifier(schema), sql.Identifier(table)
            )
            for (row,) in connection.execute(query):
                yield Place(f"a row of {table}", row.encode())


def _base64(raw: bytes) -> Iterator[bytes]:
    """What base64 makes of a value wherever in a text it begins, in both alphabets."""
    for before in range(3):
        # The first and the last character may depend on what is around.
        encoded = base64.b64encode(b"\0" * before + raw)
        begin = (before * 8 + 5) // 6
        end = (before + len(raw)) * 8 // 6
        core = encoded[begin:end]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))


def _opened(content: bytes) -> bytes:
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    if content.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(content)
    return content
