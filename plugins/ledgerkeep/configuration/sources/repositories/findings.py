"""What must hold of repositories, whether anything has changed or not. Pure.

A release's tag never moves: whoever deploys it again must get what was reviewed. The default
branch takes nothing that nobody has reviewed and no check has seen, and forgets nothing.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from pydantic import JsonValue

from ledgerkeep.configuration.items import Item
from ledgerkeep.policy.configuration_sources import Repositories, RequiredProtection

_TAG = "refs/tags/"
Items = Mapping[str, Item]


def findings_in(settings: Repositories, items: Items, before: Items) -> Iterator[str]:
    """What is not as it must be.

    :param items: what is live.
    :param before: what the newest stored version holds.
    """
    for repository in settings.repositories:
        name = repository.name
        if settings.release_tags is not None:
            yield from _tags(name, settings.release_tags, items, before)
        if settings.protection is not None and repository.host != "none" and name in items:
            yield from _protection(name, items, settings.protection)


def _tags(name: str, pattern: str, items: Items, before: Items) -> Iterator[str]:
    start = f"{name}/{_TAG}"
    now, then = (
        {
            key.removeprefix(start): one.content
            for key, one in some.items()
            if key.startswith(start) and fnmatchcase(key.removeprefix(start), pattern)
        }
        for some in (items, before)
    )
    if not now and not then:
        yield f"{name} has no tag {pattern}: no release can be named"
    for tag in sorted(now.keys() | then.keys()):
        if tag not in now:
            yield f"the tag {tag} of {name} is gone; it was {_short(then[tag])}"
            continue
        if tag in then and then[tag]["object"] != now[tag]["object"]:
            moved = f"from {_short(then[tag])} to {_short(now[tag])}"
            yield f"the tag {tag} of {name} was moved {moved}"
        if not now[tag]["annotated"]:
            yield f"the tag {tag} of {name} is not annotated: nobody stands for it"


def _protection(name: str, items: Items, required: RequiredProtection) -> Iterator[str]:
    branch = items[name].content["default_branch"]
    if not branch:
        return
    found = items.get(f"{name}/protection/{branch}")
    if found is None:
        yield f"the default branch {branch} of {name} is not protected"
        return
    for weakness in _weaknesses(found.content, required):
        yield f"the protection of the default branch {branch} of {name} {weakness}"


def _weaknesses(content: Mapping[str, JsonValue], required: RequiredProtection) -> Iterator[str]:
    reviews, checks = content["required_pull_request_reviews"], content["required_status_checks"]
    approving = reviews["required_approving_review_count"] if isinstance(reviews, dict) else 0
    if isinstance(approving, int) and approving < required.approving_reviews:
        yield f"asks for {approving} approving reviews, not {required.approving_reviews}"
    if required.status_checks and not (isinstance(checks, dict) and checks["checks"]):
        yield "asks for no status check"
    if required.enforce_admins and not content["enforce_admins"]:
        yield "does not hold for administrators"
    if content["allow_force_pushes"]:
        yield "allows force pushes"
    if content["allow_deletions"]:
        yield "allows its deletion"


def _short(content: Mapping[str, JsonValue]) -> str:
    return str(content["target"])[:12]
