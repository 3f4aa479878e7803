"""Who may, by the bucket's policy, do what undoes the protection of documents.

Reading an old version gets around a deletion that was meant; deleting one, changing the lifecycle
or bypassing governance retention ends what recovery lives on. Every principal that the policy of
the bucket lets do one of these must be named in ours. What the bucket's own account grants to its
users and roles by IAM is not in the bucket's policy and is not seen here.
"""

from collections.abc import Mapping
from typing import Any, get_args

from ledgerkeep.documents.protection.lines import Line, Lines
from ledgerkeep.documents.protection.settings import Settings
from ledgerkeep.documents.protection.statements import (
    EVERYBODY,
    Grant,
    covers,
    grants_of,
    is_about,
    listed,
    matches,
    named_principals,
    narrowed,
    principal_name,
    resources_of,
    statements_of,
)
from ledgerkeep.documents.protection.wanted import Wanted
from ledgerkeep.policy.document_protection import SensitiveAction

ACTIONS: tuple[SensitiveAction, ...] = get_args(SensitiveAction)
TLS_NAME = "requests without TLS"
_OF_THE_BUCKET = ("s3:PutLifecycleConfiguration",)
_NOBODY = "nobody"
_TLS = "aws:securetransport"


def compare_access(settings: Settings, wanted: Wanted) -> list[Line]:
    """Whom the bucket's policy lets do each of the sensitive actions, and TLS."""
    lines = Lines(settings, "bucket policy")
    for action in ACTIONS:
        named = wanted.protection.access.get(action, [])
        expected = " and ".join(named) or _NOBODY
        name = f"who may {action}"
        if lines.unseen(name, expected):
            continue
        may = who_may(action, lines.plain, settings.bucket, wanted.prefix)
        found = [one.words for one in may if not _is_named(one, named)]
        words = f"{' and '.join(found)} besides" if named else " and ".join(found)
        lines.hold(name, expected, words if found else expected, ok=not found)
    _compare_tls(lines, settings)
    return lines.found


def who_may(action: str, policy: Mapping[str, Any], bucket: str, prefix: str = "") -> list[Grant]:
    """Everybody whom the bucket's policy lets do the action to a document (or the bucket)."""
    statements = [one for one in statements_of(policy) if is_about(one, action)]
    denials = [one for one in statements if one.get("Effect") == "Deny"]
    arn = f"arn:aws:s3:::{bucket}"
    target = arn if action in _OF_THE_BUCKET else f"{arn}/{prefix}*"
    found: dict[str, Grant] = {}
    for statement in statements:
        if statement.get("Effect") != "Allow":
            continue
        for grant in grants_of(statement, target):
            reached = tuple(one for one in grant.resources if _meets(one, target))
            if not reached:
                continue
            narrow = Grant(grant.principal, reached, grant.under, grant.but)
            for left in narrowed(narrow, denials):
                found.setdefault(left.words, left)
    return list(found.values())


def _meets(resource: str, target: str) -> bool:
    """Whether a resource has anything in common with the target; both may end in any key."""
    if not target.endswith("*"):
        return matches(resource, target)
    start, literal = target[:-1], resource.partition("*")[0].partition("?")[0]
    return literal.startswith(start) or (literal != resource and start.startswith(literal))


def _is_named(grant: Grant, named: list[str]) -> bool:
    if grant.principal == EVERYBODY:
        return EVERYBODY in named
    return any(covers(principal_name(one), grant.principal) for one in named)


def _compare_tls(lines: Lines, settings: Settings) -> None:
    expected = "refused"
    if lines.unseen(TLS_NAME, expected):
        return
    if not settings.over_tls:
        lines.skip(TLS_NAME, expected, "the store is reached without TLS by ourselves")
        return
    refused = refuses_plain_requests(lines.plain, settings.bucket)
    found = expected if refused else "accepted"
    lines.hold(TLS_NAME, expected, found, ok=refused, severity="warning")


def refuses_plain_requests(policy: Mapping[str, Any], bucket: str) -> bool:
    """Whether everybody's every request without TLS is denied, to the bucket and its objects."""
    arn = f"arn:aws:s3:::{bucket}"
    denied: list[str] = []
    for statement in statements_of(policy):
        if _is_tls_denial(statement):
            denied += resources_of(statement, arn)
    return all(any(matches(one, target) for one in denied) for target in (arn, f"{arn}/*"))


def _is_tls_denial(statement: Mapping[str, Any]) -> bool:
    conditions = statement.get("Condition", {})
    keys = {
        key.lower(): [one.lower() for one in listed(values)]
        for key, values in conditions.get("Bool", {}).items()
    }
    return (
        statement.get("Effect") == "Deny"
        and "NotResource" not in statement
        and EVERYBODY in named_principals(statement.get("Principal"))
        and any(one in ("*", "s3:*") for one in listed(statement.get("Action")))
        and set(conditions) == {"Bool"}
        and keys == {_TLS: ["false"]}
    )
