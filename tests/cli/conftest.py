"""One cluster with a backup and shipped WAL, and an environment as a shell would set it."""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from include.sandbox import objectstore
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.full_backup import record_backup, take_full_backup
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.policy.load import load_policy
from ledgerkeep.progress import no_progress
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.worker import WorkerSettings
from tests.conftest import make_cluster

POLICIES = Path(__file__).resolve().parents[2] / "include" / "policies"


@dataclass
class Protected:
    """A cluster that was backed up: table `kept` holds 1 in the backup, 2 came later."""

    catalog: Catalog
    policies: Path
    backup_id: str
    wal_id: str


@pytest.fixture(scope="session")
def protected(
    place: Place, s3: objectstore.ObjectStoreServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Protected]:
    """Made once: the tests here only read it."""
    bucket = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, bucket)
    policies = tmp_path_factory.mktemp("policies")
    text = (POLICIES / "production.yaml").read_text()
    text = text.replace("loan-management-backups-production", bucket)
    (policies / "production.yaml").write_text(text)

    policy = load_policy(policies / "production.yaml")
    access = StoreAccess(
        endpoint_url=s3.endpoint, access_key=s3.user.access_key, secret_key=s3.user.secret_key
    )
    store = open_store(policy.storage, WorkerSettings(store_encryption="none"), access)
    catalog = Catalog(store, policy)
    data = place.servers / f"c{secrets.token_hex(4)}"
    cluster = make_cluster(place, data)
    try:
        cluster.execute("CREATE TABLE kept AS SELECT 1 AS number")
        backup_id = take_full_backup(
            cluster.address, catalog, origin=Origin("backup/1"), progress=no_progress
        )
        record_backup(catalog, backup_id, run="backup/1", progress=no_progress)
        cluster.execute("INSERT INTO kept VALUES (2)")
        stretches = ship_wal(cluster.address, catalog, run="wal/1")
        yield Protected(catalog, policies, backup_id, stretches[-1].id)
    finally:
        cluster.stop(immediate=True)
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def shell(
    protected: Protected,
    s3: objectstore.ObjectStoreServer,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> Protected:
    """The variables that `.sandbox/env` sets."""
    variables = {
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.user.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.user.secret_key,
        "AWS_DEFAULT_REGION": objectstore.REGION,
        "LEDGERKEEP_POLICIES": str(protected.policies),
        "LEDGERKEEP_STORE_ENCRYPTION": "none",
        "LEDGERKEEP_STORE_PATIENCE": "2",
        "LEDGERKEEP_POSTGRES_PROGRAMS": str(place.programs.directory),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return protected
