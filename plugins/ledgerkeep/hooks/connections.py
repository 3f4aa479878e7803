"""Airflow connections as the core's own types.

A Postgres connection becomes a `ServerAddress`; an AWS connection becomes an open store. The
Amazon provider's hook makes the session, so role assumption, profiles and custom endpoints work
as everywhere in Airflow, and credentials are refreshed while a long backup runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from ledgerkeep.database.postgres.address import ServerAddress
    from ledgerkeep.policy.model import Policy
    from ledgerkeep.storage.s3 import S3Store

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
    """The bucket of a policy, opened with its AWS connection.

    :param connection_id: another connection than the policy's.
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

    from ledgerkeep.storage.open import StoreAccess, open_store
    from ledgerkeep.worker import worker_settings

    hook = AwsBaseHook(
        aws_conn_id=connection_id or policy.storage.connection_id,
        client_type="s3",
        region_name=policy.storage.region,
    )
    access = StoreAccess(
        session=hook.get_session(region_name=policy.storage.region),
        endpoint_url=hook.conn_config.get_service_endpoint_url("s3"),
    )
    return open_store(policy.storage, worker_settings(), access)
