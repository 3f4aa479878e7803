"""SeaweedFS over TLS, for everybody who is measured.

The sandbox's `weed mini` serves plain HTTP only; `weed server` with the same settings takes a
certificate. pgBackRest speaks S3 over TLS alone, so TLS it is, for all.
"""

import datetime
import ipaddress
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from include.sandbox import objectstore, processes
from include.sandbox.objectstore import Credentials
from include.sandbox.ports import free_ports


@dataclass(frozen=True)
class TlsStore:
    """A running SeaweedFS over TLS."""

    process: processes.Daemon
    port: int
    user: Credentials
    admin: Credentials
    authority: Path

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"https://127.0.0.1:{self.port}"

    def make_bucket(self, name: str, *, object_lock: bool) -> None:
        """Make a bucket."""
        self._client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=object_lock)

    def stored_bytes(self, bucket: str, prefix: str) -> int:
        """Bytes of all objects below a prefix."""
        pages = (
            self._client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        )
        return sum(item["Size"] for page in pages for item in page.get("Contents", []))

    def answers(self) -> bool:
        """Whether it serves requests."""
        try:
            self._client().list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    def _client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=objectstore.REGION,
            verify=str(self.authority),
            aws_access_key_id=self.admin.access_key,
            aws_secret_access_key=self.admin.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )


def start(home: Path) -> TlsStore:
    """Start it on `home` and return when it answers."""
    data, log, config = home / "data", home / "weed.log", home / "s3.json"
    data.mkdir(parents=True)
    user = Credentials("ledgerkeep", secrets.token_hex(16))
    admin = Credentials("admin", secrets.token_hex(16))
    config.write_text(objectstore.identities(user, admin))
    authority, certificate, key = _certificates(home)
    s3, master, volume, filer = free_ports(4)
    process = processes.start(
        [
            str(Path(sys.executable).with_name("weed")),
            *("-v=0", "server", "-s3", "-filer", f"-dir={data}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-s3.port={s3}", f"-s3.port.grpc={s3 + 10_000}"),
            *(f"-master.port={master}", f"-master.port.grpc={master + 10_000}"),
            *(f"-volume.port={volume}", f"-volume.port.grpc={volume + 10_000}"),
            *(f"-filer.port={filer}", f"-filer.port.grpc={filer + 10_000}"),
            *(f"-s3.config={config}", f"-s3.cert.file={certificate}", f"-s3.key.file={key}"),
            *("-volume.max=1000", "-master.volumeSizeLimitMB=1024", "-filer.maxMB=16"),
            *("-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        ],
        home=home,
        log=log,
        directory=home,
        environment=processes.inherited_environment(),
    )
    store = TlsStore(process, s3, user, admin, authority)
    processes.wait_until(store.answers, process, name="SeaweedFS", log=log, timeout=60)
    _wait_for_volumes(store)
    return store


def _wait_for_volumes(store: TlsStore) -> None:
    """`weed server` answers before its volume server has joined; writes fail until then."""
    store.make_bucket("probe", object_lock=False)
    client, deadline = store._client(), time.monotonic() + 60
    while True:
        try:
            client.put_object(Bucket="probe", Key="probe", Body=b"x" * 100_000)
        except ClientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _certificates(home: Path) -> tuple[Path, Path, Path]:
    """An authority, a certificate it signed for the loopback address, and its key."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ledgerkeep bench authority")])
    authority = (
        _builder(issuer, issuer, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        _builder(subject, issuer, key)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    trusted, public, private = home / "authority.crt", home / "store.crt", home / "store.key"
    trusted.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    private.chmod(0o600)
    return trusted, public, private


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
