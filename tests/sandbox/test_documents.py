"""The application's documents: what is in them, and what a load leaves in both places."""

import random
from hashlib import sha256
from statistics import mean

import pytest

from include.sandbox.document_load import document_steps
from include.sandbox.documents import DocumentStore, document, upload
from include.sandbox.load import write_load
from include.sandbox.loan_data import generate
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import list_versions
from tests.support.buckets import documents_bucket

KEYS = [f"documents/{number:010d}/0-x.pdf" for number in range(1000)]


def test_a_document_follows_from_its_key_and_revision() -> None:
    assert document(KEYS[0]) == document(KEYS[0])
    assert len({document(key, revision).sha256 for key in KEYS for revision in ("", "a")}) == 2000


def test_documents_are_a_few_kilobytes_on_average() -> None:
    sizes = [document(key).size for key in KEYS]
    assert 3_500 < mean(sizes) < 5_500
    assert min(sizes) > 600
    assert max(sizes) < 9_000
    assert all(document(key).content.startswith(b"%PDF-1.7\n") for key in KEYS[:9])


def test_without_a_store_a_client_only_adds_rows() -> None:
    assert len(document_steps(None)) == 1


@pytest.fixture
def loans(cluster, database: str) -> ServerAddress:
    address = cluster.address.to(database)
    generate(address, size_mb=8)
    return address


@pytest.fixture
def store(s3: ObjectStoreServer, bucket: str) -> DocumentStore:
    return DocumentStore(s3.endpoint, s3.user, bucket)


@pytest.fixture
def held(s3: ObjectStoreServer, bucket: str) -> Bucket:
    """The same bucket as Ledgerkeep sees it."""
    return documents_bucket(s3, bucket)


def rows(address: ServerAddress) -> dict[str, tuple[str, int]]:
    """What the database says each object is."""
    query = "SELECT object_key, content_sha256, size_bytes FROM documents_document"
    with connect(address) as connection:
        return {key: (digest, size) for key, digest, size in connection.execute(query)}


def objects(held: Bucket) -> dict[str, tuple[str, int]]:
    """What each object is."""
    found = {}
    for version in list_versions(held):
        if version.is_latest and not version.is_delete_marker:
            body = held.client.get_object(Bucket=held.name, Key=version.key)["Body"].read()
            found[version.key] = (sha256(body).hexdigest(), version.size)
    return found


@pytest.mark.integration
def test_every_row_of_a_new_database_gets_its_object(
    loans: ServerAddress, store: DocumentStore, held: Bucket
) -> None:
    assert upload(loans, [store]) == len(rows(loans)) > 0
    assert objects(held) == rows(loans)


@pytest.mark.integration
def test_an_object_has_what_an_application_gives_it(
    store: DocumentStore, held: Bucket, bucket: str
) -> None:
    store.put(document(KEYS[7]))
    head = held.client.head_object(Bucket=bucket, Key=KEYS[7])
    assert head["ContentType"] == "application/pdf"
    assert head["Metadata"] == {"package": "0000000007"}
    assert head["ServerSideEncryption"] == "AES256"
    tags = held.client.get_object_tagging(Bucket=bucket, Key=KEYS[7])["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "kind": "loan-document",
        "package": "0000000007",
    }


@pytest.mark.integration
def test_what_the_shell_has_for_aws_itself_changes_nothing(
    s3: ObjectStoreServer, bucket: str, held: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "mine")
    DocumentStore(s3.endpoint, s3.user, bucket).put(document(KEYS[0]))
    assert len(list(list_versions(held))) == 1


@pytest.mark.integration
def test_rows_and_objects_agree_after_the_load_was_stopped(
    loans: ServerAddress, store: DocumentStore, held: Bucket
) -> None:
    upload(loans, [store])
    with write_load(loans, clients=3, documents=store) as load:
        while load.transactions < 200:
            load.wait(0.05)
    assert objects(held) == rows(loans)
    versions = list(list_versions(held))
    assert any(version.is_delete_marker for version in versions)
    assert len(versions) > len({version.key for version in versions})


@pytest.mark.integration
def test_a_store_that_refuses_ends_the_load(loans: ServerAddress, s3: ObjectStoreServer) -> None:
    nowhere = DocumentStore(s3.endpoint, s3.user, "there-is-none")
    with (
        pytest.raises(FileNotFoundError, match="there-is-none"),
        write_load(loans, clients=1, documents=nowhere) as load,
    ):
        load.wait(30)


@pytest.mark.integration
def test_a_document_whose_row_is_not_written_is_no_missing_one(
    loans: ServerAddress, store: DocumentStore, held: Bucket
) -> None:
    """Whatever ends a client, rows without objects are not what is left."""
    upload(loans, [store])
    with connect(loans, autocommit=False) as connection:
        for step in document_steps(store):
            step(connection, random.Random(1))
            connection.rollback()
    assert objects(held).keys() > rows(loans).keys()
