"""Client library failures in our own words.

boto3 and obstore each tell the same few stories in many ways: by exception class, by error code,
by status alone (an answer to HEAD has no body). Here each becomes one of our errors, with what a
person can do about it. What nobody foresaw becomes a plain `StorageError` with the store's words.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import obstore.exceptions
from botocore import exceptions as boto
from urllib3.exceptions import HTTPError

from ledgerkeep.errors import (
    BucketMissing,
    ObjectConflict,
    ObjectCorrupt,
    ObjectMissing,
    StorageError,
    StoreAccessDenied,
    StoreUnavailable,
)

CLIENT_FAILURES = (
    boto.BotoCoreError,
    boto.ClientError,
    HTTPError,
    obstore.exceptions.BaseError,
    FileNotFoundError,
)
"""Everything the two clients raise when a request fails."""

CORRUPT_HINT = (
    "do not restore from it: use another recovery point, or an earlier version of the object"
)

_BROKEN = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, HTTPError)
_BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "503",
    "429",
}
_FAILING = {
    "InternalError",
    "InternalFailure",
    "RequestTimeout",
    "ConditionalRequestConflict",
    "500",
    "502",
    "504",
}
_DAMAGED = {"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
_ELSEWHERE = {"PermanentRedirect", "301", "AuthorizationHeaderMalformed"}
_REJECTED = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "InvalidSecurity",
}
_CODE = re.compile(r"<Code>([^<]+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_PERMISSIONS = {
    "list": "s3:ListBucket",
    "put": "s3:PutObject (and s3:PutObjectRetention with storage.object_lock)",
    "head": "s3:GetObject",
    "get": "s3:GetObject",
    "retain": "s3:PutObjectRetention",
    "hold": "s3:PutObjectLegalHold",
    "copy": "s3:GetObjectVersion and s3:GetObjectVersionTagging on the source, s3:PutObject and "
    "s3:PutObjectTagging",
    "get tags": "s3:GetObjectVersionTagging",
    "restore": "s3:RestoreObject",
    "delete": "s3:DeleteObjectVersion",
    "list versions": "s3:ListBucketVersions",
    "list uploads": "s3:ListBucketMultipartUploads",
    "abort": "s3:AbortMultipartUpload",
    "get lock": "s3:GetBucketObjectLockConfiguration",
    "head bucket": "s3:ListBucket",
    "set versioning": "s3:PutBucketVersioning",
    "set encryption": "s3:PutEncryptionConfiguration",
    "set object lock": "s3:PutBucketObjectLockConfiguration",
    "set lifecycle": "s3:PutLifecycleConfiguration",
    "set replication": "s3:PutReplicationConfiguration and iam:PassRole",
    "set public access block": "s3:PutBucketPublicAccessBlock",
    "set bucket policy": "s3:PutBucketPolicy",
    "set access logging": "s3:PutBucketLogging",
    "set ownership": "s3:PutBucketOwnershipControls",
}


@dataclass(frozen=True)
class Request:
    """What was asked of which store, for messages."""

    verb: str
    bucket: str
    endpoint: str
    key: str = ""

    @property
    def target(self) -> str:
        """`s3://bucket` or `s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"


def translate(problem: Exception, request: Request) -> StorageError:
    """The error to raise in place of a client library's."""
    if isinstance(problem, boto.ClientError):
        return _from_answer(problem, request)
    if isinstance(problem, boto.NoCredentialsError | boto.PartialCredentialsError):
        return StoreAccessDenied(
            f"no credentials were found for s3://{request.bucket}",
            hint="set them in the Airflow connection that storage.connection_id names, "
            "or give the worker a role",
        )
    if isinstance(problem, boto.SSLError):
        return _untrusted(request)
    if isinstance(problem, obstore.exceptions.BaseError | FileNotFoundError):
        return _from_obstore(problem, request)
    if isinstance(problem, _BROKEN):
        return _unreachable(problem, request)
    return StorageError(
        f"{request.verb} of {request.target} could not be sent: {_one_line(problem)}",
        hint="check the storage section of the policy and the Airflow connection it names",
    )


def _from_answer(problem: boto.ClientError, request: Request) -> StorageError:
    error = problem.response["Error"]
    return _from_code(error.get("Code", ""), error.get("Message", ""), request)


def _from_obstore(problem: Exception, request: Request) -> StorageError:
    """Tell obstore's failure, whose text holds the store's answer (or just its status)."""
    text = str(problem)
    code, status = _CODE.search(text), _STATUS.search(text)
    if code is not None:
        return _from_code(code[1], "", request)
    if status is not None:
        return _from_code(status[1], "", request)
    if isinstance(problem, FileNotFoundError):
        return _object_missing("404", request)
    return _unreachable(problem, request)


def _from_code(code: str, words: str, request: Request) -> StorageError:
    for codes, make in _FAMILIES:
        if code in codes:
            return make(code, request)
    if code.startswith("KMS."):
        return _key_refused(code, request)
    return StorageError(
        f"{request.verb} of {request.target} was refused: {code}: {words}".rstrip(": "),
        hint="the words are the store's own; look the code up in its documentation",
    )


def _busy(code: str, request: Request) -> StorageError:
    return StoreUnavailable(
        f"s3://{request.bucket} is too busy for {request.verb} of {request.target} ({code})",
        hint="the store throttles: lower storage.concurrency, or run again when it has less to do",
    )


def _failing(code: str, request: Request) -> StorageError:
    return StoreUnavailable(
        f"s3://{request.bucket} failed at {request.verb} of {request.target} ({code})",
        hint="the fault is at the store: look at its status, then run again; "
        "where it has no KMS, set LEDGERKEEP_STORE_ENCRYPTION to AES256 or none",
    )


def _damaged(code: str, request: Request) -> StorageError:
    return StoreUnavailable(
        f"what {request.verb} of {request.target} sent arrived damaged ({code})",
        hint="nothing wrong was stored; look for a faulty proxy, network card or memory",
    )


def _elsewhere(_code: str, request: Request) -> StorageError:
    return StorageError(
        f"bucket {request.bucket} lies in another region",
        hint="correct storage.region in the policy, or the region of the Airflow connection",
    )


def _ends_early(_code: str, request: Request) -> StorageError:
    return ObjectCorrupt(
        f"{request.target} ends before the bytes that were asked for", hint=CORRUPT_HINT
    )


def _bucket_missing(_code: str, request: Request) -> StorageError:
    return BucketMissing(
        f"bucket {request.bucket} does not exist at {request.endpoint}",
        hint="create it with versioning and Object Lock, or correct storage.bucket in the policy",
    )


def _object_missing(_code: str, request: Request) -> StorageError:
    return ObjectMissing(
        f"{request.target} does not exist",
        hint="was it deleted, or does the policy name another bucket? "
        "with versioning an earlier version can be restored",
    )


def _upload_missing(_code: str, request: Request) -> StorageError:
    return ObjectMissing(
        f"the upload of {request.target} is gone",
        hint="a sweep or a lifecycle rule aborted it; run again",
    )


def _denied(_code: str, request: Request) -> StorageError:
    permission = _PERMISSIONS.get(request.verb, "the permission")
    return StoreAccessDenied(
        f"{request.verb} of {request.target} was denied",
        hint=f"grant {permission} on s3://{request.bucket} to the identity of the worker, "
        "and with SSE-KMS the use of the key",
    )


def _rejected(code: str, request: Request) -> StorageError:
    return StoreAccessDenied(
        f"{request.endpoint} does not accept the credentials ({code})",
        hint="correct the access key and secret in the Airflow connection that "
        "storage.connection_id names",
    )


def _expired(_code: str, request: Request) -> StorageError:
    return StoreAccessDenied(
        f"the credentials for s3://{request.bucket} have expired",
        hint="renew the session token, or let the worker use a role that renews itself",
    )


def _skewed(_code: str, request: Request) -> StorageError:
    return StoreAccessDenied(
        f"the clocks of this worker and of {request.endpoint} differ too much",
        hint="set the worker's clock (NTP)",
    )


def _key_refused(code: str, request: Request) -> StorageError:
    return StoreAccessDenied(
        f"{request.verb} of {request.target} was refused by KMS ({code})",
        hint="check that the key of storage.encryption.key_id exists in the bucket's region, "
        "is enabled, and may be used by the identity of the worker",
    )


def _frozen(_code: str, request: Request) -> StorageError:
    return StorageError(
        f"{request.target} lies in cold storage and cannot be read yet",
        hint="ask the store for a readable copy (aws s3api restore-object) and wait until it is "
        "there, up to 48 hours; then run again",
    )


def _conflict(_code: str, request: Request) -> StorageError:
    return ObjectConflict(
        f"{request.target} exists already",
        hint="nothing was overwritten; another run may have written it",
    )


def _untrusted(request: Request) -> StorageError:
    return StorageError(
        f"the TLS certificate of {request.endpoint} is not trusted",
        hint="set AWS_CA_BUNDLE to the authority's certificate, or correct the endpoint",
    )


def _unreachable(problem: Exception, request: Request) -> StorageError:
    return StoreUnavailable(
        f"{request.endpoint} did not answer {request.verb} of {request.target}: {_why(problem)}",
        hint="check that the store runs, and the endpoint and network between worker and store",
    )


def _why(problem: Exception) -> str:
    text = str(problem)
    timeouts = boto.ConnectTimeoutError | boto.ReadTimeoutError
    if isinstance(problem, timeouts) or "timed out" in text or "kind: Timeout" in text:
        return "timed out"
    if isinstance(problem, boto.EndpointConnectionError) or "kind: Connect" in text:
        return "no connection"
    cut_short = isinstance(problem, boto.IncompleteReadError)
    if cut_short or "IncompleteBody" in text or "IncompleteRead" in text:
        return "the answer was cut short"
    return "the connection broke"


_FAMILIES: list[tuple[set[str], Callable[[str, Request], StorageError]]] = [
    (_BUSY, _busy),
    (_FAILING, _failing),
    (_DAMAGED, _damaged),
    (_REJECTED, _rejected),
    ({"NoSuchBucket"}, _bucket_missing),
    ({"NoSuchUpload"}, _upload_missing),
    ({"NoSuchKey", "NoSuchVersion", "404"}, _object_missing),
    ({"InvalidRange", "416"}, _ends_early),
    ({"AccessDenied", "AllAccessDisabled", "401", "403"}, _denied),
    ({"ExpiredToken", "ExpiredTokenException", "RequestExpired"}, _expired),
    ({"RequestTimeTooSkewed"}, _skewed),
    ({"PreconditionFailed", "412"}, _conflict),
    ({"InvalidObjectState", "ObjectNotInActiveTierError"}, _frozen),
    (_ELSEWHERE, _elsewhere),
]


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())
