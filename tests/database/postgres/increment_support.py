"""What the tests of incremental backups share: combining a chain by hand, and the summaries."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.postmaster import Postmaster, running
from ledgerkeep.database.postgres.wal_summaries import read_summaries
from tests.conftest import Cluster
from tests.database.postgres.backup_support import extract_plainly


def summarized(cluster: Cluster) -> int:
    """Up to where the server has summarized its WAL."""
    with connect(cluster.address) as connection:
        return read_summaries(connection).summarized_lsn


def combine_by_hand(
    catalog: Catalog, chain: Sequence[BaseBackup], room: Path, place: Place
) -> Path:
    """Each backup of a chain extracted and verified, then combined: the data directory."""
    parts, mappings = [], []
    for number, backup in enumerate(chain):
        part = room / f"part{number}"
        extract_plainly(catalog, backup, part, place)
        manifest = part / "backup_manifest"
        manifest.write_bytes(catalog.store.get(backup.manifest.key))
        place.account.own(manifest)
        mappings = _link_tablespaces(backup, part, room)
        # Its place is taken by the links, which is how pg_combinebackup knows tablespaces.
        (part / "tablespace_map").unlink(missing_ok=True)
        run_program(place, "pg_verifybackup", "-n", "--ignore=tablespace_map", str(part))
        parts.append(str(part))
    run_program(place, "pg_combinebackup", *parts, "-o", str(room / "data"), *mappings)
    return room / "data"


def _link_tablespaces(backup: BaseBackup, part: Path, room: Path) -> list[str]:
    """Links as `pg_basebackup -F plain` makes them; the options that move them."""
    options = []
    for archive in backup.archives:
        if archive.tablespace_oid is not None:
            extracted = f"{part}.{archive.tablespace_oid}"
            (part / "pg_tblspc" / str(archive.tablespace_oid)).symlink_to(extracted)
            options.append(f"--tablespace-mapping={extracted}={room}/ts{archive.tablespace_oid}")
    return options


def run_program(place: Place, name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs under the servers' account."""
    done = subprocess.run(
        place.account.command([place.programs.path(name), *arguments]),
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def combined(
    catalog: Catalog, chain: Sequence[BaseBackup], room: Path, place: Place
) -> Iterator[Postmaster]:
    """A server on a chain that was combined by hand, up and consistent."""
    data = combine_by_hand(catalog, chain, room, place)
    with running(
        place.programs,
        place.account,
        data,
        sockets=room,
        log=room / "log",
        settings={"archive_mode": "off"},
    ) as server:
        yield server
