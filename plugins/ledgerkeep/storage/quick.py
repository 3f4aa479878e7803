"""Small requests without a body, signed and sent without botocore's model of each operation.

A copy or a delete within the store moves no bytes through the worker, and botocore's own work for
one (validation, serialising, events, parsing: about two milliseconds of processor time) is then
what a recovery of a hundred thousand documents spends its time on. Half of it is spared by signing
these few requests here; they go over botocore's own HTTP session, with the credentials of the same
boto3 session. Failures are raised as botocore raises them, so that they are told and waited for as
everywhere. (AWS: "Signature Version 4 signing process"; S3 API reference.)
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.hooks import first_non_none_response
from botocore.httpsession import URLLib3Session

from ledgerkeep.model import utc_now

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from mypy_boto3_s3.client import S3Client

_EMPTY = hashlib.sha256(b"").hexdigest()
_FAILED = 300


class QuickSender:
    """Signs and sends; threads may share it."""

    def __init__(
        self,
        client: "S3Client",
        credentials: "Callable[[], ReadOnlyCredentials]",
        session: URLLib3Session,
        *,
        base: str,
    ) -> None:
        """Send what `client` would.

        :param base: URL of the bucket, without a slash at its end.
        """
        self._region = client.meta.region_name
        self._events = client.meta.events
        self._credentials = credentials
        self._session = session
        parts = urlsplit(base)
        self._host, self._path = parts.netloc, parts.path
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._derived: tuple[str, str, bytes] = ("", "", b"")

    def send(
        self, operation: str, method: str, key: str, headers: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bytes]:
        """Headers (of any case) and body of the answer.

        :param operation: as botocore names it, such as CopyObject.
        :raises ClientError: the store refused, also where it says so behind a 200.
        :raises HTTPClientError: it did not answer.
        """
        path = f"{self._path}/{quote(key, safe='/-_.~')}"
        signed = self._signed(method, path, headers)
        request = AWSRequest(method=method, url=self._origin + path, headers=signed).prepare()
        # As botocore does it, so that whatever listens there (a test's double) has its turn.
        heard = self._events.emit(f"before-send.s3.{operation}", request=request)
        answer = first_non_none_response(heard)
        if answer is None:
            answer = self._session.send(request)
        body: bytes = answer.content
        if answer.status_code >= _FAILED or b"<Error>" in body[:300]:
            raise _refusal(operation, answer.status_code, body)
        return answer.headers, body

    def _signed(self, method: str, path: str, headers: Mapping[str, str]) -> dict[str, str]:
        now, who = utc_now(), self._credentials()
        if who.secret_key is None:
            raise NoCredentialsError
        stamp = f"{now:%Y%m%dT%H%M%SZ}"
        told = {
            **{name.lower(): " ".join(value.split()) for name, value in headers.items()},
            "host": self._host,
            "x-amz-content-sha256": _EMPTY,
            "x-amz-date": stamp,
        }
        if who.token:
            told["x-amz-security-token"] = who.token
        names = sorted(told)
        listed = ";".join(names)
        canonical = "\n".join(
            [method, path, "", *(f"{name}:{told[name]}" for name in names), "", listed, _EMPTY]
        )
        scope = f"{stamp[:8]}/{self._region}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        signature = hmac.new(self._key(now, who.secret_key), text.encode(), hashlib.sha256)
        told["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={who.access_key}/{scope}, "
            f"SignedHeaders={listed}, Signature={signature.hexdigest()}"
        )
        return told

    def _key(self, now: datetime, secret: str) -> bytes:
        """The day's signing key, made once."""
        day = f"{now:%Y%m%d}"
        known_day, known_secret, key = self._derived
        if (known_day, known_secret) != (day, secret):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._derived = (day, secret, key)
        return key


def text_of(body: bytes, name: str) -> str:
    """The text of the first element of that name, whatever its namespace; empty: there is none."""
    for element in ElementTree.fromstring(body).iter():  # noqa: S314 - of the store itself
        if element.tag.rpartition("}")[2] == name:
            return element.text or ""
    return ""


def _refusal(operation: str, status: int, body: bytes) -> ClientError:
    try:
        code, message = text_of(body, "Code"), text_of(body, "Message")
    except ElementTree.ParseError:
        code, message = "", ""
    error: Any = {
        "Error": {"Code": code or str(status), "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(error, operation)
