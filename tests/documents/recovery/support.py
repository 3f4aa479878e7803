"""Versions of documents as a listing tells them, and buckets with a history."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.sandbox.objectstore import REGION, ObjectStore
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery import scan
from ledgerkeep.documents.recovery.carry_out import CarriedOut, carry_out
from ledgerkeep.documents.recovery.lines import read_lines
from ledgerkeep.documents.recovery.plan import DocumentPlan, make_plan
from ledgerkeep.documents.recovery.report import RecoveryReport, write_report
from ledgerkeep.documents.recovery.request import DocumentRequest, ToMoment
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.open import StoreAccess, open_documents
from ledgerkeep.storage.versions import ObjectVersion, list_versions
from ledgerkeep.worker import WorkerSettings
from tests.support.buckets import documents_bucket
from tests.support.memory_store import MemoryStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """A moment, in minutes from noon."""
    return NOON + timedelta(minutes=minutes)


def version(key: str, minutes: float, name: str = "", **other: Any) -> ObjectVersion:
    """A version, named after its minute unless said otherwise."""
    name = name or f"v{minutes:g}"
    return ObjectVersion(key, name, at(minutes), size=10, etag=f"e-{name}", **other)


def marker(key: str, minutes: float) -> ObjectVersion:
    """A delete marker."""
    return ObjectVersion(key, f"d{minutes:g}", at(minutes), is_delete_marker=True)


def to_moment(minutes: float, **other: Any) -> DocumentRequest:
    """Back to a moment, of all keys unless said otherwise."""
    chosen = {} if "keys" in other else {"prefix": ""}
    return DocumentRequest(goal=ToMoment(at=at(minutes)), **{**chosen, **other})


def catalog_in_memory() -> Catalog:
    """Where plans, journals and reports go."""
    return Catalog(MemoryStore(), load_environment("development"))


@dataclass
class Ward:
    """A bucket of documents, with what a recovery needs around it."""

    bucket: Bucket
    catalog: Catalog = field(default_factory=catalog_in_memory)

    @property
    def route(self) -> Route:
        return Route(self.bucket, self.bucket)

    def put(self, key: str, body: bytes = b"x", **about: Any) -> str:
        answer = self.bucket.client.put_object(Bucket=self.bucket.name, Key=key, Body=body, **about)
        return answer["VersionId"]

    def delete(self, key: str) -> str:
        return self.bucket.client.delete_object(Bucket=self.bucket.name, Key=key)["VersionId"]

    def get(self, key: str) -> bytes:
        return self.bucket.client.get_object(Bucket=self.bucket.name, Key=key)["Body"].read()

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        """Every key that can be read, with its bytes."""
        return {
            one.key: self.get(one.key)
            for one in self.versions(prefix)
            if one.is_latest and not one.is_delete_marker
        }

    def versions(self, prefix: str = "") -> list[ObjectVersion]:
        return list(list_versions(self.bucket, prefix))

    def plan(self, request: DocumentRequest, route: Route | None = None) -> DocumentPlan:
        return make_plan(self.catalog, request, route or self.route)

    def carry_out(self, plan: DocumentPlan, route: Route | None = None, **more: Any) -> CarriedOut:
        return carry_out(self.catalog, plan, route or self.route, concurrency=4, **more)

    def report(self, plan: DocumentPlan, route: Route | None = None) -> RecoveryReport:
        return write_report(self.catalog, plan, route or self.route, concurrency=4)

    def recover(
        self, request: DocumentRequest, route: Route | None = None
    ) -> tuple[DocumentPlan, dict[str, dict[str, Any]]]:
        """All of it; the report's lines by key."""
        plan = self.plan(request, route)
        self.carry_out(plan, route)
        return plan, self.lines(self.report(plan, route))

    def lines(self, report: RecoveryReport) -> dict[str, dict[str, Any]]:
        return {line["key"]: line for line in read_lines(self.catalog.store, report.lines)}


def ward(server: ObjectStore, name: str, **other: Any) -> Ward:
    """A ward on a real store."""
    return Ward(documents_bucket(server, name, **other))


@contextmanager
def ward_on_moto(name: str = "documents", *, lock: bool = False) -> Iterator[Ward]:
    """A ward on moto, for what no store of the sandbox can do."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "list_versions", _as_aws_lists)
        client = boto3.client("s3", region_name=REGION)
        client.create_bucket(
            Bucket=name,
            CreateBucketConfiguration={"LocationConstraint": REGION},
            ObjectLockEnabledForBucket=lock,
        )
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        yield Ward(
            open_documents(
                Documents(connection_id="documents", bucket=name, region=REGION),
                load_environment("development").storage,
                WorkerSettings(store_patience=5, store_encryption="none"),
                StoreAccess(access_key="testing", secret_key="testing"),
            )
        )


def _as_aws_lists(
    bucket: Bucket, prefix: str = "", *, after: str = "", until: str = ""
) -> Iterator[ObjectVersion]:
    """Moto lists all versions and then all delete markers; AWS lists key by key, newest first.

    And from a key marker that does not exist, moto lists nothing.
    """
    rows = [one for one in list_versions(bucket, prefix) if one.key.encode() > after.encode()]
    ordered = sorted(
        rows, key=lambda one: (one.key.encode(), not one.is_latest, -one.modified_at.timestamp())
    )
    return (one for one in ordered if not until or one.key.encode() <= until.encode())
