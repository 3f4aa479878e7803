"""The server's own list of what a base backup holds (PostgreSQL: "Backup Manifest Format").

It is trusted only as a whole: its last line is the SHA-256 of all lines before. The WAL that comes
with a backup is deliberately not in it, nor are directories.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.errors import ObjectCorrupt

_VERSIONS = (1, 2)
_LAST_LINE = b'"Manifest-Checksum": "'
_TABLESPACES = "pg_tblspc/"


class ManifestFile(NamedTuple):
    """What a file of the backup must be; a tuple, for there may be millions."""

    path: str
    size: int
    crc32c: int


@dataclass(frozen=True)
class WalRange:
    """WAL that is needed to make the backup consistent."""

    timeline: int
    start_lsn: int
    end_lsn: int


@dataclass(frozen=True)
class Manifest:
    """A backup manifest whose own checksum is right."""

    files: list[ManifestFile]
    wal_ranges: list[WalRange]
    system_identifier: str | None
    """Since version 2 (PostgreSQL 17)."""

    def by_archive(self) -> dict[int | None, dict[str, ManifestFile]]:
        """Tablespace oid (None: the data directory) → path inside its archive → file."""
        archives: dict[int | None, dict[str, ManifestFile]] = {}
        for file in self.files:
            oid, path = archive_path(file.path)
            archives.setdefault(oid, {})[path] = file
        return archives


def archive_path(path: str) -> tuple[int | None, str]:
    """The archive a manifest's path is in (tablespace oid, None: the data directory), and where.

    `pg_tblspc/16384/PG_18_…/5/16385` is `PG_18_…/5/16385` in the archive of tablespace 16384.
    """
    if not path.startswith(_TABLESPACES):
        return None, path
    oid, _, inside = path.removeprefix(_TABLESPACES).partition("/")
    return (int(oid), inside) if oid.isdigit() and inside else (None, path)


def path_in_data(oid: int | None, path: str) -> str:
    """The other way round: where in the data directory a file of that archive is."""
    return path if oid is None else f"{_TABLESPACES}{oid}/{path}"


def parse_manifest(body: bytes, name: str) -> Manifest:
    """Read a manifest and check it against its own checksum.

    :param name: for messages, e.g. the object's key.
    :raises ObjectCorrupt: it is damaged, or of a kind this version does not know.
    """
    _check_checksum(body, name)
    try:
        # Each file's dict becomes its tuple as soon as it is parsed: an eighth of the memory.
        plain = json.loads(body, object_hook=_compact)
        version = plain["PostgreSQL-Backup-Manifest-Version"]
        if version not in _VERSIONS:
            raise _corrupt(name, f"its version is {version}, which this Ledgerkeep does not know")
        identifier = plain.get("System-Identifier")
        return Manifest(
            files=plain["Files"],
            wal_ranges=plain["WAL-Ranges"],
            system_identifier=None if identifier is None else str(identifier),
        )
    except (ValueError, KeyError, TypeError) as problem:
        raise _corrupt(name, f"it cannot be understood ({problem!r})") from problem


def _check_checksum(body: bytes, name: str) -> None:
    start = body.rfind(b"\n", 0, len(body) - 1) + 1
    last = body[start:]
    if not last.startswith(_LAST_LINE):
        raise _corrupt(name, "its last line, the checksum, is missing")
    stated = last[len(_LAST_LINE) :][:64].decode("ascii", "replace")
    actual = hashlib.sha256(memoryview(body)[:start]).hexdigest()
    if stated != actual:
        raise _corrupt(name, f"its SHA-256 is {actual}, but its last line says {stated}")


def _compact(item: dict[str, Any]) -> Any:
    if "Size" in item:
        return _file(item)
    if "Start-LSN" in item:
        return WalRange(item["Timeline"], parse_lsn(item["Start-LSN"]), parse_lsn(item["End-LSN"]))
    return item


def _file(item: dict[str, Any]) -> ManifestFile:
    if item["Checksum-Algorithm"] != "CRC32C":
        raise ValueError(f"checksum algorithm {item['Checksum-Algorithm']}")
    path = item.get("Path")
    if path is None:
        # A path that is not UTF-8 comes as hexadecimal digits.
        path = bytes.fromhex(item["Encoded-Path"]).decode("utf-8", "surrogateescape")
    # The server writes the four bytes of the CRC in memory order: little-endian.
    crc = int.from_bytes(bytes.fromhex(item["Checksum"]), "little")
    return ManifestFile(path, item["Size"], crc)


def _corrupt(name: str, what: str) -> ObjectCorrupt:
    return ObjectCorrupt(
        f"the backup manifest {name} is damaged: {what}",
        hint="this backup cannot be verified; take a new full backup, and restore from another "
        "one until then",
    )
