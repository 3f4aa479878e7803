"""A stand-in for three services that cannot run here: one HTTP server that speaks their APIs.

What it answers follows the services' published descriptions: paths, pages, errors, headers, what
is refused. State is in memory, and gone with the process. Like the real ones it makes ids and
times of its own, gives tokens that end, wants a permission for everything, and has limits; those,
and failures, can be switched on for a test. It is no copy of anybody's code, and no more complete
than what this project asks of it.
"""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """What somebody asks."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body; None without one."""
        return json.loads(self.body) if self.body else None

    def form(self) -> dict[str, str]:
        """A form's fields."""
        return {name: one[0] for name, one in parse_qs(self.body.decode()).items()}

    @property
    def bearer(self) -> str:
        """The token or key."""
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    status: int = 200
    data: Any = None
    """JSON; bytes are sent as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request is refused, with the service's own words."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Service(ABC):
    """One of the services."""

    name: str

    @abstractmethod
    def concerns(self, request: Request) -> bool:
        """Whether a request is for this one."""

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """Its answer.

        :raises Refused:
        """

    @abstractmethod
    def busy(self) -> Any:
        """What it says when there are too many requests."""


@dataclass
class Fault:
    """What fails next."""

    status: int
    times: int
    containing: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class SaasServer:
    """The services behind one port, and the switches for what goes wrong."""

    def __init__(self, *services: Service, host: str = "127.0.0.1", port: int = 0) -> None:
        """Not yet listening for anybody.

        :param port: 0: any that is free.
        """
        self.services = services
        self.requests: list[tuple[str, str]] = []
        """(method, path with query) of all that came."""
        self.faults: list[Fault] = []
        self._left: int | None = None
        self._reset = 0.0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def limit(self, requests: int, seconds: float) -> None:
        """After so many requests there are too many, for so long; then as many again."""
        self._left, self._reset = requests, time() + seconds

    def fail(self, status: int, times: int = 1, containing: str = "", **headers: str) -> None:
        """The next requests with that in their path get this status."""
        named = {name.replace("_", "-"): one for name, one in headers.items()}
        self.faults.append(Fault(status, times, containing, named))

    def serve(self) -> None:
        """Answer until `stop`."""
        self._server.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: Request) -> Reply:
        """One at a time."""
        with self._lock:
            query = "&".join(f"{name}={one}" for name, one in request.query.items())
            self.requests.append((request.method, f"{request.path}?{query}".rstrip("?")))
            failed = self._failed(request)
            if failed is not None:
                return failed
            service = next((one for one in self.services if one.concerns(request)), None)
            if service is None:
                return Reply(404, {"message": "Not Found"})
            limited = self._limited(service)
            if limited is not None:
                return limited
            try:
                return service.answer(request)
            except Refused as refused:
                return refused.reply

    def _failed(self, request: Request) -> Reply | None:
        for fault in self.faults:
            if fault.times > 0 and fault.containing in request.path:
                fault.times -= 1
                return Reply(fault.status, {"message": "Something failed"}, fault.headers)
        return None

    def _limited(self, service: Service) -> Reply | None:
        if self._left is None:
            return None
        if time() >= self._reset:
            self._left = None
            return None
        self._left -= 1
        if self._left >= 0:
            return None
        headers = {
            "X-RateLimit-Limit": "10",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(self._reset) + 1),
        }
        return Reply(429, service.busy(), headers)


@contextmanager
def running(server: SaasServer) -> Iterator[SaasServer]:
    """The server in a thread, for as long as the block lasts."""
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def moment() -> str:
    """Now, as these services write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _handler(server: SaasServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave together; else each answer waits for an acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            address = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            query = {
                name: one[0]
                for name, one in parse_qs(address.query, keep_blank_values=True).items()
            }
            headers = {name.title(): one for name, one in self.headers.items()}
            body = self.rfile.read(length)
            reply = server.answer(Request(self.command, address.path, query, headers, body))
            data = reply.data
            told = b"" if data is None else data if isinstance(data, bytes) else json.dumps(data)
            content = told.encode() if isinstance(told, str) else told
            self.send_response(reply.status)
            for name, one in reply.headers.items():
                self.send_header(name, one)
            kind = "application/octet-stream" if isinstance(data, bytes) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, *args: Any) -> None:
            """Nothing on the console."""

    return Handler
