"""The sandbox's object store: SeaweedFS, a real S3 server with versions and Object Lock.

The identity that Ledgerkeep uses lacks `Admin`: SeaweedFS deletes whole buckets on some
sub-resource deletes, and without that right it answers 403 instead. Buckets are made by a second,
administrative identity, here. A third one stands for the account of the vault: each of the two
opens its own buckets and none of the other's.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from include.sandbox import processes
from include.sandbox.ports import free_ports
from include.sandbox.processes import Daemon

REGION = "eu-central-1"

FLAGS = (
    "-webdav=false",
    "-admin.ui=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.autoCreateBucket=false",
    "-volume.max=1000",
    "-master.volumeSizeLimitMB=1024",
    "-master.telemetry=false",
    "-filer.maxMB=16",
)
"""How the store behaves, wherever it runs; places and ports come on top."""


@dataclass(frozen=True)
class Credentials:
    """An access key of the store."""

    access_key: str
    secret_key: str
    buckets: tuple[str, ...] = ()
    """The only ones that it opens; empty: all of them."""


@dataclass(frozen=True)
class ObjectStore:
    """A SeaweedFS that somebody runs: its address, and who may enter."""

    endpoint: str
    user: Credentials
    admin: Credentials


@dataclass(frozen=True)
class ObjectStoreServer(ObjectStore):
    """A SeaweedFS that we run."""

    daemon: Daemon

    @property
    def pid(self) -> int:
        """Id of its process, which leads a process group."""
        return self.daemon.pid


def start(
    home: Path,
    *,
    user: Credentials,
    admin: Credentials,
    vault: Credentials | None = None,
    port: int | None = None,
    mark: Path | None = None,
) -> ObjectStoreServer:
    """Start SeaweedFS on `home` and return when it answers; it runs in a session of its own.

    :param vault: who stands for the vault's account, where there is one.
    :param mark: the sandbox's directory that the process is marked with; `home` by default.
    """
    data = home / "data"
    log = home / "weed.log"
    data.mkdir(parents=True, exist_ok=True)
    config = home / "s3.json"
    config.write_text(identities(user, admin, vault))
    config.chmod(0o600)
    s3, master, volume, filer = free_ports(4)
    s3 = port or s3
    kek = home / "sse.key"
    if not kek.exists():
        kek.write_text(os.urandom(32).hex())
        kek.chmod(0o600)
    process = processes.start(
        [
            str(Path(sys.executable).with_name("weed")),
            "-v=0",
            "mini",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3 + 10_000}",
            f"-master.port={master}",
            f"-master.port.grpc={master + 10_000}",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume + 10_000}",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer + 10_000}",
            *FLAGS,
            f"-s3.config={config}",
        ],
        home=mark or home,
        log=log,
        directory=home,
        environment={**processes.inherited_environment(), "WEED_S3_SSE_KEK": kek.read_text()},
    )
    server = ObjectStoreServer(
        endpoint=f"http://127.0.0.1:{s3}", user=user, admin=admin, daemon=process
    )
    processes.wait_until(lambda: _answers(server), process, name="SeaweedFS", log=log, timeout=60)
    return server


def make_bucket(server: ObjectStore, name: str, *, object_lock: bool = True) -> None:
    """Make a versioned bucket with Object Lock, if it is not there yet."""
    client = admin_client(server)
    try:
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=object_lock)
    except ClientError as problem:
        if problem.response["Error"]["Code"] not in (
            "BucketAlreadyOwnedByYou",
            "BucketAlreadyExists",
        ):
            raise


def admin_client(server: ObjectStore):
    """A client that may make and remove buckets."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=server.admin.access_key,
        aws_secret_access_key=server.admin.secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def identities(user: Credentials, admin: Credentials, vault: Credentials | None = None) -> str:
    """SeaweedFS's file of who may do what: Ledgerkeep's own identities lack `Admin`."""
    may = [
        "Read",
        "Write",
        "List",
        "Tagging",
        "GetObjectRetention",
        "PutObjectRetention",
        "GetBucketObjectLockConfiguration",
    ]
    known = [_identity("ledgerkeep", user, may), _identity("admin", admin, ["Admin", *may])]
    if vault is not None:
        known.append(_identity("vault", vault, may))
    return json.dumps({"identities": known})


def _identity(name: str, credentials: Credentials, actions: list[str]) -> dict[str, object]:
    key = {"accessKey": credentials.access_key, "secretKey": credentials.secret_key}
    if credentials.buckets:
        actions = [f"{action}:{bucket}" for action in actions for bucket in credentials.buckets]
    return {"name": name, "credentials": [key], "actions": actions}


def _answers(server: ObjectStore) -> bool:
    try:
        admin_client(server).list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True
