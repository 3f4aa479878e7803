"""The settings under which a restored copy runs: ours alone, none of the source's.

The source's postgresql.conf may lie outside its data directory, and what it says was meant for
another machine: archiving to the real archive, preloaded libraries, network addresses. So the copy
is started with a `config_file` of its own, and the source's `postgresql.auto.conf`, which would
win over it, is set aside. The copy listens on a Unix socket only, archives nothing, streams from
nobody, and starts no logical replication worker when it is promoted. Of the source's libraries it
loads those that the policy names because nothing could be read without them: others may act by
themselves, like one that runs scheduled jobs.

It recovers as a standby: where the WAL ends, a standby waits, while a plain recovery would end and
open the database somewhere near the target without a word.
"""

from collections.abc import Mapping
from pathlib import Path

from ledgerkeep.database.postgres.programs import Account
from ledgerkeep.recovery.room import Room

_CLIENT = Path(__file__).with_name("fetch_wal.sh")
_ALWAYS = {
    "archive_mode": "off",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "max_logical_replication_workers": "0",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "hot_standby": "on",
    "recovery_init_sync_method": "syncfs",
    # Relative to the data directory, so no path passes through a shell.
    "restore_command": "/bin/sh ../fetch-wal %f %p",
    "recovery_target_action": "pause",
    "wal_retrieve_retry_interval": "200ms",
    # Replay is one long write: few restartpoints, and pg_wal may hold what lies between them.
    "checkpoint_timeout": "15min",
    "max_wal_size": "4GB",
    "shared_buffers": "256MB",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m ",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_TEST_ONLY = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


def prepare_data(room: Room, account: Account) -> None:
    """Make an extracted data directory ours: called once, when all of it is there."""
    source = room.data / "postgresql.auto.conf"
    if source.exists():
        source.rename(room.data / "postgresql.auto.conf.source")
    for leftover in ("recovery.signal", "postmaster.pid", "postmaster.opts"):
        (room.data / leftover).unlink(missing_ok=True)
    _write(source, "", account)
    _write(room.data / "standby.signal", "", account)
    _write(room.directory / "fetch-wal", _CLIENT.read_text(), account)
    _write(room.directory / "pg_hba.conf", "local all all trust\n", account)
    _write(room.directory / "pg_ident.conf", "", account)
    room.mark_complete()


def configure(room: Room, recovery_settings: Mapping[str, str], account: Account) -> None:
    """Write the room's configuration for one start of its server."""
    settings = {
        **_ALWAYS,
        "hba_file": str(room.directory / "pg_hba.conf"),
        "ident_file": str(room.directory / "pg_ident.conf"),
        "cluster_name": cluster_name(room.directory.name),
        "recovery_target_timeline": str(room.record.plan.timeline),
        **room.record.server_settings,
        **(_TEST_ONLY if room.record.purpose == "test" else {}),
        **recovery_settings,
    }
    lines = [f"{name} = {_quoted(value)}\n" for name, value in settings.items()]
    _write(room.configuration, "".join(lines), account)


def cluster_name(directory_name: str) -> str:
    """A name for the process list: printable ASCII, at most 63 characters."""
    plain = "".join(one if one.isascii() and one.isprintable() else "?" for one in directory_name)
    return plain[:63]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _write(path: Path, text: str, account: Account) -> None:
    path.write_text(text)
    path.chmod(0o600)
    account.own(path)
