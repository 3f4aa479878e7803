"""Requests that are signed here: accepted by a store that checks signatures, refused as usual."""

import dataclasses
from urllib.parse import quote

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from moto import mock_aws

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.errors import ObjectConflict, ObjectMissing, StoreAccessDenied, StoreUnavailable
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.open import StoreAccess, open_documents
from ledgerkeep.storage.quick import QuickSender
from ledgerkeep.worker import WorkerSettings
from tests.support.buckets import documents_bucket
from tests.support.faulty_proxy import FaultyProxy, answer_lost

pytestmark = pytest.mark.integration

ODD_KEYS = ["a b/c+d%20e.pdf", "ünï/ß日本語🙂", "x" * 1024, "~!$*()&'=:@,;#?[]"]


@pytest.fixture
def there(s3: ObjectStoreServer, bucket: str) -> Bucket:
    return documents_bucket(s3, bucket)


def quick(bucket: Bucket) -> QuickSender:
    assert bucket.quick is not None
    return bucket.quick


@pytest.mark.parametrize("key", ODD_KEYS)
def test_signature_holds_for_keys_of_any_characters(there: Bucket, key: str) -> None:
    # Asked again where need be: SeaweedFS refuses the longest keys now and then.
    put = there.ask(
        "put", lambda: there.client.put_object(Bucket=there.name, Key=key, Body=b"1"), key=key
    )
    source = quote(f"{there.name}/{key}", safe="/-_.~")
    headers, body = quick(there).send(
        "CopyObject", "PUT", key, {"x-amz-copy-source": f"{source}?versionId={put['VersionId']}"}
    )
    assert put["ETag"].strip('"') in body.decode()
    assert headers["x-amz-version-id"] not in ("", put["VersionId"])
    headers, _ = quick(there).send("DeleteObject", "DELETE", key, {})
    with pytest.raises(ClientError):
        there.client.head_object(Bucket=there.name, Key=key)


def ask(bucket: Bucket, method: str, key: str, headers: dict[str, str]) -> object:
    return bucket.ask("copy", lambda: quick(bucket).send("CopyObject", method, key, headers))


def test_refusals_become_the_same_errors(there: Bucket) -> None:
    there.client.put_object(Bucket=there.name, Key="a", Body=b"1")
    source = {"x-amz-copy-source": f"{there.name}/a"}
    with pytest.raises(ObjectConflict):
        ask(there, "PUT", "a", {**source, "if-none-match": "*"})
    with pytest.raises(ObjectMissing):
        ask(there, "PUT", "a", {"x-amz-copy-source": f"{there.name}/nothing"})


def test_wrong_secret_is_refused(s3: ObjectStoreServer, bucket: str) -> None:
    user = dataclasses.replace(s3.user, secret_key="wrong")
    wrong = documents_bucket(dataclasses.replace(s3, user=user), bucket)
    with pytest.raises(StoreAccessDenied):
        ask(wrong, "DELETE", "a", {})


def test_lost_answer_is_a_store_that_did_not_answer(s3: ObjectStoreServer, bucket: str) -> None:
    with FaultyProxy(s3.endpoint) as proxy:
        away = documents_bucket(s3, bucket, endpoint=proxy.endpoint, patience=0)
        proxy.fail(answer_lost, method="DELETE")
        with pytest.raises(StoreUnavailable):
            ask(away, "DELETE", "a", {})


def test_error_behind_a_200_is_an_error(there: Bucket) -> None:
    """S3 begins its answer to a long copy before it knows how it ends."""

    class Raw:
        def stream(self, **_: object) -> list[bytes]:
            return [b"<?xml version='1.0'?><Error><Code>InternalError</Code></Error>"]

    there.client.meta.events.register(
        "before-send.s3.CopyObject", lambda **_: AWSResponse("", 200, {}, Raw())
    )
    with pytest.raises(ClientError, match="InternalError"):
        quick(there).send("CopyObject", "PUT", "a", {})


@mock_aws
def test_aws_is_addressed_by_host_unless_the_bucket_has_a_dot() -> None:
    seen = []
    for name in ("documents", "docu.ments"):
        opened = open_documents(
            Documents(connection_id="x", bucket=name, region="eu-west-1"),
            load_environment("development").storage,
            WorkerSettings(store_encryption="none"),
            StoreAccess(access_key="a", secret_key="b", session_token="t"),
        )
        opened.client.meta.events.register_first(
            "before-send.s3.DeleteObject", lambda request, **_: seen.append(request)
        )
        with pytest.raises(ClientError):
            quick(opened).send("DeleteObject", "DELETE", "a/b", {})
    assert [request.url for request in seen] == [
        "https://documents.s3.eu-west-1.amazonaws.com/a/b",
        "https://s3.eu-west-1.amazonaws.com/docu.ments/a/b",
    ]
    assert seen[0].headers["x-amz-security-token"] in ("t", b"t")
