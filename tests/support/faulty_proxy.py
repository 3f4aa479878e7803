"""An HTTP proxy in front of the object store that fails on request, for tests of failures.

    with FaultyProxy(s3.endpoint) as proxy:
        store = open_store(..., StoreAccess(endpoint_url=proxy.endpoint, ...))
        proxy.fail(slow_down, times=3, method="PUT")

Each rule catches the next requests that fit it, as often as it says; all others pass unchanged,
with the caller's own Host header, so that signatures hold. `requests` names all that came.
"""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

Fault = Callable[["Exchange"], None]


@dataclass
class Rule:
    """Which requests fail, how, and how many of them still."""

    fault: Fault
    times: float
    method: str
    containing: str
    until: float
    hits: int = 0

    def fits(self, method: str, path: str) -> bool:
        """Whether this rule catches the request."""
        wanted = self.method in ("", method) and self.containing in path
        return wanted and self.hits < self.times and time.monotonic() < self.until


class FaultyProxy:
    """Listens on a free port of 127.0.0.1 while its block lasts."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.requests: list[str] = []
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def endpoint(self) -> str:
        """Where clients shall connect."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(
        self,
        fault: Fault,
        *,
        times: float = 1,
        method: str = "",
        containing: str = "",
        seconds: float = float("inf"),
    ) -> Rule:
        """Let the next fitting requests fail; the rule returned counts its `hits`.

        :param containing: a part of path and query, such as `partNumber=2`.
        :param seconds: for how long from now the rule holds.
        """
        rule = Rule(fault, times, method, containing, time.monotonic() + seconds)
        with self._lock:
            self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """Drop all rules."""
        with self._lock:
            self._rules.clear()

    def _fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(f"{method} {path}")
            for rule in self._rules:
                if rule.fits(method, path):
                    rule.hits += 1
                    return rule.fault
        return None


@dataclass
class Exchange:
    """One request, and the means to answer it well or badly."""

    handler: "_Handler"
    body: bytes

    def forward(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """Send the request on and return status, headers and body of the answer."""
        connection = http.client.HTTPConnection(self.handler.owner.upstream, timeout=60)
        try:
            connection.putrequest(
                self.handler.command, self.handler.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.handler.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(self.body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut_at: int | None = None
    ) -> None:
        """Send an answer, or only the first `cut_at` bytes of its body."""
        handler = self.handler
        handler.send_response_only(status)
        sized = False
        for name, value in headers:
            if name.lower() in ("transfer-encoding", "connection"):
                continue
            sized = sized or name.lower() == "content-length"
            handler.send_header(name, value)
        if not sized:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body[:cut_at])

    def hang_up(self) -> None:
        """Close the connection."""
        self.handler.close_connection = True


def passed(exchange: Exchange) -> None:
    """No fault: the answer as the store gave it."""
    exchange.answer(*exchange.forward())


def refused_with(status: int, code: str) -> Fault:
    """The store answers with an S3 error instead of doing anything."""

    def fault(exchange: Exchange) -> None:
        body = f"<Error><Code>{code}</Code><Message>by the test</Message></Error>".encode()
        exchange.answer(status, [("Content-Type", "application/xml")], body)

    return fault


slow_down = refused_with(503, "SlowDown")
"""The store throttles."""


def cut(exchange: Exchange) -> None:
    """The connection breaks before the store has seen the request."""
    exchange.hang_up()


def answer_lost(exchange: Exchange) -> None:
    """The store does as asked, and the connection breaks before its answer arrives."""
    exchange.forward()
    exchange.hang_up()


def truncated(exchange: Exchange) -> None:
    """The connection breaks in the middle of the answer's body."""
    status, headers, body = exchange.forward()
    exchange.answer(status, headers, body, cut_at=len(body) // 2)
    exchange.hang_up()


def flipped(exchange: Exchange) -> None:
    """One bit in the middle of the answer's body is wrong."""
    status, headers, body = exchange.forward()
    damaged = bytearray(body)
    damaged[len(damaged) // 2] ^= 1
    exchange.answer(status, headers, bytes(damaged))


def flipped_request(exchange: Exchange) -> None:
    """One bit in the middle of the request's body is wrong when the store gets it."""
    damaged = bytearray(exchange.body)
    damaged[len(damaged) // 2] ^= 1
    exchange.body = bytes(damaged)
    passed(exchange)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two packets: Nagle would hold the second back for 40 ms, each time.
    disable_nagle_algorithm = True
    owner: FaultyProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.owner._fault_for(self.command, self.path) or passed
        try:
            fault(Exchange(self, body))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
