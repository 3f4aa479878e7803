"""From a policy, the worker's settings and an access to an open store.

An endpoint means a store other than AWS: it is addressed by path, since its certificate and its
name server rarely know a host name per bucket. Without an access the usual chain of boto3 decides
(environment, shared configuration, role), for both clients alike: obstore asks boto3 for its
credentials, so a role that renews itself is renewed for both.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies
from obstore.store import S3Store as RangeClient

from ledgerkeep.errors import StorageError
from ledgerkeep.model import utc_now
from ledgerkeep.policy.documents import Documents, Replica
from ledgerkeep.policy.model import Storage
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.quick import QuickSender
from ledgerkeep.storage.ranges import RangeReader
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.storage.session import open_session
from ledgerkeep.worker import WorkerSettings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from obstore.store import ClientConfig, S3Config, S3Credential

_CONNECT_TIMEOUT = 10
_READ_TIMEOUT = 60
_CONNECTIONS = 64
_MOST_CONNECTIONS = 256
_ASK_AGAIN = timedelta(minutes=6)
_AWS_HOST = re.compile(r"s3[.-][a-z0-9.-]*amazonaws\.com(\.cn)?|s3\.amazonaws\.com")


@dataclass(frozen=True)
class StoreAccess:
    """Where the store is and who asks, as an Airflow connection says it.

    Without keys and session, boto3's own chain of credentials decides.
    """

    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    session: boto3.Session | None = field(default=None, repr=False)
    """Takes the place of the keys: a session that renews its own credentials (a role)."""


def open_store(
    storage: Storage,
    settings: WorkerSettings,
    access: StoreAccess | None = None,
    *,
    storage_class: str | None = None,
) -> S3Store:
    """The policy's bucket as a store of ours, ready to use; see `open_bucket`."""
    return S3Store(open_bucket(storage, settings, access, storage_class=storage_class))


def open_bucket(
    storage: Storage,
    settings: WorkerSettings,
    access: StoreAccess | None = None,
    *,
    storage_class: str | None = None,
) -> Bucket:
    """The policy's bucket, ready to use; sends no request yet.

    :param access: None leaves endpoint and credentials to boto3's own chain.
    :param storage_class: of everything that is created in it; None: STANDARD.
    :raises StorageError: the endpoint or the configuration is not usable.
    """
    access = access or StoreAccess()
    session = access.session or open_session(
        access.access_key, access.secret_key, access.session_token
    )
    client = _control_client(session, storage, access)
    return Bucket(
        name=storage.bucket,
        client=client,
        ranges=RangeReader(_range_client(session, storage, client)),
        encryption=encryption_parameters(storage, settings),
        patience=settings.store_patience,
        part_size=storage.part_size_mib * 1024 * 1024,
        concurrency=storage.concurrency,
        storage_class=storage_class,
        quick=_quick_sender(session, storage, client),
    )


def open_documents(
    documents: Documents | Replica,
    storage: Storage,
    settings: WorkerSettings,
    access: StoreAccess | None = None,
) -> Bucket:
    """The bucket of the documents, or of their replica; sends no request yet.

    :param storage: the environment's own, for how objects are sent (parts, addressing).
    :raises StorageError: the endpoint or the configuration is not usable.
    """
    there = storage.model_copy(
        update={
            "connection_id": documents.connection_id,
            "bucket": documents.bucket,
            "region": documents.region,
            "encryption": documents.encryption,
            "object_lock": None,
        }
    )
    return open_bucket(there, settings, access)


def encryption_parameters(storage: Storage, settings: WorkerSettings) -> dict[str, Any]:
    """The policy's server-side encryption, or the worker's where the store has no KMS."""
    mode = storage.encryption.mode
    if settings.store_encryption != "policy":
        mode = settings.store_encryption
    if mode == "none":
        return {}
    if mode == "AES256":
        return {"ServerSideEncryption": "AES256"}
    # A bucket key spares a request to KMS for each of the many small WAL objects.
    parameters: dict[str, Any] = {
        "ServerSideEncryption": "aws:kms",
        "BucketKeyEnabled": True,
    }
    if storage.encryption.key_id:
        parameters["SSEKMSKeyId"] = storage.encryption.key_id
    return parameters


