"""GitHub's REST API, as far as branch protection and the default branch go.

What is read is not what is written: the answer tells every setting as an object with its address,
the request wants plain values. The content is in between, the request's values by login and slug,
so that protection that was removed can be put back as it was. Read and written by the API that
protects one branch at a time (classic branch protection); rulesets are not part of it.
(GitHub REST API: Protected branches; Repositories; Rate limits; Pagination.)
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.management_api import ApiKey, Dialect, ManagementApi
from ledgerkeep.errors import ServiceRefused

_PAGE = 100
"""The most that GitHub gives at once."""
_SWITCHES = (
    "required_linear_history",
    "allow_force_pushes",
    "allow_deletions",
    "block_creations",
    "required_conversation_resolution",
    "lock_branch",
    "allow_fork_syncing",
)
_REVIEWS = ("dismiss_stale_reviews", "require_code_owner_reviews", "require_last_push_approval")
_LISTS = ("dismissal_restrictions", "bypass_pull_request_allowances")
_READ = "Administration: read"
_WRITE = "Administration: write"


class GitHub:
    """One repository at GitHub, or at a GitHub Enterprise server."""

    def __init__(self, login: Login, connection: str, slug: str, patience: float) -> None:
        """Nothing is sent yet.

        :param slug: `owner/name`.
        :param patience: seconds that a busy service is waited for.
        """
        self.slug = slug
        self._api = ManagementApi(
            Dialect(
                service="github",
                connection=connection,
                reason=_message,
                missing=lambda body: "",
                # It refuses with 403 where others answer 429.
                exhausted=lambda body: "rate limit" in _message(body).lower(),
                grant=f"give the token of the connection {{connection}} the permission "
                f"{{permission}} on {slug}",
            ),
            login.url,
            ApiKey(login.password),
            patience,
        )

    def protections(self) -> dict[str, Mapping[str, Content]]:
        """Branch → its protection, of all branches that have one."""
        found: dict[str, Mapping[str, Content]] = {}
        for branch in self._protected():
            answer = self._api.send(
                f"read the protection of {branch} of {self.slug}",
                "GET",
                self._path(branch),
                needs=_READ,
                tolerate=(404,),
            )
            if answer.status == 200:
                found[branch] = content_of(answer.data)
            elif "not protected" not in _message(answer.data).lower():
                raise ServiceRefused(
                    f"github does not tell the protection of {branch} of {self.slug}",
                    hint=f"give the token the permission {_READ} on {self.slug}",
                )
        return found

    def protect(
        self, branch: str, wanted: Mapping[str, Any], live: Mapping[str, Any] | None
    ) -> None:
        """Make a branch's protection this one."""
        self._api.ask(
            f"protect {branch} of {self.slug}",
            "PUT",
            self._path(branch),
            body=request_of(wanted, live),
            needs=_WRITE,
        )
        self._api.send(
            f"say whether commits on {branch} of {self.slug} are signed",
            "POST" if wanted["required_signatures"] else "DELETE",
            f"{self._path(branch)}/required_signatures",
            needs=_WRITE,
            tolerate=() if wanted["required_signatures"] else (404,),
        )

    def unprotect(self, branch: str) -> None:
        """Remove a branch's protection; harmless where there is none."""
        self._api.send(
            f"remove the protection of {branch} of {self.slug}",
            "DELETE",
            self._path(branch),
            needs=_WRITE,
            tolerate=(404,),
        )

    def set_default(self, branch: str) -> None:
        """Which branch it is cloned with."""
        self._api.ask(
            f"make {branch} the default branch of {self.slug}",
            "PATCH",
            f"/repos/{self.slug}",
            body={"default_branch": branch},
            needs=_WRITE,
        )

    def _protected(self) -> Iterator[str]:
        """Names of branches that are protected in any way, page by page."""
        page = 1
        while True:
            found = self._api.ask(
                f"list the protected branches of {self.slug}",
                "GET",
                f"/repos/{self.slug}/branches",
                params={"protected": "true", "per_page": _PAGE, "page": page},
                needs="Contents: read",
            )
            yield from (one["name"] for one in found)
            if len(found) < _PAGE:
                return
            page += 1

    def _path(self, branch: str) -> str:
        return f"/repos/{self.slug}/branches/{quote(branch, safe='')}/protection"


def slug_of(url: str) -> str:
    """`owner/name` of a repository's address."""
    path = urlsplit(url).path if "://" in url else url.partition(":")[2]
    return "/".join(path.strip("/").removesuffix(".git").split("/")[-2:])


def content_of(answer: Mapping[str, Any]) -> dict[str, Content]:
    """What is stored of a protection."""
    checks = answer.get("required_status_checks")
    reviews = answer.get("required_pull_request_reviews")
    limits = answer.get("restrictions")
    return {
        "required_status_checks": _checks(checks) if checks is not None else None,
        "enforce_admins": _enabled(answer, "enforce_admins"),
        "required_pull_request_reviews": _reviews(reviews) if reviews is not None else None,
        "restrictions": _people(limits) if limits is not None else None,
        **{name: _enabled(answer, name) for name in _SWITCHES},
        "required_signatures": _enabled(answer, "required_signatures"),
    }


def request_of(content: Mapping[str, Any], live: Mapping[str, Any] | None) -> dict[str, Content]:
    """The body that makes a branch's protection this one.

    :param live: as it is: a list of people that it has and shall not have is emptied. One that
        neither has is not spoken of, since repositories of a person refuse it.
    """
    checks, reviews = content["required_status_checks"], content["required_pull_request_reviews"]
    request: dict[str, Any] = {
        name: one for name, one in content.items() if name != "required_signatures"
    }
    if checks is not None:
        named = [{**one, "app_id": _any_app(one["app_id"])} for one in checks["checks"]]
        request["required_status_checks"] = {"strict": checks["strict"], "checks": named}
    if reviews is not None:
        before = (live or {}).get("required_pull_request_reviews") or {}
        gone: dict[str, Any] = {
            name: {} for name in _LISTS if before.get(name) and not reviews[name]
        }
        kept = {name: one for name, one in reviews.items() if one is not None}
        request["required_pull_request_reviews"] = {**kept, **gone}
    return request


def _message(body: Any) -> str:
    return str(body.get("message", "")) if isinstance(body, dict) else ""


def _checks(checks: Mapping[str, Any]) -> dict[str, Content]:
    found = checks.get("checks") or [{"context": one} for one in checks.get("contexts", [])]
    return {
        "strict": bool(checks.get("strict")),
        "checks": [
            {"context": one["context"], "app_id": one.get("app_id")}
            for one in sorted(found, key=lambda one: str(one["context"]))
        ],
    }


def _reviews(reviews: Mapping[str, Any]) -> dict[str, Content]:
    return {
        **{name: bool(reviews.get(name)) for name in _REVIEWS},
        "required_approving_review_count": int(reviews.get("required_approving_review_count", 0)),
        **{name: _people(reviews[name]) if reviews.get(name) else None for name in _LISTS},
    }


def _people(told: Mapping[str, Any]) -> dict[str, Content]:
    return {
        "users": sorted(one["login"] for one in told.get("users", [])),
        "teams": sorted(one["slug"] for one in told.get("teams", [])),
        "apps": sorted(one["slug"] for one in told.get("apps", [])),
    }


def _enabled(answer: Mapping[str, Any], name: str) -> bool:
    return bool((answer.get(name) or {}).get("enabled"))


def _any_app(app_id: int | None) -> int:
    """-1 lets any app report a check; without a number GitHub would choose one."""
    return -1 if app_id is None else app_id
