"""A protected cluster with two loans, a bucket, and Airflow's connections to both."""

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.sandbox import objectstore
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.hooks.connections import open_policy_store
from ledgerkeep.policy.load import load_environment
from tests.conftest import ROOT, Cluster, make_cluster
from tests.database.postgres.wal_support import copy_of, small_cluster
from tests.recovery.loans import make_loans


@dataclass
class Protected:
    """What one environment's policy and connections point at."""

    cluster: Cluster
    s3: objectstore.ObjectStoreServer
    policies: Path
    variables: dict[str, str]

    @property
    def catalog(self) -> Catalog:
        """The production catalog, as the operators see it."""
        policy = load_environment("production")
        return Catalog(open_policy_store(policy), policy)

    @property
    def slots(self) -> list[str]:
        """Names of the source's replication slots."""
        return [
            row[0] for row in self.cluster.execute("SELECT slot_name FROM pg_replication_slots")
        ]


def connection(kind: str, **fields: Any) -> str:
    """A connection as Airflow reads it from the environment."""
    return json.dumps({"conn_type": kind, **fields})


def database_connection(cluster: Cluster, **other: Any) -> str:
    fields = {
        "host": "127.0.0.1",
        "port": cluster.port,
        "login": "postgres",
        "password": "sandbox-password",
        "schema": "loan_management",
    }
    return connection("postgres", **{**fields, **other})


def protect(
    cluster: Cluster, s3: objectstore.ObjectStoreServer, place: Place, policies: Path
) -> Protected:
    """The production policy for a cluster, on a bucket of its own."""
    bucket = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, bucket)
    text = (ROOT / "include" / "policies" / "production.yaml").read_text()
    text = text.replace("loan-management-backups-production", bucket)
    (policies / "production.yaml").write_text(text)
    storage = connection(
        "aws",
        login=s3.user.access_key,
        password=s3.user.secret_key,
        extra={"service_config": {"s3": {"endpoint_url": s3.endpoint}}},
    )
    return Protected(
        cluster,
        s3,
        policies,
        {
            "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DATABASE": database_connection(cluster),
            "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STORAGE": storage,
            "LEDGERKEEP_POLICIES": str(policies),
            "LEDGERKEEP_STORE_ENCRYPTION": "none",
            "LEDGERKEEP_STORE_PATIENCE": "5",
            "LEDGERKEEP_POSTGRES_PROGRAMS": str(place.programs.directory),
            "LEDGERKEEP_SERVER_ACCOUNT": place.account.name,
            "LEDGERKEEP_ROOMS": str(place.rooms),
        },
    )


@pytest.fixture(scope="package")
def source(place: Place) -> Iterator[Cluster]:
    """A cluster with the loan database; a test that stops it starts it again."""
    data = place.servers / f"o{secrets.token_hex(4)}"
    # What autovacuum writes is shipped like any other work, whenever it happens to come.
    made = make_cluster(place, data, initdb=("--wal-segsize=1",), autovacuum="off")
    made.execute("CREATE DATABASE loan_management")
    make_loans(made.address.to("loan_management"))
    yield made
    made.stop(immediate=True)
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def protected(
    source: Cluster,
    s3: objectstore.ObjectStoreServer,
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Protected]:
    """The source under protection, with an empty bucket and no slot."""
    made = protect(source, s3, place, tmp_path)
    for name, value in made.variables.items():
        monkeypatch.setenv(name, value)
    yield made
    source.drop_slots()


@pytest.fixture
def pair(
    place: Place,
    s3: objectstore.ObjectStoreServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Protected, Cluster]]:
    """A protected primary of the test's own, and its standby, which has all WAL from here on."""
    with small_cluster(place) as primary:
        primary.execute("CREATE DATABASE loan_management")
        protected = protect(primary, s3, place, tmp_path)
        for name, value in protected.variables.items():
            monkeypatch.setenv(name, value)
        with copy_of(primary, standby=True) as standby:
            yield protected, standby
