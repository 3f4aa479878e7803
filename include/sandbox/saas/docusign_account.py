"""What an account of DocuSign holds, and how its API answers: pages, and what is not there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from include.sandbox.saas.server import Refused, Reply, Request

Thing = dict[str, Any]
Handler = Callable[..., Reply]
Route = tuple[str, str, Handler]
"""Method, pattern of a path, and what answers."""
ID = "/([^/]+)"
_MOST = 100
_EVERY = ("GET", "POST", "PUT", "DELETE")


@dataclass
class Account:
    """What an account holds."""

    id: str
    users: dict[str, Thing] = field(default_factory=dict)
    settings: dict[str, Thing] = field(default_factory=dict)
    brands: dict[str, Thing] = field(default_factory=dict)
    logos: dict[tuple[str, str], bytes] = field(default_factory=dict)
    fields: dict[str, Thing] = field(default_factory=dict)
    profiles: dict[str, Thing] = field(default_factory=dict)
    groups: dict[str, Thing] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    signing_groups: dict[str, Thing] = field(default_factory=dict)
    templates: dict[str, Thing] = field(default_factory=dict)
    documents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    connect: dict[str, Thing] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    """First parts of paths that the user may not use."""


def refused(status: int, code: str, said: str) -> Refused:
    """An error as DocuSign words it."""
    return Refused(Reply(status, {"errorCode": code, "message": said}))


def paged(request: Request, member: str, rows: list[Thing]) -> Reply:
    """One page of a list."""
    start, size = int(request.query.get("start_position", 0)), int(request.query.get("count", 10))
    some = rows[start : start + min(size, _MOST)]
    end = start + len(some)
    told: Thing = {
        member: some,
        "resultSetSize": str(len(some)),
        "totalSetSize": str(len(rows)),
        "startPosition": str(start),
        "endPosition": str(max(end - 1, 0)),
    }
    if end < len(rows):
        told["nextUri"] = f"/accounts/x?start_position={end}"
    return Reply(200, told)


def found(things: dict[str, Thing], id_: str, what: str) -> Thing:
    """What has that id.

    :raises Refused: nothing has.
    """
    if id_ not in things:
        raise refused(404, f"INVALID_{what}_ID", f"The {what.lower()} id is invalid.")
    return things[id_]


def every(path: str, handle: Handler, methods: tuple[str, ...] = _EVERY) -> list[Route]:
    """The same answers some methods."""
    return [(method, path, handle) for method in methods]
