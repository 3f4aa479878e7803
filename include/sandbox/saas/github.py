"""GitHub's REST API, as far as branch protection goes.

Requests are checked as there: which members a protection must name, that checks are named one way,
that a person's repository has no lists of people, and what a token may do. An answer tells a
setting as GitHub tells it, with addresses that nobody asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from include.sandbox.saas.server import Refused, Reply, Request, Service

_REQUIRED = (
    "required_status_checks",
    "enforce_admins",
    "required_pull_request_reviews",
    "restrictions",
)
_SWITCHES = (
    "required_linear_history",
    "allow_force_pushes",
    "allow_deletions",
    "block_creations",
    "required_conversation_resolution",
    "lock_branch",
    "allow_fork_syncing",
)
_LISTS = ("dismissal_restrictions", "bypass_pull_request_allowances")
_REPOSITORY = 3
"""Parts of `/repos/owner/name`."""
Thing = dict[str, Any]


@dataclass
class Repository:
    """What GitHub knows of one, apart from its code."""

    default_branch: str = "main"
    branches: set[str] = field(default_factory=lambda: {"main"})
    protections: dict[str, Thing] = field(default_factory=dict)
    """Branch → the request that protects it."""
    signed: set[str] = field(default_factory=set)
    """Branches that take signed commits only."""
    personal: bool = False
    """It belongs to a person, not to an organization."""


class GitHub(Service):
    """Some repositories, and who may do what."""

    name = "github"

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """No repository yet.

        :param tokens: token → `write`, `read` (administration), or empty (code only).
        """
        self.tokens = dict(tokens)
        self.repositories: dict[str, Repository] = {}
        self.limits: list[Mapping[str, str]] = []
        """Headers of the next answers about protection, all of them 403: too many requests."""

    def concerns(self, request: Request) -> bool:
        """Everything below /repos."""
        return request.path.startswith("/repos/")

    def busy(self) -> Any:
        """As it words it."""
        return {"message": "API rate limit exceeded"}

    def answer(self, request: Request) -> Reply:
        """One request's answer."""
        level = self.tokens.get(request.bearer)
        if level is None:
            raise _refused(401, "Bad credentials")
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        repository = self.repositories.get("/".join(parts[1:_REPOSITORY]))
        if repository is None:
            raise _refused(404, "Not Found")
        rest = parts[_REPOSITORY:]
        if self.limits and "protection" in rest:
            headers = self.limits.pop()
            raise Refused(
                Reply(403, {"message": "You have exceeded a secondary rate limit"}, headers)
            )
        if request.method == "GET" and rest == ["branches"]:
            return _branches(repository, request.query)
        if not level or (level == "read" and request.method != "GET"):
            raise _refused(403, "Resource not accessible by personal access token")
        if not rest and request.method == "PATCH":
            return _patched(repository, request.json())
        if len(rest) < _REPOSITORY or rest[0] != "branches" or rest[2] != "protection":
            raise _refused(404, "Not Found")
        if rest[_REPOSITORY:] == ["required_signatures"]:
            return _signatures(repository, rest[1], request.method)
        return _protection(repository, rest[1], request)


def _branches(repository: Repository, query: Mapping[str, str]) -> Reply:
    names = sorted(repository.branches)
    if query.get("protected") == "true":
        names = [name for name in names if name in repository.protections]
    size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
    shown = names[(page - 1) * size : page * size]
    return Reply(
        200, [{"name": name, "protected": name in repository.protections} for name in shown]
    )


def _patched(repository: Repository, body: Thing) -> Reply:
    branch = body.get("default_branch")
    if branch not in repository.branches:
        raise _refused(422, f"The branch {branch} was not found")
    repository.default_branch = branch
    return Reply(200, {"default_branch": branch})


def _protection(repository: Repository, branch: str, request: Request) -> Reply:
    if branch not in repository.branches:
        raise _refused(404, "Branch not found")
    if request.method == "PUT":
        _check(repository, request.json())
        repository.protections[branch] = request.json()
        return Reply(200, _told(repository, branch))
    if branch not in repository.protections:
        raise _refused(404, "Branch not protected")
    if request.method == "DELETE":
        del repository.protections[branch]
        repository.signed.discard(branch)
        return Reply(204)
    return Reply(200, _told(repository, branch))


def _signatures(repository: Repository, branch: str, method: str) -> Reply:
    if branch not in repository.protections:
        raise _refused(404, "Branch not protected")
    if method == "DELETE":
        repository.signed.discard(branch)
        return Reply(204)
    repository.signed.add(branch)
    return Reply(200, {"enabled": True})


def _check(repository: Repository, body: Thing) -> None:
    missing = [name for name in _REQUIRED if name not in body]
    unknown = sorted(set(body) - {*_REQUIRED, *_SWITCHES})
    if missing or unknown:
        raise _refused(422, f'Invalid request. "{(missing + unknown)[0]}" wasn\'t expected')
    checks, reviews = body["required_status_checks"], body["required_pull_request_reviews"]
    if checks is not None and ("checks" in checks) == ("contexts" in checks):
        raise _refused(422, "Invalid request. No subschema in anyOf matched")
    people = body["restrictions"] or any(name in (reviews or {}) for name in _LISTS)
    if repository.personal and people:
        raise _refused(422, "Only organization repositories can have users and team restrictions")


def _told(repository: Repository, branch: str) -> Thing:
    body = repository.protections[branch]
    told: Thing = {
        "url": "https://api.github.com/…/protection",
        "enforce_admins": {
            "url": "https://api.github.com/…",
            "enabled": bool(body["enforce_admins"]),
        },
        "required_signatures": {"url": "…", "enabled": branch in repository.signed},
        **{name: {"enabled": bool(body.get(name))} for name in _SWITCHES},
    }
    if body["required_status_checks"] is not None:
        told["required_status_checks"] = _told_checks(body["required_status_checks"])
    if body["required_pull_request_reviews"] is not None:
        told["required_pull_request_reviews"] = _told_reviews(body["required_pull_request_reviews"])
    if body["restrictions"] is not None:
        told["restrictions"] = _told_people(body["restrictions"])
    return told


def _told_checks(checks: Thing) -> Thing:
    named = checks.get("checks") or [{"context": one} for one in checks.get("contexts", [])]
    apps = ({**one, "app_id": one.get("app_id", 15368)} for one in named)
    told = [{**one, "app_id": None if one["app_id"] == -1 else one["app_id"]} for one in apps]
    return {
        "url": "…",
        "strict": checks["strict"],
        "contexts": [one["context"] for one in told],
        "contexts_url": "…",
        "checks": told,
    }


def _told_reviews(reviews: Thing) -> Thing:
    told = {name: one for name, one in reviews.items() if name not in _LISTS}
    for name in _LISTS:
        if reviews.get(name):
            told[name] = _told_people(reviews[name])
    return {"url": "…", **told}


def _told_people(people: Thing) -> Thing:
    return {
        "url": "…",
        "users": [{"login": one, "id": 1, "type": "User"} for one in people.get("users", [])],
        "teams": [{"slug": one, "id": 2, "name": one.title()} for one in people.get("teams", [])],
        "apps": [{"slug": one, "id": 3, "name": one.title()} for one in people.get("apps", [])],
    }


def _refused(status: int, message: str) -> Refused:
    return Refused(
        Reply(status, {"message": message, "documentation_url": "https://docs.github.com/rest"})
    )
