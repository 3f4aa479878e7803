"""How much room a restore needs on the disk.

A full backup needs what its files take. A chain needs all its backups beside each other, and what
the copy that is made of them takes beyond that: where files can be shared, only what they grow by.
How much that is, is not in the catalog but in the backups' manifests. They are read only where it
matters: where the disk does not have what the catalog's figures need at most.

Public: `bytes_needed(catalog, plan, chain, directory, free) -> int`; the pure part is
`combined_size(manifests)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.manifest import Manifest, parse_manifest
from ledgerkeep.recovery.combine import SHARING, choose_method
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.unchanged import INCREMENTAL, ONLY_A_HEADER

MARGIN = 128 * 1024 * 1024
"""Bytes that must stay free beyond the copy itself: server log, temporary files, new WAL."""


@dataclass(frozen=True)
class CombinedSize:
    """The files that the combination of a chain makes, in bytes at most."""

    whole: int
    """All of them."""
    grown: int
    """What those grow by into which changed blocks are written: they are whole already."""


def bytes_needed(
    catalog: Catalog,
    plan: RecoveryPlan,
    chain: Sequence[BaseBackup],
    directory: Path,
    free: int,
) -> int:
    """Bytes that must be free there for the plan to succeed.

    :param chain: the plan's backups.
    :param directory: it exists, on the file system that the copy will be on.
    :param free: bytes that are free there now.
    :raises ObjectCorrupt, ObjectMissing: a manifest cannot be read.
    """
    needed = plan.bytes_to_write + MARGIN
    if free >= needed or len(chain) == 1:
        return needed
    manifests = [
        parse_manifest(
            catalog.store.get(backup.manifest.key, sha256=backup.manifest.sha256),
            backup.manifest.key,
        )
        for backup in chain
    ]
    size = combined_size(manifests)
    shares = choose_method(directory, plan.major) in SHARING
    # The manifest does not list the WAL that comes with the last backup.
    unlisted = chain[-1].raw_bytes - sum(file.size for file in manifests[-1].files)
    copy = size.grown if shares else size.whole + max(0, unlisted)
    return min(needed, plan.backup_raw_bytes + copy + plan.wal_raw_bytes + MARGIN)


def combined_size(manifests: Sequence[Manifest]) -> CombinedSize:
    """What is made of a chain, from the manifests of its backups, the full one first."""
    sizes = [{file.path: file.size for file in manifest.files} for manifest in manifests]
    whole = grown = 0
    for path, size in sizes[-1].items():
        folder, _, name = path.rpartition("/")
        if not name.startswith(INCREMENTAL):
            whole += size
            continue
        plain = f"{folder}/{name.removeprefix(INCREMENTAL)}"
        base, changes = _parts(sizes, path, plain)
        whole += base + changes
        grown += changes
    return CombinedSize(whole, grown)


def _parts(sizes: Sequence[dict[str, int]], path: str, plain: str) -> tuple[int, int]:
    """Size of a file's last whole copy, and of all blocks that were brought since then."""
    changes = 0
    for files in reversed(sizes):
        if plain in files:
            return files[plain], changes
        changes += max(0, files.get(path, 0) - ONLY_A_HEADER)
    return 0, changes
