"""Statements of a bucket policy, as far as they decide who may do a thing: pure matching.

A bucket policy is read as AWS evaluates it: whoever an Allow reaches may, unless a Deny reaches
them. Where a statement cannot be decided here (a condition on an address, a time, an organisation)
it is read to the worse side: such an Allow counts, and such a Deny does not.
(AWS: IAM User Guide, Policy evaluation logic; JSON policy elements.)
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

EVERYBODY = "*"
_NOBODY_ELSE = {"ArnNotEquals", "ArnNotLike", "StringNotEquals", "StringNotLike"}
_ONLY = {"ArnEquals", "ArnLike", "StringEquals", "StringLike"}
_PRINCIPAL_ARN = "aws:principalarn"
_ASSUMED = re.compile(r"arn:(aws[\w-]*):sts::(\d{12}):assumed-role/([^/]+)/.*")
_PARTITION = re.compile(r"^arn:aws[\w-]*:s3:")
_ROOT = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):root")


@dataclass(frozen=True)
class Grant:
    """Somebody whom an Allow reaches."""

    principal: str
    """An ARN, account id, service; `*` is everybody."""
    resources: tuple[str, ...]
    under: str = ""
    """The conditions of the Allow, by their keys."""
    but: tuple[str, ...] = ()
    """Of everybody: those who are not meant (NotPrincipal)."""

    @property
    def words(self) -> str:
        """For people."""
        who = "everybody" if self.principal == EVERYBODY else self.principal
        if self.but:
            who += f" but {', '.join(self.but)}"
        return f"{who} (if {self.under})" if self.under else who


def listed(value: Any) -> list[str]:
    """One or several, which policies write in two ways."""
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def statements_of(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The policy's statements."""
    found = policy.get("Statement", [])
    return [found] if isinstance(found, Mapping) else list(found)


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern (`*` any characters, `?` one) covers the text, or a pattern in it."""
    expression = "".join(
        ".*" if part == "*" else "[^*]" if part == "?" else re.escape(part) for part in pattern
    )
    return re.fullmatch(expression, text, re.DOTALL) is not None


def is_about(statement: Mapping[str, Any], action: str) -> bool:
    """Whether the statement is about the action; IAM takes no notice of case."""
    wanted = action.lower()
    if "NotAction" in statement:
        return not any(matches(one.lower(), wanted) for one in listed(statement["NotAction"]))
    return any(matches(one.lower(), wanted) for one in listed(statement.get("Action")))


def resources_of(statement: Mapping[str, Any], everything: str) -> tuple[str, ...]:
    """What the statement is about; of all but some, everything."""
    if "NotResource" in statement:
        return (everything,)
    # The partitions of China and of the US government are the same to us.
    return tuple(_PARTITION.sub("arn:aws:s3:", one) for one in listed(statement.get("Resource")))


def named_principals(element: Any) -> list[str]:
    """The principals of a statement's element, by one name each."""
    if element is None:
        return []
    if not isinstance(element, Mapping):
        return [principal_name(one) for one in listed(element)]
    found = [name for kind in element.values() for name in listed(kind)]
    return [principal_name(one) for one in found]


def principal_name(name: str) -> str:
    """An account is written as its id or as its root; here it is its id."""
    root = _ROOT.fullmatch(name)
    return root[1] if root else name


def grants_of(statement: Mapping[str, Any], everything: str) -> list[Grant]:
    """Whom an Allow reaches."""
    resources = resources_of(statement, everything)
    conditions = statement.get("Condition", {})
    under = ", ".join(sorted(f"{key} {how}" for how, keys in conditions.items() for key in keys))
    if "NotPrincipal" in statement:
        but = tuple(named_principals(statement["NotPrincipal"]))
        return [Grant(EVERYBODY, resources, under, but)]
    principals = named_principals(statement.get("Principal"))
    only = _principals_in(conditions, _ONLY)
    if only and principals == [EVERYBODY]:
        return [Grant(principal_name(one), resources) for one in only]
    return [Grant(one, resources, under) for one in principals]


def narrowed(grant: Grant, denials: Iterable[Mapping[str, Any]]) -> list[Grant]:
    """What is left of a grant.

    A Deny for all but some leaves, of a grant to everybody, just those some.
    """
    left = [grant]
    for statement in denials:
        left = [one for before in left for one in _after(before, statement)]
    return left


def _after(grant: Grant, statement: Mapping[str, Any]) -> list[Grant]:
    spared = _spared(statement)
    if spared is None or not _denies_resources(grant, statement):
        return [grant]
    if "NotPrincipal" in statement:
        spared = [*spared, *named_principals(statement["NotPrincipal"])]
        reached = [EVERYBODY]
    else:
        reached = named_principals(statement.get("Principal"))
    if not any(covers(one, grant.principal) for one in reached):
        return [grant]
    if any(covers(one, grant.principal) for one in spared):
        return [grant]
    meant = [one for one in spared if covers(grant.principal, one)]
    return [
        Grant(one, grant.resources, grant.under)
        for one in meant
        if not any(covers(other, one) for other in grant.but)
    ]


def _denies_resources(grant: Grant, statement: Mapping[str, Any]) -> bool:
    if "NotResource" in statement:
        return False
    denied = resources_of(statement, EVERYBODY)
    return all(any(matches(one, asked) for one in denied) for asked in grant.resources)


def _spared(statement: Mapping[str, Any]) -> list[str] | None:
    """Whom the conditions of a Deny spare; None: that cannot be told."""
    conditions = statement.get("Condition", {})
    if not conditions:
        return []
    spared = _principals_in(conditions, _NOBODY_ELSE)
    keys = [key for how in conditions.values() for key in how]
    return [principal_name(one) for one in spared] if len(keys) == 1 and spared else None


def _principals_in(conditions: Mapping[str, Any], kinds: set[str]) -> list[str]:
    return [
        one
        for kind, keys in conditions.items()
        if kind in kinds
        for key, values in keys.items()
        if key.lower() == _PRINCIPAL_ARN
        for one in listed(values)
    ]


def covers(pattern: str, principal: str) -> bool:
    """Whether a principal is one of those that the pattern names.

    An account stands for all that is in it, and a role for its sessions.
    """
    if pattern == EVERYBODY or matches(pattern, principal):
        return True
    if re.fullmatch(r"\d{12}", pattern):
        parts = principal.split(":")
        return len(parts) > 4 and parts[4] == pattern
    session = _ASSUMED.fullmatch(principal)
    return session is not None and matches(
        pattern, f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}"
    )
