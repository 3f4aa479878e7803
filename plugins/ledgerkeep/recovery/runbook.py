"""The runbook of one recovery: the cut-over as commands that can be copied as they stand.

What is to be done with a restored copy is a person's decision, and this is what that person has in
hand: how to start it, look at it, switch the application to it, and go back. The words and the
order lie in a template; every command is made here as a list of arguments and quoted as a whole,
so a name with a quote in it cannot turn into something else. No command carries a password: psql
asks, or finds it in the caller's own password file.

Public: `render_runbook(...)`, `store_runbook(...)`.
"""

import hashlib
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.programs import server_account
from ledgerkeep.policy.model import Policy
from ledgerkeep.recovery.checks import read_sql
from ledgerkeep.recovery.handover import Handover, write_whole
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.request import RecoveryRequest
from ledgerkeep.worker import WorkerSettings

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = "database_recovery.md.j2"
NETWORK = "10.0.0.0/8"
"""Stands for the application's network, the one thing that nobody here can know."""


def render_runbook(
    *,
    plan: RecoveryPlan,
    request: RecoveryRequest,
    handover: Handover,
    policy: Policy,
    source: ServerAddress,
    run: str,
    requested_by: str,
    approval: Mapping[str, str] | None,
    directory: Path,
    wal_level: str,
    settings: WorkerSettings,
) -> str:
    """The runbook in Markdown.

    :param source: the protected server, as it was before.
    :param approval: what the second person answered (`Answer.facts`); None: none was needed.
    :param directory: the copy's room.
    :param wal_level: of the source when the backup was taken.
    """
    return _template(settings.runbooks).render(
        plan=plan,
        request=request,
        handover=handover,
        policy=policy,
        source=source,
        run=run,
        requested_by=requested_by,
        approval=approval,
        directory=directory,
        wal_level=wal_level,
        host=socket.gethostname(),
        network=NETWORK,
        checks=_check_commands(handover, policy, settings),
        commands={
            name: shlex.join(command)
            for name, command in _commands(handover, source, policy, directory).items()
        },
    )


def _template(directory: Path) -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(  # noqa: S701 - Markdown, read as text
        loader=FileSystemLoader(directory),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return templates.get_template(TEMPLATE)


def store_runbook(
    catalog: Catalog,
    text: str,
    *,
    run: str,
    directory: Path,
    handover: Handover,
    settings: WorkerSettings,
) -> str:
    """Write it beside the copy and among the reports; returns its key there. Repeatable.

    The name tells its content apart, so a run that is repeated never collides with itself.
    """
    body = text.encode()
    write_whole(directory / "runbook.md", body, server_account(settings))
    tag = hashlib.sha256(run.encode() + b"\0" + body).hexdigest()[:12]
    key = (
        f"{keys.reports(catalog.environment)}{handover.at:%Y/%m}/"
        f"recovery-{handover.at:%Y%m%dT%H%M%SZ}-{tag}.md"
    )
    catalog.store.put(
        key, body, retention=catalog.retention("evidence"), content_type="text/markdown"
    )
    return key


def _check_commands(
    handover: Handover, policy: Policy, settings: WorkerSettings
) -> list[dict[str, str]]:
    """The application's checks with their SQL, so that nothing but psql is needed."""
    psql = str(Path(handover.start[0]).with_name("psql"))
    found = []
    for check in policy.database.validation.checks:
        sql = read_sql(settings.sql, "checks", check.name)
        services = f"PGSERVICEFILE={handover.services}"
        command = ["env", services, psql, f"service={check.database}"]
        found.append({"name": check.name, "command": shlex.join(command), "sql": sql})
    return found


def _commands(
    handover: Handover, source: ServerAddress, policy: Policy, directory: Path
) -> dict[str, list[str]]:
    psql = str(Path(handover.start[0]).with_name("psql"))
    services = f"PGSERVICEFILE={handover.services}"
    ask = ["env", services, psql, f"service={handover.databases[0]}"]
    old = [psql, "-h", source.host, "-p", str(source.port), "-U", source.user, "-d", "postgres"]
    names = ", ".join(map(_literal, handover.databases))
    end_sessions = f"""
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname IN ({names}) AND pid <> pg_backend_pid()
    """  # noqa: S608 - quoted
    return {
        "become": ["sudo", "-u", handover.account, "-s"],
        "start": handover.start,
        "stop": handover.stop,
        "status": handover.status,
        "look": ask,
        "in_recovery": [*ask, "-Atc", "SELECT pg_is_in_recovery()"],
        "close_old": [
            *old,
            *_for_each(handover.databases, "ALTER DATABASE {} ALLOW_CONNECTIONS false"),
            *("-c", " ".join(end_sessions.split())),
        ],
        "reopen_old": [
            *old,
            *_for_each(handover.databases, "ALTER DATABASE {} ALLOW_CONNECTIONS true"),
        ],
        "listen": [*ask, "-c", "ALTER SYSTEM SET listen_addresses = '*'"],
        "logical": [*ask, "-c", "ALTER SYSTEM SET wal_level = 'logical'"],
        "admit": [
            *("sed", "-i", "-e", f"$ a host all all {NETWORK} scram-sha-256"),
            # "all" does not cover replication, over which backups are taken.
            *("-e", f"$ a host replication all {NETWORK} scram-sha-256"),
            str(directory / "pg_hba.conf"),
        ],
        "backup": [
            *("airflow", "dags", "trigger", f"{policy.environment}_database_full_backup"),
            *("--conf", f'{{"adopt_timeline": "{handover.timeline}"}}'),
        ],
        "remove": ["rm", "-r", str(directory)],
    }


def _for_each(databases: list[str], statement: str) -> list[str]:
    return [part for name in databases for part in ("-c", statement.format(_identifier(name)))]


def _identifier(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
