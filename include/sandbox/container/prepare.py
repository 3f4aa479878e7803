"""The one-shot steps of the composed sandbox: what must be there before the servers are used.

    python -m include.sandbox.container.prepare STEP

with one of the names at the end of this file for STEP.

Each does nothing where its work is done already, so `up` may be repeated. The work itself is the
native sandbox's; here is only where the addresses and secrets come from: the container's
environment, as `docker-compose.yaml` gives it.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from include.sandbox import database, environment, objectstore, servers
from include.sandbox.application import make_applications
from include.sandbox.documents import DocumentStore
from include.sandbox.lender.stock import stock_accounts
from include.sandbox.objectstore import Credentials, ObjectStore
from include.sandbox.state import write_private
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.policy.load import load_policies


def identities() -> None:
    """Write the files in which the object stores look up who may do what."""
    policies = load_policies(environment.POLICIES)
    user, admin = _user(), _admin()
    vault = Credentials(
        os.environ["SANDBOX_VAULT_KEY"],
        os.environ["SANDBOX_VAULT_SECRET"],
        environment.vault_buckets(policies),
    )
    here = replace(user, buckets=environment.buckets_here(policies))
    there = replace(user, buckets=environment.replica_buckets(policies))
    for variable, known in (
        ("SANDBOX_STORE_CONFIG", objectstore.identities(here, admin, vault)),
        ("SANDBOX_REPLICA_CONFIG", objectstore.identities(there, admin)),
    ):
        path = Path(os.environ[variable])
        write_private(path, known)
        print(f"identities of the object store: {path}")


def buckets() -> None:
    """Make the buckets of every policy in both regions, versioned and with Object Lock."""
    user, admin = _user(), _admin()
    policies = load_policies(environment.POLICIES)
    for endpoint, wanted in (
        ("AWS_ENDPOINT_URL_S3", environment.buckets_here(policies)),
        ("AWS_ENDPOINT_URL_S3", environment.vault_buckets(policies)),
        ("SANDBOX_REPLICA_URL", environment.replica_buckets(policies)),
    ):
        store = ObjectStore(endpoint=os.environ[endpoint], user=user, admin=admin)
        for bucket in wanted:
            objectstore.make_bucket(store, bucket)
            print(f"bucket: {bucket} at {store.endpoint}")


def loan_data() -> None:
    """Make the loan database, fill it, and upload its documents for every environment."""
    server = ServerAddress.from_url(os.environ["SANDBOX_DATABASE_URL"])
    stores = [
        DocumentStore(os.environ["AWS_ENDPOINT_URL_S3"], _user(), bucket)
        for bucket in environment.documents_buckets(load_policies(environment.POLICIES))
    ]
    size_mb = int(os.environ["SANDBOX_SIZE_MB"])
    made = servers.make_loan_database(server, size_mb=size_mb, stores=stores)
    print(f"loan database: {made or 'was there already'}")


def application() -> None:
    """Make the application's parameter and services on the AWS stand-in, and stock the accounts."""
    url, policies = os.environ["AWS_ENDPOINT_URL"], load_policies(environment.POLICIES)
    make_applications(url, policies)
    stock_accounts(url, policies, os.environ[environment.ACCOUNT_SEED])
    print(f"the application's parameters and services, the lender's accounts: {url}")


def airflow() -> None:
    """Write the users' passwords and bring Airflow's metadata to this version."""
    metadata = ServerAddress.from_url(os.environ["SANDBOX_METADATA_URL"])
    if not database.exists(metadata, environment.METADATA):
        database.make_database(metadata, environment.METADATA)
    write_private(
        Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]),
        json.dumps(
            {
                "admin": os.environ["SANDBOX_AIRFLOW_ADMIN"],
                "approver": os.environ["SANDBOX_AIRFLOW_APPROVER"],
                "viewer": os.environ["SANDBOX_AIRFLOW_VIEWER"],
            }
        ),
    )
    os.execvp("airflow", ["airflow", "db", "migrate"])


def _user() -> Credentials:
    """Ledgerkeep's own, and the application's."""
    return Credentials(os.environ["SANDBOX_STORE_KEY"], os.environ["SANDBOX_STORE_SECRET"])


def _admin() -> Credentials:
    """The administrator's."""
    return Credentials("admin", os.environ["SANDBOX_STORE_ADMIN_SECRET"])


STEPS = {
    "identities": identities,
    "buckets": buckets,
    "loan-data": loan_data,
    "application": application,
    "airflow": airflow,
}

if __name__ == "__main__":
    STEPS[sys.argv[1]]()
