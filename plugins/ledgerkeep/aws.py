"""Requests to AWS services other than the object store, and their failures in our own words.

boto3 waits and tries again by itself (its adaptive mode, which also slows down where a service
throttles); what is left is told here: a service that cannot be reached, one that is too busy, one
that says no. The hint names the permission that is missing, since that is nearly always why.
(AWS SDKs and Tools reference guide, Retry behavior.)
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import botocore.exceptions as boto

from ledgerkeep.errors import AwsRefused, AwsUnavailable

T = TypeVar("T")

_BUSY = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TooManyUpdates",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "EC2ThrottledException",
    "BandwidthLimitExceeded",
    "SlowDown",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestTimeout",
    "RequestTimeoutException",
    "PriorRequestNotComplete",
    "ConcurrentModification",
    "EntityTemporarilyUnmodifiable",
    "InternalError",
    "InternalServerError",
    "InternalServiceError",
    "InternalServiceErrorException",
    "InternalFailure",
    "KMSInternalException",
    "ServerException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "WAFInternalErrorException",
    "503",
}
"""Besides every answer with a status of 500 or more."""
_BROKEN = 500
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthFailure",
    "KMS.AccessDeniedException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "403",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
}


def ask(
    what: str,
    send: Callable[[], T],
    *,
    denied: str,
    connection: str,
    hints: Mapping[str, str] | None = None,
) -> T:
    """Send a request.

    :param what: what is done, for messages: "read the parameter /a".
    :param denied: what to allow to whom, for the hint when AWS says no.
    :param connection: the policy's field that names the Airflow connection, for the hint when
        nobody answers.
    :param hints: AWS error code → what to do about it.
    :raises AwsRefused, AwsUnavailable:
    """
    try:
        return send()
    except boto.ClientError as problem:
        raise refusal(what, problem, denied=denied, hints=hints or {}) from problem
    except boto.BotoCoreError as problem:
        raise AwsUnavailable(
            f"aws did not answer the request to {what}: {' '.join(str(problem).split())}",
            hint="check the network between the worker and AWS, and the region and endpoint "
            f"of the Airflow connection {connection}",
        ) from problem


def paged(
    what: str,
    client: Any,
    operation: str,
    member: str,
    *,
    denied: str,
    connection: str,
    hints: Mapping[str, str] | None = None,
    **request: Any,
) -> Iterator[Any]:
    """What an operation lists, page by page.

    :param operation: as the client calls it, such as `list_roles`.
    :param member: of each page's answer, that holds the list; `a.b` for one inside another.
    :raises AwsRefused, AwsUnavailable:
    """
    pages = iter(client.get_paginator(operation).paginate(**request))
    while True:
        page = ask(
            what, lambda: next(pages, None), denied=denied, connection=connection, hints=hints
        )
        if page is None:
            return
        for name in member.split("."):
            page = page.get(name, {})
        yield from page


def refusal(
    what: str, problem: boto.ClientError, *, denied: str, hints: Mapping[str, str]
) -> AwsRefused:
    """What AWS answered, in our own words."""
    code = error_code(problem)
    status = problem.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BUSY or status >= _BROKEN:
        return AwsUnavailable(
            f"aws was too busy to {what} ({code})", hint="nothing was changed; it is tried again"
        )
    known = {**dict.fromkeys(_DENIED, denied), **hints}
    return AwsRefused(
        f"aws refused to {what} ({code})",
        hint=known.get(code, problem.response["Error"].get("Message", "")),
    )


def error_code(problem: boto.ClientError) -> str:
    """The code that AWS gave the failure; empty when it gave none."""
    return problem.response.get("Error", {}).get("Code", "")


def refused_with(problem: AwsRefused) -> str:
    """The code behind a refusal; empty when it was not AWS that refused."""
    cause = problem.__cause__
    return error_code(cause) if isinstance(cause, boto.ClientError) else ""
