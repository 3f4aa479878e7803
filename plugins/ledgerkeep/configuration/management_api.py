"""Management APIs of services that are not AWS: one request, understood.

Everything that the services have in common is here: a base address, credentials that become a
header, JSON in and out. A token is fetched when the first request needs it, again shortly before
it ends, and once more when the service says that it does not hold (RFC 6749, 5.2; RFC 6750, 3.1).
A service that is too busy says until when (RFC 9110, Retry-After; or X-RateLimit-Reset, seconds
since 1970), and is waited for, as are failures of its own; the patience is in seconds, as it is
with the object store, because what follows an export has a time of its own and no number of
attempts.

Whether asking twice is harmless is known from the method: everything but POST may be repeated. A
POST is repeated only where it certainly was not carried out.

No secret leaves by this way but in a body or a header: none is in an address (httpx logs those),
none in a message. What a service echoes of a body is masked.
"""

import email.utils
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from ledgerkeep.configuration.items import Content, Secret, opened
from ledgerkeep.errors import ServiceRefused, ServiceUnavailable
from ledgerkeep.storage.patience import pauses

T = TypeVar("T")

_MASK = "***"
_TIMEOUT = 60
_REPEATABLE = {"GET", "PUT", "PATCH", "DELETE"}
_NOT_CARRIED_OUT = {429, 503}
"""Statuses after which even a POST may be repeated."""
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Dialect:
    """How a service words its refusals."""

    service: str
    """As messages call it, lower case."""
    connection: str
    """The Airflow connection, for hints."""
    reason: Callable[[Any], str]
    """The answer's body → what the service says, for people."""
    missing: Callable[[Any], str]
    """The answer's body → the permission that is missing; empty: it does not say."""
    grant: str
    """What to do about `{permission}`; may name `{connection}`."""
    lacks: Callable[[Any], bool] = lambda body: False
    """Whether a body tells of a missing permission, whatever its status."""
    exhausted: Callable[[Any], bool] = lambda body: False
    """Whether a body tells of too many requests, whatever its status."""

    def denied(self, what: str, body: Any, needs: str) -> ServiceRefused:
        """A permission is missing.

        :param needs: it, where the service itself does not say.
        """
        permission = self.missing(body) or needs
        return ServiceRefused(
            f"{self.service} refused to {what}: {permission or 'a permission'} is missing",
            hint=self.grant.format(
                permission=permission or "the permission", connection=self.connection
            ),
        )

    def wrong_credentials(self, what: str) -> ServiceRefused:
        """The credentials hold for nobody."""
        return ServiceRefused(
            f"{self.service} refused to {what}: the credentials are wrong",
            hint=f"correct the login and password of the connection {self.connection}",
        )


class Credentials(ABC):
    """What makes a request ours."""

    @abstractmethod
    def header(self, exchange: "Exchange") -> str:
        """The Authorization header; may fetch a token.

        :raises ServiceRefused: the service gives none.
        """

    def renew(self) -> bool:
        """Forget a token that did not hold; whether another can be had."""
        return False


@dataclass(frozen=True)
class ApiKey(Credentials):
    """A key that holds until it is revoked."""

    key: str = field(repr=False)

    def header(self, exchange: "Exchange") -> str:
        """The key itself."""
        return f"Bearer {self.key}"


class Token(Credentials):
    """A token that is fetched, and ends."""

    _EARLIER = 60
    """Seconds before its end from which on it is not used any more; half its life at most."""

    def __init__(self) -> None:
        self._token = ""
        self._until = 0.0

    def header(self, exchange: "Exchange") -> str:
        """The token, a new one if need be."""
        if not self._token or time.monotonic() >= self._until:
            granted = self.fetch(exchange)
            lives = float(granted.get("expires_in", 3600))
            self._token = str(granted["access_token"])
            self._until = time.monotonic() + lives - min(self._EARLIER, lives / 2)
        return f"Bearer {self._token}"

    def renew(self) -> bool:
        """Forget it."""
        self._token = ""
        return True

    @abstractmethod
    def fetch(self, exchange: "Exchange") -> Mapping[str, Any]:
        """The token endpoint's answer (RFC 6749, 5.1)."""


