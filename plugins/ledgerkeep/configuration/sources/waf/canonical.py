"""Settings of WAF in canonical form, and back. Pure.

An ARN ends in an id that a re-creation cannot keep, and says a name besides: what is stored says
`ip-set/blocked`. What belongs to another account keeps its ARN.

What a rule looks for in a header, a cookie or a query argument is often a password that tells
friend from stranger, and so is what it puts into a header: these are secrets. Rules come by
priority; sets have no order, so they get one.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ledgerkeep.configuration.items import Content, Secret
from ledgerkeep.configuration.sources.waf.kinds import BY_ARN

_SEARCHED = "SearchString"
_INSERTED = "InsertHeaders"
_BINARY = "base64"
_SECRET_FIELDS = {"SingleHeader", "Headers", "HeaderOrder", "Cookies", "SingleQueryArgument"}
_ORDERS: Mapping[str, Callable[[Any], Any]] = {
    "Rules": lambda rule: rule["Priority"],
    "Addresses": str,
    "RegularExpressionList": lambda one: one["RegexString"],
    "TokenDomains": str,
}


def settings_of(
    told: Mapping[str, Any], members: Iterable[str], reference: Callable[[str], str]
) -> dict[str, Content]:
    """What WAF told of a thing, as far as it can be set.

    :param members: those that can be set.
    :param reference: ARN → as it is stored.
    """
    found: dict[str, Content] = {}
    for name in sorted(set(members) & told.keys()):
        value = told[name]
        if name in _ORDERS:
            value = sorted(value, key=_ORDERS[name])
        found[name] = _stored(value, reference)
    return {name: value for name, value in found.items() if value not in ("", None)}


def request_of(settings: Mapping[str, Any], arn: Callable[[str], str]) -> dict[str, Any]:
    """Settings as WAF takes them.

    :param settings: with the values of secrets in the clear.
    :param arn: as it is stored → ARN of today.
    """
    return {name: _sent(value, arn) for name, value in settings.items()}


def reference_of(arn: str, account: str, place: str) -> str:
    """How content refers to something of WAF; what is another account's keeps its ARN."""
    owner, kind, name = parts_of(arn)
    if owner != account or kind not in BY_ARN:
        return arn
    return f"{BY_ARN[kind].name}/{name.removeprefix(place)}"


def parts_of(arn: str) -> tuple[str, str, str]:
    """(account, kind, name) that an ARN of WAF says.

    `arn:aws:wafv2:region:account:regional/ipset/name/id`.
    """
    fields = arn.split(":", 5)
    path = fields[5].split("/") if len(fields) > 5 else []
    return (fields[4], path[1], path[2]) if len(path) > 2 else ("", "", "")


def _stored(value: Any, reference: Callable[[str], str]) -> Content:
    if isinstance(value, Mapping):
        return {name: _member(name, one, value, reference) for name, one in value.items()}
    if isinstance(value, list):
        return [_stored(one, reference) for one in value]
    return value  # type: ignore[no-any-return]


def _member(
    name: str, value: Any, around: Mapping[str, Any], reference: Callable[[str], str]
) -> Content:
    if name == "ARN":
        return reference(value)
    if name == _SEARCHED:
        is_secret = bool(_SECRET_FIELDS & around.get("FieldToMatch", {}).keys())
        return _text(value, is_secret)
    if name == _INSERTED:
        return [{**one, "Value": Secret(one["Value"])} for one in value]
    return _stored(value, reference)


def _text(value: bytes, is_secret: bool) -> Content:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        code = base64.b64encode(value).decode()
        return {_BINARY: Secret(code) if is_secret else code}
    return Secret(text) if is_secret else text


def _sent(value: Any, arn: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _sent_member(name, one, arn) for name, one in value.items()}
    if isinstance(value, list):
        return [_sent(one, arn) for one in value]
    return value


def _sent_member(name: str, value: Any, arn: Callable[[str], str]) -> Any:
    if name == "ARN":
        return arn(value)
    if name == _SEARCHED:
        return base64.b64decode(value[_BINARY]) if isinstance(value, Mapping) else value.encode()
    return _sent(value, arn)