def _control_client(session: boto3.Session, storage: Storage, access: StoreAccess) -> "S3Client":
    region = access.region or storage.region
    try:
        # Only a client knows which endpoint the environment or the shared configuration names.
        client: S3Client = session.client(
            "s3", region, endpoint_url=access.endpoint_url, config=_configuration(storage, "path")
        )
        if not _is_virtual(client, storage):
            return client
        return session.client(
            "s3",
            region,
            endpoint_url=access.endpoint_url,
            config=_configuration(storage, "virtual"),
        )
    except (BotoCoreError, ValueError) as problem:
        raise StorageError(
            f"s3://{storage.bucket} cannot be opened: {' '.join(str(problem).split())}",
            hint="correct the endpoint and region of the Airflow connection "
            f"{storage.connection_id}, or AWS_ENDPOINT_URL_S3",
        ) from problem


def _is_virtual(client: "S3Client", storage: Storage) -> bool:
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return not storage.path_style and _AWS_HOST.fullmatch(host) is not None


def _configuration(storage: Storage, style: Literal["path", "virtual"]) -> Config:
    return Config(
        # Each part carries a CRC-32C and each whole object a SHA-256, so a signature over the
        # body would only hash everything once more.
        s3={"addressing_style": style, "payload_signing_enabled": False},
        request_checksum_calculation=storage.request_checksums,
        response_checksum_validation="when_required",
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        max_pool_connections=max(_CONNECTIONS, storage.concurrency),
        tcp_keepalive=True,
    )


def _range_client(
    session: boto3.Session, storage: Storage, client: "S3Client"
) -> Callable[[], RangeClient]:
    """Obstore on the same endpoint, named in full so that it looks at no environment of its own."""
    endpoint = urlsplit(client.meta.endpoint_url)
    virtual = _is_virtual(client, storage)
    host = f"{storage.bucket}.{endpoint.netloc}" if virtual else endpoint.netloc
    config: S3Config = {
        "aws_endpoint_url_s3": f"{endpoint.scheme}://{host}{endpoint.path}".rstrip("/"),
        "region": client.meta.region_name,
        "virtual_hosted_style_request": virtual,
    }
    options: ClientConfig = {
        "allow_http": endpoint.scheme == "http",
        "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT),
        "read_timeout": timedelta(seconds=_READ_TIMEOUT),
        "timeout": timedelta(hours=1),
    }
    if authority := os.environ.get("AWS_CA_BUNDLE"):
        options["root_certificate"] = Path(authority).read_bytes()
    return partial(
        RangeClient,
        storage.bucket,
        config=config,
        client_options=options,
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=1)},
        credential_provider=_credentials_of(session),
    )


def _quick_sender(
    session: boto3.Session, storage: Storage, client: "S3Client"
) -> QuickSender | None:
    """The same endpoint, addressed as botocore does; None without credentials."""
    credentials = session.get_credentials()
    if credentials is None:
        return None
    endpoint = urlsplit(client.meta.endpoint_url)
    # A certificate for one host name per bucket covers no name with a dot.
    virtual = _is_virtual(client, storage) and "." not in storage.bucket
    host = f"{storage.bucket}.{endpoint.netloc}" if virtual else endpoint.netloc
    path = endpoint.path.rstrip("/") + ("" if virtual else f"/{storage.bucket}")
    base = f"{endpoint.scheme}://{host}{path}"
    http = URLLib3Session(
        # The types of botocore's stubs are narrower than what it takes.
        verify=os.environ.get("AWS_CA_BUNDLE") or True,  # type: ignore[arg-type]
        proxies=get_environ_proxies(base),
        timeout=(_CONNECT_TIMEOUT, _READ_TIMEOUT),  # type: ignore[arg-type]
        max_pool_connections=_MOST_CONNECTIONS,
    )
    return QuickSender(client, credentials.get_frozen_credentials, http, base=base)


def _credentials_of(session: boto3.Session) -> Callable[[], "S3Credential"]:
    def provide() -> "S3Credential":
        credentials = session.get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials else None
        if frozen is None or frozen.access_key is None or frozen.secret_key is None:
            raise NoCredentialsError
        # boto3 knows when they end and renews them; asking it again now and then costs nothing.
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": utc_now() + _ASK_AGAIN,
        }

    return provide
