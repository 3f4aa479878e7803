"""The one-shot steps of the composed sandbox: what must be there before the servers are used.

    python -m include.sandbox.container.prepare identities | buckets | loan-data | airflow

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
from include.sandbox.objectstore import Credentials, ObjectStore
from include.sandbox.state import write_private
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.policy.load import load_policies


def identities() -> None:
    """Write the file in which the object store looks up who may do what."""
    path = Path(os.environ["SANDBOX_STORE_CONFIG"])
    policies = load_policies(environment.POLICIES)
    user, admin = _credentials()
    user = replace(user, buckets=environment.own_buckets(policies))
    vault = Credentials(
        os.environ["SANDBOX_VAULT_KEY"],
        os.environ["SANDBOX_VAULT_SECRET"],
        environment.vault_buckets(policies),
    )
    write_private(path, objectstore.identities(user, admin, vault))
    print(f"identities of the object store: {path}")


def buckets() -> None:
    """Make the buckets of every policy, versioned and with Object Lock."""
    user, admin = _credentials()
    store = ObjectStore(endpoint=os.environ["AWS_ENDPOINT_URL_S3"], user=user, admin=admin)
    policies = load_policies(environment.POLICIES)
    for bucket in (*environment.own_buckets(policies), *environment.vault_buckets(policies)):
        objectstore.make_bucket(store, bucket)
        print(f"bucket: {bucket}")


def loan_data() -> None:
    """Make the loan database and fill it."""
    server = ServerAddress.from_url(os.environ["SANDBOX_DATABASE_URL"])
    rows = servers.make_loan_database(server, size_mb=int(os.environ["SANDBOX_SIZE_MB"]))
    said = "was there already" if rows is None else f"{rows:,} rows"
    print(f"loan database: {said}")


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


def _credentials() -> tuple[Credentials, Credentials]:
    """Ledgerkeep's own, and the administrator's."""
    return (
        Credentials(os.environ["SANDBOX_STORE_KEY"], os.environ["SANDBOX_STORE_SECRET"]),
        Credentials("admin", os.environ["SANDBOX_STORE_ADMIN_SECRET"]),
    )


STEPS = {
    "identities": identities,
    "buckets": buckets,
    "loan-data": loan_data,
    "airflow": airflow,
}

if __name__ == "__main__":
    STEPS[sys.argv[1]]()
