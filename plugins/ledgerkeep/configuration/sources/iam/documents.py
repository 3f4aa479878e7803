"""Policy documents: one form for all texts that mean the same, and the shortest one to send.

IAM takes one action or a list of them, one statement or a list, `true` or `"true"` in a condition,
and of none of these lists has the order a meaning. Whoever edits a policy in the console changes
such things without knowing. The canonical form has lists everywhere, sorted; only statements keep
their order, for whoever reads a difference. What is sent has single values in place of lists of
one, so that a document that was within IAM's size before still is.
(IAM user guide: Grammar of the IAM JSON policy language; IAM and AWS STS quotas.)
"""

import json
from collections.abc import Mapping
from typing import Any

_LISTS = ("Action", "NotAction", "Resource", "NotResource")
_PRINCIPALS = ("Principal", "NotPrincipal")


def canonical_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """The one form of a document.

    :param document: as boto3 gives it, which has decoded what IAM sends.
    """
    found = dict(document)
    if "Statement" in found:
        found["Statement"] = [_statement(one) for one in _listed(found["Statement"])]
    return found


def sent_document(document: Mapping[str, Any]) -> str:
    """The text to send to IAM: without space, and nothing in a list that is alone in it."""
    sent = dict(document)
    if "Statement" in sent:
        statements = [_short_statement(one) for one in sent["Statement"]]
        sent["Statement"] = statements[0] if len(statements) == 1 else statements
    return json.dumps(sent, separators=(",", ":"), ensure_ascii=False)


def _statement(statement: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(statement)
    for name in _LISTS:
        if name in found:
            found[name] = _set_of(found[name])
    for name in _PRINCIPALS:
        if isinstance(found.get(name), Mapping):
            found[name] = {kind: _set_of(who) for kind, who in found[name].items()}
    if "Condition" in found:
        found["Condition"] = {
            operator: {key: _set_of(values) for key, values in keys.items()}
            for operator, keys in found["Condition"].items()
        }
    return found


def _short_statement(statement: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _short(value) for name, value in statement.items()}


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _short(one) for name, one in value.items()}
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    return value


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _set_of(value: Any) -> list[str]:
    return sorted({_text(one) for one in _listed(value)})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
