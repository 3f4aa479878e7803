"""Client library failures in our own words."""

import pytest
from botocore import exceptions as boto

from ledgerkeep.errors import (
    BucketMissing,
    ObjectConflict,
    ObjectMissing,
    StorageError,
    StoreAccessDenied,
    StoreUnavailable,
)
from ledgerkeep.storage.failures import Request, translate

ENDPOINT = "https://s3.eu-central-1.amazonaws.com"
PUT = Request("put", "loans", ENDPOINT, "a/b")


def answer(code: str, message: str = "") -> boto.ClientError:
    return boto.ClientError({"Error": {"Code": code, "Message": message}}, "PutObject")


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (
            "SlowDown",
            StoreUnavailable,
            "s3://loans is too busy for put of s3://loans/a/b (SlowDown)",
        ),
        ("503", StoreUnavailable, "s3://loans is too busy for put of s3://loans/a/b (503)"),
        (
            "InternalError",
            StoreUnavailable,
            "s3://loans failed at put of s3://loans/a/b (InternalError)",
        ),
        (
            "BadDigest",
            StoreUnavailable,
            "what put of s3://loans/a/b sent arrived damaged (BadDigest)",
        ),
        (
            "NoSuchBucket",
            BucketMissing,
            "bucket loans does not exist at https://s3.eu-central-1.amazonaws.com",
        ),
        ("NoSuchUpload", ObjectMissing, "the upload of s3://loans/a/b is gone"),
        ("PreconditionFailed", ObjectConflict, "s3://loans/a/b exists already"),
        ("ExpiredToken", StoreAccessDenied, "the credentials for s3://loans have expired"),
        (
            "RequestTimeTooSkewed",
            StoreAccessDenied,
            f"the clocks of this worker and of {ENDPOINT} differ too much",
        ),
        (
            "KMS.DisabledException",
            StoreAccessDenied,
            "put of s3://loans/a/b was refused by KMS (KMS.DisabledException)",
        ),
        ("PermanentRedirect", StorageError, "bucket loans lies in another region"),
        ("EntityTooLarge", StorageError, "put of s3://loans/a/b was refused: EntityTooLarge: why"),
    ],
)
def test_an_answer_becomes_our_error(code, kind, message):
    problem = translate(answer(code, "why"), PUT)
    assert type(problem) is kind
    assert problem.message == message
    assert problem.hint


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (boto.EndpointConnectionError(endpoint_url="x"), "no connection"),
        (boto.ConnectTimeoutError(endpoint_url="x"), "timed out"),
        (boto.ReadTimeoutError(endpoint_url="x"), "timed out"),
        (boto.ConnectionClosedError(endpoint_url="x"), "the connection broke"),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), "the answer was cut short"),
    ],
)
def test_a_broken_line_is_worth_another_try(problem, why):
    told = translate(problem, PUT)
    assert type(told) is StoreUnavailable
    assert told.message == (
        f"https://s3.eu-central-1.amazonaws.com did not answer put of s3://loans/a/b: {why}"
    )


def test_missing_credentials_and_an_untrusted_certificate_are_told():
    nobody = translate(boto.NoCredentialsError(), PUT)
    assert type(nobody) is StoreAccessDenied
    assert nobody.message == "no credentials were found for s3://loans"
    assert nobody.hint == (
        "set them in the Airflow connection that storage.connection_id names, "
        "or give the worker a role"
    )
    untrusted = translate(boto.SSLError(endpoint_url="x", error="self-signed"), PUT)
    assert type(untrusted) is StorageError
    assert untrusted.message == (
        "the TLS certificate of https://s3.eu-central-1.amazonaws.com is not trusted"
    )
    assert untrusted.hint == (
        "set AWS_CA_BUNDLE to the authority's certificate, or correct the endpoint"
    )


def test_a_request_that_could_not_be_made_is_told():
    told = translate(boto.ParamValidationError(report="bad\n key"), PUT)
    assert type(told) is StorageError
    assert told.message == (
        "put of s3://loans/a/b could not be sent: Parameter validation failed: bad key"
    )