@dataclass(frozen=True)
class Answer:
    """What a service answered."""

    status: int
    data: Any
    """Of JSON; None without a body."""


@dataclass
class _Busy(Exception):
    """The service did not answer, or not now."""

    message: str
    hint: str
    seconds: float = 0.0
    """That it asked us to wait."""
    again: bool = True


class Exchange:
    """Sends requests, waits where a service is busy. Knows nothing of tokens."""

    def __init__(self, dialect: Dialect, patience: float) -> None:
        self.dialect = dialect
        self._patience = patience
        self._http = httpx.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False)

    def send(
        self, what: str, request: Callable[[], httpx.Request], repeatable: bool
    ) -> httpx.Response:
        """The answer, whatever it says, unless the service is busy beyond our patience.

        :param request: makes the request; asked anew for every attempt.
        :raises ServiceUnavailable:
        """
        began = time.monotonic()
        for pause in pauses():
            try:
                return self._attempt(what, request(), repeatable)
            except _Busy as busy:
                wait = max(pause, busy.seconds)
                if not busy.again or time.monotonic() - began + wait > self._patience:
                    given_up = f"; given up after {self._patience:g} s" if busy.again else ""
                    raise ServiceUnavailable(busy.message + given_up, hint=busy.hint) from None
            time.sleep(wait)
        raise AssertionError("unreachable")

    def poll(self, what: str, ask: Callable[[], T | None]) -> T:
        """Ask until there is an answer, as long as our patience lasts.

        :param what: that is waited for, for messages: "build the action".
        :raises ServiceUnavailable:
        """
        began = time.monotonic()
        for pause in pauses():
            found = ask()
            if found is not None:
                return found
            if time.monotonic() - began + pause > self._patience:
                raise ServiceUnavailable(
                    f"{self.dialect.service} did not {what}; given up after {self._patience:g} s",
                    hint="run it again later: what is done already is found again",
                )
            time.sleep(pause)
        raise AssertionError("unreachable")

    def build(self, method: str, url: str, **rest: Any) -> httpx.Request:
        """A request of ours."""
        return self._http.build_request(method, url, **rest)

    def _attempt(self, what: str, request: httpx.Request, repeatable: bool) -> httpx.Response:
        service, connection = self.dialect.service, self.dialect.connection
        try:
            answer = self._http.send(request)
        except httpx.TransportError as problem:
            untouched = isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout)
            raise _Busy(
                f"{service} did not answer the request to {what}: {problem or type(problem)}",
                f"check the network between the worker and {service}, and the host of the "
                f"connection {connection}",
                again=repeatable or untouched,
            ) from None
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or (
            answer.is_client_error and self.dialect.exhausted(_data(answer))
        ):
            seconds = asked_to_wait(answer.headers, time.time())
            raise _Busy(
                f"{service} has had too many requests to {what}, and asks to wait {seconds:.0f} s",
                "run it again later; if that happens often, raise the source's patience in the "
                "policy",
                seconds=seconds,
            )
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise _Busy(
                f"{service} failed to {what} ({answer.status_code})",
                f"look at the status page of {service}, and run it again: what is done already is "
                "found again",
                seconds=asked_to_wait(answer.headers, time.time()),
                again=repeatable or answer.status_code in _NOT_CARRIED_OUT,
            )
        return answer


