"""The server's manifest: trusted as a whole or not at all."""

import hashlib
import json

import pytest

from ledgerkeep.database.postgres.manifest import (
    ManifestFile,
    WalRange,
    archive_path,
    parse_manifest,
)
from ledgerkeep.errors import ObjectCorrupt

REPAIR = (
    "this backup cannot be verified; take a new full backup, and restore from another one "
    "until then"
)
FILE = {"Path": "global/pg_control", "Size": 8192, "Checksum-Algorithm": "CRC32C"}


def make_manifest(*files: dict[str, object], version: int = 2) -> bytes:
    """A manifest as the server writes it: one file a line, its own SHA-256 in the last."""
    lines = ",\n".join(json.dumps(file) for file in files)
    body = (
        f'{{ "PostgreSQL-Backup-Manifest-Version": {version},\n'
        f'"System-Identifier": 7710904328894892802,\n"Files": [\n{lines}],\n'
        '"WAL-Ranges": [\n'
        '{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000120" }\n],\n'
    ).encode()
    return body + f'"Manifest-Checksum": "{hashlib.sha256(body).hexdigest()}"}}\n'.encode()


def test_files_ranges_and_cluster_are_read() -> None:
    manifest = parse_manifest(make_manifest({**FILE, "Checksum": "01020304"}), "m")
    # The server writes the CRC's bytes as they lie in memory.
    assert manifest.files == [ManifestFile("global/pg_control", 8192, 0x04030201)]
    assert manifest.wal_ranges == [WalRange(1, 0x2000028, 0x2000120)]
    assert manifest.system_identifier == "7710904328894892802"


def test_path_that_is_not_text_is_decoded() -> None:
    file = {"Encoded-Path": b"base/\xff".hex(), "Size": 0, "Checksum-Algorithm": "CRC32C"}
    manifest = parse_manifest(make_manifest({**file, "Checksum": "00000000"}), "m")
    assert manifest.files[0].path == "base/\udcff"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("base/5/1259", (None, "base/5/1259")),
        ("pg_tblspc/16384/PG_18_1/5/16385", (16384, "PG_18_1/5/16385")),
        ("pg_tblspc/notes", (None, "pg_tblspc/notes")),
    ],
)
def test_path_leads_to_its_archive(path: str, place: tuple[int | None, str]) -> None:
    assert archive_path(path) == place


def test_flipped_byte_breaks_the_checksum() -> None:
    body = make_manifest({**FILE, "Checksum": "01020304"})
    damaged = body.replace(b"8192", b"8193")
    with pytest.raises(ObjectCorrupt) as caught:
        parse_manifest(damaged, "b/backup_manifest")
    stated = body[-67:-3].decode()
    actual = hashlib.sha256(damaged[: damaged.rindex(b'"Manifest-Checksum"')]).hexdigest()
    assert caught.value.message == (
        f"the backup manifest b/backup_manifest is damaged: its SHA-256 is {actual}, "
        f"but its last line says {stated}"
    )
    assert caught.value.hint == REPAIR


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"{}\n", "its last line, the checksum, is missing"),
        (b"", "its last line, the checksum, is missing"),
        (
            make_manifest({**FILE, "Checksum": "01020304"}, version=9),
            "its version is 9, which this Ledgerkeep does not know",
        ),
        (
            make_manifest({**FILE, "Checksum-Algorithm": "SHA256", "Checksum": "00"}),
            "it cannot be understood (ValueError('checksum algorithm SHA256'))",
        ),
    ],
    ids=["another file", "empty", "version", "algorithm"],
)
def test_what_is_not_understood_is_refused(body: bytes, what: str) -> None:
    with pytest.raises(ObjectCorrupt) as caught:
        parse_manifest(body, "m")
    assert caught.value.message == f"the backup manifest m is damaged: {what}"
