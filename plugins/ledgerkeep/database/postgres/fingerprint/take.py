"""The fingerprint of the source, and of a copy: the same reading, on two servers.

What the source suffers: one read of each table, by as many connections as the policy allows and
no parallel query beside them; a snapshot that vacuum has to respect until the end; and a weak
lock on each table while it is read. The replication slot that ties the snapshot to an LSN lives
for a moment only.
"""

import secrets
from collections.abc import Mapping
from dataclasses import replace

import psycopg

from ledgerkeep import __version__
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import DatabaseFingerprint, Fingerprint, SequencePosition
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.description import describe
from ledgerkeep.database.postgres.fingerprint.hashing import METHOD
from ledgerkeep.database.postgres.fingerprint.reading import (
    Readings,
    adopt,
    open_readers,
    read_tables,
    speaking_of,
)
from ledgerkeep.database.postgres.fingerprint.snapshot import (
    exported_snapshot,
    why_no_exact_fingerprint,
)
from ledgerkeep.database.postgres.fingerprint.structure import structure_hash
from ledgerkeep.database.postgres.fingerprint.tables import (
    read_sequences,
    sequences_at,
    take_inventory,
)
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.errors import DatabaseError
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import FingerprintPolicy
from ledgerkeep.progress import Progress, no_progress

_ATTEMPTS = 3

__all__ = ["fingerprint_copy", "take_fingerprint", "why_no_exact_fingerprint"]


def take_fingerprint(
    address: ServerAddress,
    catalog: Catalog,
    *,
    run: str,
    progress: Progress = no_progress,
) -> Fingerprint:
    """Record what the policy's databases hold, each at an exact LSN, and commit it.

    :param run: shown in the server's pg_stat_activity as the application's name.
    :raises DatabaseError: the server cannot export a snapshot, or tables keep being rewritten.
    :raises OperationRunning: another fingerprint of this cluster is being taken.
    """
    policy = catalog.policy.database
    # The server cuts a name off at 63 bytes, and says so on stderr each time.
    options = {**address.options, "application_name": f"ledgerkeep fingerprint {run}"[:63]}
    named = replace(address, options=options)
    with operation_lock(named, f"{catalog.environment}/fingerprint") as connection:
        reason = why_no_exact_fingerprint(describe(connection))
        if reason:
            raise DatabaseError(
                f"no fingerprint of {address}: {reason}",
                hint="set wal_level = logical on the primary and restart it; until then "
                "restores are validated but not proven identical",
            )
        databases = [
            _at_a_point(named.to(name), policy.fingerprint, progress) for name in policy.databases
        ]
        after = describe(connection)
    fingerprint = Fingerprint(
        id=f"{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        environment=catalog.environment,
        cluster=policy.cluster,
        system_identifier=after.system_identifier,
        created_at=after.clock,
        made_by=f"ledgerkeep {__version__}",
        timeline=after.timeline,
        databases=databases,
        next_xid=after.next_xid,
    )
    catalog.commit_fingerprint(fingerprint)
    return fingerprint


def fingerprint_copy(
    address: ServerAddress,
    database: str,
    expected: DatabaseFingerprint,
    parallelism: int,
    progress: Progress = no_progress,
) -> DatabaseFingerprint:
    """The same of a restored copy that stands still (recovery paused), sampled as `expected` is.

    Its `lsn` is how far the copy has replayed.
    """
    sampled = {
        f"{table.schema_name}.{table.name}": table.sampled_percent
        for table in expected.tables
        if table.sampled_percent is not None
    }
    there = address.to(database)
    # Nobody else works on a copy, so one large table may use the other processors as well.
    with open_readers(there, parallelism, gather=parallelism) as readers, speaking_of(there):
        sequences = {oid: found for oid, (found, _) in read_sequences(readers[0]).items()}
        lsn = describe(readers[0]).lsn
        adopt(readers, None)
        inventory = take_inventory(readers[0])
        what = f"fingerprint of the copy of {database}"
        readings = read_tables(readers, inventory, sampled, progress, what)
        if readings.changed:
            raise _restless(there, readings)
        return _fingerprint(readers[0], database, lsn, readings, sequences, inventory.left_out)


def _at_a_point(
    address: ServerAddress, policy: FingerprintPolicy, progress: Progress
) -> DatabaseFingerprint:
    """One database of the source; taken anew when a table was rewritten meanwhile."""
    readings = Readings()
    for _ in range(_ATTEMPTS):
        found, readings = _try_at_a_point(address, policy, progress)
        if found is not None:
            return found
    raise _restless(address, readings)


def _try_at_a_point(
    address: ServerAddress, policy: FingerprintPolicy, progress: Progress
) -> tuple[DatabaseFingerprint | None, Readings]:
    with open_readers(address, policy.parallelism) as readers, speaking_of(address):
        before = read_sequences(readers[0])
        # The slot behind the snapshot goes as soon as every reader has adopted it.
        with exported_snapshot(address) as snapshot:
            adopt(readers, snapshot.name)
        inventory = take_inventory(readers[0])
        sequences, left_out = _sequence_bounds(before, readers[0])
        what = f"fingerprint of {address.database} at {format_lsn(snapshot.lsn)}"
        readings = read_tables(readers, inventory, policy.sampled_tables, progress, what)
        left_out |= inventory.left_out | _refreshed(readings)
        if any(not relation.derived for relation in readings.changed):
            return None, readings
        found = _fingerprint(
            readers[0], address.database, snapshot.lsn, readings, sequences, left_out
        )
        return found, readings


def _sequence_bounds(
    before: dict[int, tuple[SequencePosition, str]], reader: psycopg.Connection
) -> tuple[dict[int, SequencePosition], dict[str, str]]:
    """The bounds of the sequences that still exist at the snapshot, and which have none."""
    existing = sequences_at(reader)
    bounds = {oid: found for oid, (found, _) in before.items() if oid in existing}
    unbound = {
        f"{bounds[oid].schema_name}.{bounds[oid].name}": reason
        for oid, (_, reason) in before.items()
        if reason and oid in bounds
    }
    return bounds, unbound


def _refreshed(readings: Readings) -> dict[str, str]:
    return {
        relation.full_name: "materialized view: it was refreshed while the fingerprint was taken"
        for relation in readings.changed
        if relation.derived
    }


def _fingerprint(
    reader: psycopg.Connection,
    database: str,
    lsn: int,
    readings: Readings,
    sequences: Mapping[int, SequencePosition],
    left_out: dict[str, str],
) -> DatabaseFingerprint:
    return DatabaseFingerprint(
        database=database,
        lsn=lsn,
        taken_at=utc_now(),
        method=METHOD,
        tables=readings.tables,
        sequences=list(sequences.values()),
        structure_hash=structure_hash(reader),
        left_out=left_out,
    )


def _restless(address: ServerAddress, readings: Readings) -> DatabaseError:
    names = ", ".join(relation.full_name for relation in readings.changed)
    return DatabaseError(
        f"no fingerprint of {address}: altered or rewritten each time while it was taken: {names}",
        hint="take it at a time when nothing truncates, alters or rewrites these tables",
    )
