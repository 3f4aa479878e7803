"""Starting the sandbox's servers, each with the others that it does not depend on.

On two cores the loan data are generated while Airflow imports itself. Nothing is waited for by the
clock: every server is asked until it answers.
"""

import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from time import monotonic

import httpx

from include.sandbox import (
    application,
    database,
    documents,
    environment,
    loan_data,
    objectstore,
    processes,
    replication,
)
from include.sandbox.database import DatabaseServer
from include.sandbox.documents import DocumentStore
from include.sandbox.lender import infrastructure, saas
from include.sandbox.lender.stock import stock_accounts
from include.sandbox.objectstore import Credentials
from include.sandbox.place import Place
from include.sandbox.processes import Daemon, ServerFailed
from include.sandbox.state import State, write_private
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.policy.load import load_policies

SERVERS = frozenset({"database", "metadata", "store", "replica", "aws", "saas", "airflow"})
"""Every sandbox has these; replication between the two stores comes on top, as policies ask."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Start:
    """One start under way: what it is told, and what it has started so far."""

    home: Path
    place: Place
    state: State
    policies: Path
    """Directory of the policy files."""
    size_mb: int
    say: Say
    stores_ready: Event = field(default_factory=Event)
    """Set when both object stores have their buckets; and when the start is abandoned."""
    _lock: Lock = field(default_factory=Lock)
    _abandoned: Event = field(default_factory=Event)

    def started(self, name: str, server: Daemon) -> Daemon:
        """Remember a server at once, so that a `down` finds it whatever happens next."""
        with self._lock:
            self.state.servers[name] = server
            self.state.save(self.home)
        if self.abandoned:
            raise ServerFailed(name, self.log(name), "was started in vain: another one failed")
        return server

    @property
    def abandoned(self) -> bool:
        """Whether another server failed, so that none is waited for any more."""
        return self._abandoned.is_set()

    def abandon(self) -> None:
        """End what was started, so that whoever waits for it stops waiting."""
        self._abandoned.set()
        self.stores_ready.set()
        ours = processes.leftovers(self.home, self.place.servers, self.state.servers.values())
        processes.end(ours, first=signal.SIGINT, grace=5)

    def log(self, name: str) -> Path:
        """The log of a server that runs under our account."""
        return self.home / "logs" / f"{name}.log"


def start_everything(start: Start) -> None:
    """Start every server; returns when all answer.

    :raises ServerFailed: one did not come up.
    """
    began = monotonic()
    start.state.servers.clear()
    with ThreadPoolExecutor(len(_STARTERS)) as pool:
        try:
            for done in as_completed([pool.submit(starter, start) for starter in _STARTERS]):
                start.say(f"{monotonic() - began:5.1f} s  {done.result()}")
        except BaseException:
            start.abandon()
            raise


def protected_server(state: State, place: Place) -> DatabaseServer:
    """The PostgreSQL server that holds the loan database."""
    return DatabaseServer(
        name="database",
        place=place,
        port=state.ports.database,
        password=state.secrets.database_password,
        settings=database.PROTECTED_SETTINGS,
    )


def metadata_server(state: State, place: Place) -> DatabaseServer:
    """The PostgreSQL server that holds Airflow's metadata."""
    return DatabaseServer(
        name="metadata",
        place=place,
        port=state.ports.metadata,
        password=state.secrets.metadata_password,
        settings=database.METADATA_SETTINGS,
    )


def airflow_is_healthy(url: str) -> bool:
    """Whether tasks can report and every component of Airflow has a heartbeat."""
    # Airflow builds the API that tasks report to at its first request, which takes seconds; a
    # task would give up waiting for it.
    if not answers(f"{url}/execution/health", timeout=120):
        return False
    try:
        answer = httpx.get(f"{url}/api/v2/monitor/health", timeout=10, trust_env=False)
    except httpx.TransportError:
        return False
    if answer.status_code != httpx.codes.OK:
        return False
    parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
    return all(answer.json()[part]["status"] == "healthy" for part in parts)


def _start_database(start: Start) -> str:
    server = protected_server(start.state, start.place)
    start.started("database", database.start(server, start.home))
    made = make_loan_database(server.local, size_mb=start.size_mb, stores=_documents(start))
    address = server.address.to(environment.DATABASE)
    return ", ".join(filter(None, (f"PostgreSQL under protection: {address}", made)))


def _documents(start: Start) -> Iterator[DocumentStore]:
    """Every environment's documents: the three share one database, whose rows name them."""
    secrets, policies = start.state.secrets, load_policies(start.policies)
    start.stores_ready.wait()
    if start.abandoned:
        raise ServerFailed(
            "the upload", start.log("airflow"), "has no store: another server failed"
        )
    for bucket in environment.documents_buckets(policies):
        user = Credentials(secrets.store_key, secrets.store_secret)
        yield DocumentStore(environment.store_url(start.state.ports), user, bucket)


def make_loan_database(
    server: ServerAddress, *, size_mb: int, stores: Iterable[DocumentStore]
) -> str:
    """Make the loan database and fill it; says what was made, nothing when it was there already.

    :param stores: where the documents are uploaded to, each gets all of them; not asked for before
        the rows are there.
    """
    if database.exists(server, environment.DATABASE):
        return ""
    # Under its final name the database is complete, whenever this is interrupted.
    unfinished = f"{environment.DATABASE}_unfinished"
    database.make_database(server, unfinished)
    rows = loan_data.generate(server.to(unfinished), size_mb=size_mb)
    uploaded = documents.upload(server.to(unfinished), stores)
    database.rename_database(server, unfinished, environment.DATABASE)
    return f"{rows:,} rows of loan data, {uploaded:,} documents"


