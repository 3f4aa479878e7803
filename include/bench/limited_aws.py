"""The AWS stand-in with the request rates that AWS publishes, which moto does not have.

Each operation of an account has a bucket of tokens that fills up again at a fixed rate, and a
request without one is refused as the service refuses it. Where AWS publishes no rate (IAM, the
lists and tags of Systems Manager), there is none here either.
(Amazon EC2 developer guide, Request throttling; AWS general reference, Systems Manager quotas.)

    python -m include.bench.limited_aws --port 5000
"""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from include.sandbox.aws_requests import App, action_of, caller_of
from include.sandbox.aws_server import serve

READ_VALUES = 40.0
"""GetParameter, GetParameters and GetParametersByPath of an account together, per second."""
DESCRIBE, DESCRIBE_BURST = 20.0, 100.0
"""Each Describe… of EC2 with a page size: per second, and at once."""


@dataclass
class Bucket:
    """Tokens that come back."""

    rate: float
    """Per second."""
    size: float
    left: float
    at: float = field(default_factory=monotonic)

    def take(self) -> bool:
        """Take one, if there is one."""
        now = monotonic()
        self.left = min(self.size, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def limited(app: App) -> App:
    """Refuse what comes too fast."""
    buckets: dict[tuple[str, str], Bucket] = {}
    lock = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        caller = caller_of(environ)
        limit = caller and _limit(caller.service, action_of(environ))
        if not caller or not limit:
            return app(environ, start_response)
        name, rate, size = limit
        with lock:
            bucket = buckets.setdefault((caller.account, name), Bucket(rate, size, size))
            free = bucket.take()
        return app(environ, start_response) if free else _refuse(caller.service, start_response)

    return answer


def _limit(service: str, action: str) -> tuple[str, float, float] | None:
    if service == "ssm" and action.startswith("GetParameter"):
        return "values", READ_VALUES, READ_VALUES
    if service == "ec2" and action.startswith("Describe"):
        return action, DESCRIBE, DESCRIBE_BURST
    return None


def _refuse(service: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
    if service == "ec2":
        start_response("503 Service Unavailable", [("Content-Type", "text/xml")])
        error = "<Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message>"
        return [f"<Response><Errors>{error}</Error></Errors></Response>".encode()]
    start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")])
    return [json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()]


if __name__ == "__main__":
    serve(limited)
