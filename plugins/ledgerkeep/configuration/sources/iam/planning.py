"""In which order changes of IAM are carried out, and which of them only a person can. Pure.

What is referred to comes first: providers and policies, groups, users, roles (one that another
one's trust names before that other), instance profiles; what is deleted goes the other way round,
after everything that was changed has let go of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.source import Action, Planned

_RANKS = (
    "oidc-provider",
    "saml-provider",
    "policy",
    "group",
    "user",
    "role",
    "instance-profile",
    "account",
)
_FIXED_PATHS = ("role", "policy", "instance-profile")
_SERVICES = "/aws-service-role/"
_IDENTITY_CENTER = "/aws-reserved/"


def in_order(changes: Sequence[Planned]) -> list[Planned]:
    """The order in which changes can be carried out."""
    kept = sorted((one for one in changes if one.action != "delete"), key=_rank)
    gone = sorted((one for one in changes if one.action == "delete"), key=_rank, reverse=True)
    roles = [one for one in kept if _kind(one) == "role"]
    before = [one for one in kept if _rank(one) < (_RANKS.index("role"), "")]
    after = [one for one in kept if _RANKS.index(_kind(one)) > _RANKS.index("role")]
    return [*before, *_by_trust(roles), *after, *gone]


def _by_trust(roles: Sequence[Planned]) -> list[Planned]:
    """Each after those that its trust names; of those that name each other, the first first."""
    waiting = {one.key: one for one in roles}
    named = {one.key: _named(one.after, waiting.keys() - {one.key}) for one in roles}
    found: list[Planned] = []
    while waiting:
        ready = [key for key in waiting if not named[key] & waiting.keys()]
        for key in ready or [next(iter(waiting))]:
            found.append(waiting.pop(key))
    return found


def _named(role: Item | None, others: set[str]) -> set[str]:
    """Keys of roles that a trust policy names."""
    found: set[str] = set()
    trust: Any = role.content["trust"] if role else {}
    for statement in trust.get("Statement", []):
        principals = statement.get("Principal", {})
        arns = principals.get("AWS", []) if isinstance(principals, Mapping) else []
        found |= {f"role/{arn.rsplit('/', 1)[-1]}" for arn in arns if ":role/" in arn}
    return found & others


def hand_work(
    action: Action, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> str:
    """What a person has to do because IAM lets no program do it; empty: nothing."""
    kind = key.partition("/")[0]
    whole = after or before or {}
    path = whole.get("path", "")
    if kind == "role" and path.startswith(_SERVICES):
        return _of_a_service(action, key, path)
    if kind == "role" and path.startswith(_IDENTITY_CENTER):
        return f"{key} is kept by IAM Identity Center: change its permission set there"
    if before is None or after is None:
        return ""
    if kind in _FIXED_PATHS and before["path"] != after["path"]:
        return (
            f"{key} is at the path {before['path']} and cannot be moved to {after['path']}, since "
            "IAM sets a path only when something is made: delete it, once nothing uses it any "
            "more, and run the recovery again, which makes it there"
        )
    if kind == "policy" and _but_description(before) == _but_description(after):
        return (
            f"{key} differs only in its description, which IAM sets only when a policy is made: "
            "leave it; or delete it, once nothing uses it any more, and run the recovery again"
        )
    return ""


def kept_by_aws(path: str) -> bool:
    """Whether roles at a path are made and changed by AWS alone."""
    return path.startswith((_SERVICES, _IDENTITY_CENTER))


def _of_a_service(action: Action, key: str, path: str) -> str:
    service = path.split("/")[2]
    name = key.partition("/")[2]
    if action == "create":
        return (
            f"{key} is linked to the service {service}, which makes it when it is used; or run "
            f"`aws iam create-service-linked-role --aws-service-name {service}`"
        )
    if action == "delete":
        return (
            f"{key} is linked to the service {service}: once no resource of it is left, run "
            f"`aws iam delete-service-linked-role --role-name {name}`; or leave it"
        )
    return f"{key} is linked to the service {service}, and only that changes it: leave it"


def _but_description(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in content.items() if name != "description"}


def _rank(change: Planned) -> tuple[int, str]:
    return _RANKS.index(_kind(change)), change.key


def _kind(change: Planned) -> str:
    return change.key.partition("/")[0]