def start_stores(start: Start) -> str:
    """Both regions, their buckets, and the replication between them, which needs all of these."""
    policies = load_policies(start.policies)
    here, vaults = environment.buckets_here(policies), environment.vault_buckets(policies)
    replicas = environment.replica_buckets(policies)
    _start_store(start, "store", here, vaults)
    _start_store(start, "replica", replicas)
    pairs = replication.pairs(policies)
    for pair in pairs:
        start.started(
            pair.name,
            replication.start(
                pair,
                start.state.ports,
                home=start.home,
                backwards=start.state.replicates_backwards,
            ),
        )
    start.stores_ready.set()
    url, second = (
        environment.store_url(start.state.ports),
        environment.replica_url(start.state.ports),
    )
    count = len(here) + len(vaults) + len(replicas)
    return f"object stores (SeaweedFS): {url}, second region {second}, {count} buckets"


def _start_store(
    start: Start, name: str, ours: tuple[str, ...], theirs: tuple[str, ...] = ()
) -> None:
    secrets, ports = start.state.secrets, start.state.ports
    server = objectstore.start(
        start.home / name,
        user=Credentials(secrets.store_key, secrets.store_secret, ours),
        vault=Credentials(secrets.vault_key, secrets.vault_secret, theirs) if theirs else None,
        admin=Credentials("admin", secrets.store_admin_secret),
        port=getattr(ports, name),
        filer_port=getattr(ports, f"{name}_filer"),
        key=objectstore.encryption_key(start.home / "store"),
        mark=start.home,
    )
    start.started(name, server.daemon)
    for bucket in (*ours, *theirs):
        objectstore.make_bucket(server, bucket)


def _start_aws(start: Start) -> str:
    url = environment.aws_url(start.state.ports)
    server = start.started(
        "aws",
        processes.start(
            [
                *(sys.executable, "-m", "include.sandbox.aws_server"),
                f"--port={start.state.ports.aws}",
                f"--policies={start.policies}",
            ],
            home=start.home,
            log=start.log("aws"),
            directory=environment.ROOT,
            environment={
                **processes.inherited_environment(),
                environment.ACCOUNT_SEED: start.state.secrets.account_seed,
            },
        ),
    )
    processes.wait_until(
        lambda: answers(f"{url}/moto-api/"), server, name="moto", log=start.log("aws"), timeout=120
    )
    policies = load_policies(start.policies)
    application.make_applications(url, policies)
    seed = start.state.secrets.account_seed
    stock_accounts(url, policies, seed)
    infrastructure.stock(policies, url, seed)
    return f"AWS stand-in (moto): {url}"


def _start_saas(start: Start) -> str:
    url = environment.saas_url(start.state.ports)
    server = start.started(
        "saas",
        processes.start(
            [
                *(sys.executable, "-m", "include.sandbox.lender.saas"),
                f"--port={start.state.ports.saas}",
                f"--policies={start.policies}",
            ],
            home=start.home,
            log=start.log("saas"),
            directory=environment.ROOT,
            environment={
                **processes.inherited_environment(),
                environment.ACCOUNT_SEED: start.state.secrets.account_seed,
                saas.SECRET: start.state.secrets.saas_secret,
                saas.DOCUSIGN_KEY: start.state.secrets.docusign_key,
            },
        ),
    )
    processes.wait_until(
        lambda: answers(url), server, name="the SaaS stand-in", log=start.log("saas"), timeout=120
    )
    return f"stand-in for Auth0, DocuSign and SendGrid: {url}"


def _start_airflow(start: Start) -> str:
    metadata = metadata_server(start.state, start.place)
    start.started("metadata", database.start(metadata, start.home))
    if not database.exists(metadata.local, environment.METADATA):
        database.make_database(metadata.local, environment.METADATA)
    secrets = start.state.secrets
    write_private(
        environment.passwords_file(start.home),
        json.dumps(
            {
                "admin": secrets.airflow_admin,
                # The second person, whom a recovery needs.
                "approver": secrets.airflow_approver,
                "viewer": secrets.airflow_viewer,
            }
        ),
    )
    log = start.log("airflow")
    server = start.started(
        "airflow",
        processes.start(
            ["airflow", "standalone"],
            home=start.home,
            log=log,
            directory=start.home / "airflow",
            environment=environment.airflow_variables(
                start.state,
                start.home,
                start.place,
                load_policies(start.policies),
                policies_in=start.policies,
            ),
        ),
    )
    url = environment.airflow_url(start.state.ports)
    processes.wait_until(
        lambda: airflow_is_healthy(url), server, name="Airflow", log=log, timeout=300
    )
    return f"Airflow: {url} (user admin, password in .sandbox/env)"


def answers(url: str, *, timeout: float = 5) -> bool:
    """Whether somebody answers there, and not with a failure of its own."""
    try:
        return httpx.get(url, timeout=timeout, trust_env=False).status_code < 500
    except httpx.TransportError:
        return False


# Airflow takes longest, so it starts first.
_STARTERS = (_start_airflow, _start_database, start_stores, _start_aws, _start_saas)