class ManagementApi:
    """One service, at one address, with one set of credentials."""

    def __init__(
        self, dialect: Dialect, url: str, credentials: Credentials, patience: float
    ) -> None:
        """Nothing is sent yet.

        :param url: without a slash at its end; paths are put behind it.
        :param patience: seconds that a busy service is waited for.
        """
        self.dialect = dialect
        self.url = url
        self.exchange = Exchange(dialect, patience)
        self._credentials = credentials

    def ask(self, what: str, method: str, path: str, **rest: Any) -> Any:
        """The answer's data; the parameters are those of `send`."""
        return self.send(what, method, path, **rest).data

    def find(self, what: str, path: str, **rest: Any) -> Any:
        """What is there; None where nothing is."""
        answer = self.send(what, "GET", path, tolerate=(404,), **rest)
        return None if answer.status == httpx.codes.NOT_FOUND else answer.data

    def send(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Content = None,
        needs: str = "",
        tolerate: Collection[int] = (),
    ) -> Answer:
        """Ask the service for something.

        :param what: for messages: "list the roles".
        :param path: below the address; names in it quoted.
        :param body: secrets as `Secret`.
        :param needs: the permission, for the hint where the service itself does not say.
        :param tolerate: statuses that are no failure.
        :raises ServiceRefused, ServiceUnavailable:
        """
        rest: dict[str, Any] = {} if body is None else {"json": opened(body)}
        answer = self._authorized(what, method, path, {"params": params or {}, **rest})
        if not answer.is_success and answer.status_code not in tolerate:
            raise self._refusal(what, answer, needs, list(secrets_in(body)))
        return Answer(answer.status_code, _data(answer))

    def download(self, what: str, path: str, needs: str = "") -> bytes | None:
        """The bytes there; None where nothing is."""
        answer = self._authorized(what, "GET", path, {})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise self._refusal(what, answer, needs, [])
        return answer.content

    def upload(self, what: str, path: str, content: bytes, kind: str) -> None:
        """Put bytes there.

        :param kind: their media type.
        """
        rest = {"content": content, "headers": {"Content-Type": kind}}
        answer = self._authorized(what, "PUT", path, rest)
        if not answer.is_success:
            raise self._refusal(what, answer, "", [])

    def _authorized(
        self, what: str, method: str, path: str, rest: Mapping[str, Any]
    ) -> httpx.Response:
        def request() -> httpx.Request:
            made = self.exchange.build(method, self.url + path, **rest)
            made.headers["Authorization"] = self._credentials.header(self.exchange)
            return made

        repeatable = method in _REPEATABLE
        answer = self.exchange.send(what, request, repeatable)
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._credentials.renew():
            answer = self.exchange.send(what, request, repeatable)
        return answer

    def _refusal(
        self, what: str, answer: httpx.Response, needs: str, secrets: Sequence[str]
    ) -> ServiceRefused:
        body = _data(answer)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            return self.dialect.wrong_credentials(what)
        if answer.status_code == httpx.codes.FORBIDDEN or self.dialect.lacks(body):
            return self.dialect.denied(what, body, needs)
        said = masked(self.dialect.reason(body), secrets)
        return ServiceRefused(
            f"{self.dialect.service} refused to {what} ({answer.status_code})",
            hint=said or f"look at what the connection {self.dialect.connection} leads to",
        )


def asked_to_wait(headers: Mapping[str, str], now: float) -> float:
    """Seconds that an answer asks us to wait; 0: it does not say.

    :param now: seconds since 1970.
    """
    after, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
    if after.strip().isdigit():
        return float(after)
    if after:
        parsed = email.utils.parsedate_tz(after)
        return max(0.0, email.utils.mktime_tz(parsed) - now) if parsed else 0.0
    return max(0.0, float(reset) - now) if reset.strip().isdigit() else 0.0


def secrets_in(content: Content) -> Iterator[str]:
    """The values of all secrets in what is sent."""
    if isinstance(content, Secret):
        yield content.value
    elif isinstance(content, Mapping):
        for one in content.values():
            yield from secrets_in(one)
    elif isinstance(content, Sequence) and not isinstance(content, str):
        for one in content:
            yield from secrets_in(one)


def masked(text: str, secrets: Sequence[str]) -> str:
    """What a service says, in one short line, without the values it was sent."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return " ".join(text.split())[:_LONGEST_REASON]


def _data(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        return None
