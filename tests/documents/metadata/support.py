"""Documents of a test's own: a table of the loan schema, and objects beside it."""

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.documents.metadata.check import CheckResult, check_metadata
from ledgerkeep.policy.documents import Documents, DocumentTable, MetadataConsistency
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.bucket import Bucket
from tests.conftest import Cluster
from tests.database.postgres.backup_support import make_catalog, make_policy
from tests.recovery.loans import make_loans
from tests.support.buckets import documents_bucket

TABLE = "documents_document"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@dataclass
class Archive:
    """Rows in a database and objects in a bucket."""

    address: ServerAddress
    bucket: Bucket
    catalog: Catalog
    bodies: dict[str, bytes] = field(default_factory=dict)

    def store(self, key: str, body: bytes, **more: object) -> str:
        """An object alone; its version.

        Asked again where need be: SeaweedFS refuses the longest keys with an internal error now and
        then, always in its first second.
        """
        sent = {"ChecksumAlgorithm": "SHA256", **more}
        client, name = self.bucket.client, self.bucket.name
        answer = self.bucket.ask(
            "put", lambda: client.put_object(Bucket=name, Key=key, Body=body, **sent), key=key
        )
        return answer["VersionId"]

    def delete(self, key: str) -> None:
        self.bucket.client.delete_object(Bucket=self.bucket.name, Key=key)

    def record(self, key: str | None, body: bytes, **other: object) -> None:
        """A row alone."""
        row = {
            "package_id": 1,
            "object_key": key,
            "content_sha256": sha256(body),
            "size_bytes": len(body),
            "content_type": "application/pdf",
            "uploaded_at": "2026-03-01T00:00:00+00:00",
            **other,
        }
        columns = ", ".join(row)
        values = ", ".join(f"%({name})s" for name in row)
        self.execute(f"INSERT INTO {TABLE} ({columns}) VALUES ({values})", row)

    def upload(self, key: str, body: bytes, **more: object) -> None:
        """A document: its object, then its row."""
        self.store(key, body, **more)
        self.record(key, body)

    def execute(self, statement: str, values: object = None) -> list[tuple]:
        with connect(self.address) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def check(self, run: str = "test/1") -> CheckResult:
        return check_metadata(self.address, self.bucket, self.catalog, run=run)


def make_archive(
    cluster: Cluster, database: str, s3: ObjectStoreServer, bucket: str, backups: str
) -> Archive:
    """The loan schema without documents, and an empty bucket for them."""
    address = cluster.address.to(database)
    make_loans(address)
    with connect(address) as connection:
        connection.execute(f"DELETE FROM {TABLE}")
    policy = with_documents(make_policy(backups), bucket, database)
    return Archive(address, documents_bucket(s3, bucket), make_catalog(s3, policy))


def with_documents(policy: Policy, bucket: str, database: str, **limits: object) -> Policy:
    """The policy, with the documents of the test and no grace."""
    rows = DocumentTable(database=database, table=TABLE, related=["documents_documentpackage"])
    documents = Documents(
        connection_id="documents",
        bucket=bucket,
        region="us-east-1",
        rows=rows,
        metadata_consistency=MetadataConsistency(
            **{"schedule": None, "grace": timedelta(0), **limits}
        ),
    )
    return policy.model_copy(update={"documents": documents})


def limited(archive: Archive, **limits: object) -> Archive:
    """The same archive under other limits."""
    documents = archive.catalog.policy.documents
    policy = with_documents(
        archive.catalog.policy, documents.bucket, documents.rows.database, **limits
    )
    return Archive(archive.address, archive.bucket, Catalog(archive.catalog.store, policy))
