"""The sandbox's object store: SeaweedFS, a real S3 server with versions and Object Lock.

The identity that Ledgerkeep uses lacks `Admin`: SeaweedFS deletes whole buckets on some
sub-resource deletes, and without that right it answers 403 instead. Buckets are made by a second,
administrative identity, here. A third one stands for the account of the vault: each of the two
opens its own buckets and none of the other's.

Two of them are two regions. What replicates one to the other copies encrypted objects as they are
stored, so both encrypt with one key, where AWS would encrypt anew with the region's own.
"""

import json
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from include.sandbox import processes
from include.sandbox.ports import free_ports
from include.sandbox.processes import Daemon
from include.sandbox.state import write_private

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

_GRPC = 10_000
"""What SeaweedFS adds to a port for its gRPC port, unless told otherwise."""


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
    filer: str
    """Address of its filer, as SeaweedFS' own programs want it: with both ports."""

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
    filer_port: int | None = None,
    key: str | None = None,
    mark: Path | None = None,
) -> ObjectStoreServer:
    """Start SeaweedFS on `home` and return when it answers; it runs in a session of its own.

    :param vault: who stands for the vault's account, where there is one.
    :param port: of S3; a free one by default. So is `filer_port`, which replication reads.
    :param key: that it encrypts with, see `encryption_key`; one of its own by default.
    :param mark: the sandbox's directory that the process is marked with; `home` by default.
    """
    data = home / "data"
    log = home / "weed.log"
    data.mkdir(parents=True, exist_ok=True)
    config = home / "s3.json"
    config.write_text(identities(user, admin, vault))
    config.chmod(0o600)
    s3, master, volume, filer = free_ports(4)
    s3, filer = port or s3, filer_port or filer
    process = processes.start(
        [
            str(Path(sys.executable).with_name("weed")),
            "-v=0",
            "mini",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3 + _GRPC}",
            f"-master.port={master}",
            f"-master.port.grpc={master + _GRPC}",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume + _GRPC}",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer + _GRPC}",
            *FLAGS,
            f"-s3.config={config}",
        ],
        home=mark or home,
        log=log,
        directory=home,
        environment={
            **processes.inherited_environment(),
            "WEED_S3_SSE_KEK": key or encryption_key(home),
        },
    )
    server = ObjectStoreServer(
        endpoint=f"http://127.0.0.1:{s3}",
        user=user,
        admin=admin,
        daemon=process,
        filer=filer_address(filer),
    )
    processes.wait_until(lambda: _answers(server), process, name="SeaweedFS", log=log, timeout=60)
    return server


def encryption_key(home: Path) -> str:
    """The key of the store on `home`, in hexadecimal; made at its first use."""
    path = home / "sse.key"
    if not path.exists():
        write_private(path, os.urandom(32).hex())
    return path.read_text()


def filer_address(port: int) -> str:
    """Of a filer on this machine, as SeaweedFS' own programs want it."""
    return f"127.0.0.1:{port}.{port + _GRPC}"


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
    """A client that may make and remove buckets: the process's one for that store."""
    return _client(server.endpoint, server.admin)


@lru_cache(maxsize=8)
def _client(endpoint: str, who: Credentials):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=who.access_key,
        aws_secret_access_key=who.secret_key,
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
        "PutObjectLegalHold",
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
