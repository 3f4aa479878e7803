"""Airflow connections as the core's own types.

A Postgres connection becomes a `ServerAddress`; an AWS connection becomes an open store. The
Amazon provider's hook makes the session, so role assumption, profiles and custom endpoints work
as everywhere in Airflow, and credentials are refreshed while a long backup runs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from ledgerkeep.configuration.access import Access, Login
    from ledgerkeep.database.postgres.address import ServerAddress
    from ledgerkeep.hooks.aws_hook import AwsHook
    from ledgerkeep.policy.document_replica import InventoryPlace
    from ledgerkeep.policy.documents import Documents, Replica
    from ledgerkeep.policy.model import Policy
    from ledgerkeep.storage.bucket import Bucket
    from ledgerkeep.storage.open import StoreAccess
    from ledgerkeep.storage.s3 import S3Store
    from ledgerkeep.storage.vault import OpenVault

_TELLING = ("botocore", "boto3", "httpx", "httpcore")
"""Loggers that write requests, bodies and all, at DEBUG."""
_NOT_LIBPQ = {"cursor", "iam", "aws_conn_id", "redshift", "sqlalchemy_scheme", "sqlalchemy_query"}


def server_address(connection_id: str) -> ServerAddress:
    """The server that a Postgres connection points at; its extras go to libpq (sslmode …)."""
    from ledgerkeep.database.postgres.address import ServerAddress

    found = BaseHook.get_connection(connection_id)
    extras = {
        name: str(value) for name, value in found.extra_dejson.items() if name not in _NOT_LIBPQ
    }
    return ServerAddress(
        host=found.host or "localhost",
        port=found.port or 5432,
        user=found.login or "postgres",
        password=found.password,
        database=found.schema or "postgres",
        options=extras,
    )


def open_policy_store(policy: Policy, connection_id: str | None = None) -> S3Store:
    """The bucket of a policy as a store, opened with its AWS connection.

    :param connection_id: another connection than the policy's.
    """
    from ledgerkeep.storage.s3 import S3Store

    return S3Store(open_policy_bucket(policy, connection_id))


def open_policy_bucket(policy: Policy, connection_id: str | None = None) -> Bucket:
    """The bucket of a policy, opened with its AWS connection.

    :param connection_id: another connection than the policy's.
    """
    from ledgerkeep.storage.open import open_bucket
    from ledgerkeep.worker import worker_settings

    hook = _hook("s3", connection_id or policy.storage.connection_id, policy.storage.region)
    return open_bucket(policy.storage, worker_settings(), _store_access(hook))


def open_policy_documents(policy: Policy) -> Bucket:
    """The documents' bucket of a policy, opened with its own AWS connection.

    :raises PolicyError: the policy has no documents.
    """
    return _open_documents(policy, documents_of(policy))


def open_policy_replica(policy: Policy) -> Bucket:
    """The replica of the documents' bucket, opened with its own AWS connection.

    :raises PolicyError: the policy has no replica.
    """
    return _open_documents(policy, replica_of(policy))


def documents_of(policy: Policy) -> Documents:
    """The documents' section of a policy.

    :raises PolicyError: the policy has none.
    """
    from ledgerkeep.errors import PolicyError

    if policy.documents is None:
        raise PolicyError(
            f"the policy of {policy.environment} has no documents",
            hint="add the section documents to the policy",
        )
    return policy.documents


def replica_of(policy: Policy) -> Replica:
    """The replica's section of a policy.

    :raises PolicyError: the policy has none.
    """
    from ledgerkeep.errors import PolicyError

    replica = documents_of(policy).replica
    if replica is None:
        raise PolicyError(
            f"the policy of {policy.environment} has no replica of the documents",
            hint="add documents.replica to the policy",
        )
    return replica


def open_inventory(policy: Policy, place: InventoryPlace) -> Bucket:
    """The bucket where S3 Inventory delivers, opened with its own AWS connection."""
    from ledgerkeep.policy.documents import Documents

    return _open_documents(
        policy,
        Documents(connection_id=place.connection_id, bucket=place.bucket, region=place.region),
    )


def open_client(service: str, connection_id: str, region: str) -> Any:
    """A boto3 client of an AWS service, with an Airflow connection's identity and endpoint."""
    return _hook(service, connection_id, region).get_client_type(region_name=region)


def source_access() -> Access:
    """What sources of configuration reach, by the names of Airflow connections.

    boto3 waits longer each time a service throttles, and slows down by itself. Where a worker
    logs everything, its clients are kept from writing their requests: secrets are in them.
    """
    from ledgerkeep.configuration.access import Access

    for name in _TELLING:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))
    return Access(client=_patient_client, login=_login)


def _patient_client(service: str, connection_id: str, region: str) -> Any:
    from ledgerkeep.configuration.access import PATIENT

    return _hook(service, connection_id, region).get_client_type(region_name=region, config=PATIENT)


def _login(connection_id: str) -> Login:
    from ledgerkeep.configuration.access import Login

    found = BaseHook.get_connection(connection_id)
    host = (found.host or "").rstrip("/")
    if "://" not in host:
        host = f"{found.schema or 'https'}://{host}"
    return Login(
        url=f"{host}:{found.port}" if found.port else host,
        login=found.login or "",
        password=found.password or "",
        extra={name: str(value) for name, value in found.extra_dejson.items()},
    )


def _open_documents(policy: Policy, documents: Documents | Replica) -> Bucket:
    from ledgerkeep.storage.open import open_documents
    from ledgerkeep.worker import worker_settings

    hook = _hook("s3", documents.connection_id, documents.region)
    return open_documents(documents, policy.storage, worker_settings(), _store_access(hook))


def open_policy_vault(policy: Policy, connection_id: str | None = None) -> OpenVault:
    """The vault of a policy's compliance archive, opened with its own AWS connection.

    Where the policy names a role, the connection's identity assumes it; STS is asked where the
    connection says it is.

    :param connection_id: another connection than the policy's.
    :raises PolicyError: the policy has no compliance archive.
    """
    from ledgerkeep.errors import PolicyError
    from ledgerkeep.storage.vault import open_vault
    from ledgerkeep.worker import worker_settings

    archive = policy.database.compliance_archive
    if archive is None:
        raise PolicyError(
            f"the policy of {policy.environment} has no vault",
            hint="add database.compliance_archive to the policy",
        )
    vault = archive.vault
    hook = _hook("s3", connection_id or vault.connection_id, vault.region)
    access = _store_access(hook)
    sts = hook.conn_config.get_service_endpoint_url("sts")
    return open_vault(vault, policy.storage, worker_settings(), access, sts_endpoint=sts)


def _hook(service: str, connection_id: str, region: str) -> AwsHook:
    from ledgerkeep.hooks.aws_hook import AwsHook

    return AwsHook(aws_conn_id=connection_id, client_type=service, region_name=region)


def _store_access(hook: AwsHook) -> StoreAccess:
    from ledgerkeep.storage.open import StoreAccess

    return StoreAccess(
        session=hook.get_session(region_name=hook.region_name),
        endpoint_url=hook.conn_config.get_service_endpoint_url("s3"),
    )
