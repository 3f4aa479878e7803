"""An isolated place for a restore test: copies with other names, at a path of their own.

Names are unique in an account whatever their path, and some are as long as IAM allows. So a copy's
path holds the original's path and name, from which both are told again, and its own name is only
made to be unique. References between copies are translated: by ARN wherever the original of one is
in the account and selected, by bare name where IAM knows no other (a user's groups, a profile's
role). Patterns such as `role/loan-*` stay as they are.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledgerkeep.configuration.sources.iam.documents import canonical_document

PLACES = "/ledgerkeep-restore-test/"
"""What the paths of all isolated places begin with; nothing below it is ever exported."""
_LONGEST = 64
"""Of a role's or user's name (IAM and AWS STS quotas)."""
_RESOURCE = re.compile(
    r"(?P<kind>role|user|group|policy|instance-profile)(?P<path>/(?:[\w+=,.@/-]+/)?)"
    r"(?P<name>[\w+=,.@-]+)"
)
_DOCUMENTS = ("trust", "document")


@dataclass(frozen=True)
class Place:
    """One isolated place."""

    label: str
    own: str
    """What the ARN of everything in the account begins with."""
    selected: Callable[[str, str], bool]
    """(path, name) → whether the original is exported."""

    @property
    def base(self) -> str:
        """The path of its copies begins with it; a slash at its end."""
        return f"{PLACES}{self.label}/"

    def copy_name(self, name: str) -> str:
        """The name of a copy."""
        unique = sha256(f"{self.label}/{name}".encode()).hexdigest()[:16]
        return f"{name[: _LONGEST - len(unique) - 1]}-{unique}"

    def copy_path(self, path: str, name: str) -> str:
        """The path of a copy."""
        return f"{self.base}{path.lstrip('/')}{name}/"

    def original(self, path: str) -> tuple[str, str]:
        """(path, name) of the original, from a copy's path."""
        before, _, name = path.removeprefix(self.base).rstrip("/").rpartition("/")
        return (f"/{before}/" if before else "/"), name

    def inward(self, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a copy."""
        found = _translated(content, self._copied)
        found["path"] = self.copy_path(content["path"], name)
        if "groups" in found:
            found["groups"] = sorted(self.copy_name(one) for one in content["groups"])
        if content.get("role"):
            found["role"] = self.copy_name(content["role"])
        return found

    def outward(self, content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
        """The content that a copy is of.

        :param names: of groups and roles: copy → original.
        """
        found = _translated(content, self._returned)
        found["path"], _ = self.original(content["path"])
        if "groups" in found:
            found["groups"] = sorted(names.get(one, one) for one in content["groups"])
        if content.get("role"):
            found["role"] = names.get(content["role"], content["role"])
        return found

    def _copied(self, text: str) -> str:
        found = _RESOURCE.fullmatch(text.removeprefix(self.own))
        if found is None or not self.selected(found["path"], found["name"]):
            return text
        path, name = self.copy_path(found["path"], found["name"]), self.copy_name(found["name"])
        return f"{self._front(text)}{found['kind']}{path}{name}"

    def _returned(self, text: str) -> str:
        found = _RESOURCE.fullmatch(text.removeprefix(self.own))
        if found is None or not found["path"].startswith(self.base):
            return text
        path, name = self.original(found["path"])
        return f"{self._front(text)}{found['kind']}{path}{name}"

    def _front(self, text: str) -> str:
        return self.own if text.startswith(self.own) else ""


def _translated(content: Mapping[str, Any], translate: Callable[[str], str]) -> dict[str, Any]:
    """Every reference in a content; what is sorted stays sorted."""
    found = dict(content)
    for member in _DOCUMENTS:
        if member in found:
            found[member] = _document(found[member], translate)
    if "inline" in found:
        found["inline"] = {
            name: _document(one, translate) for name, one in content["inline"].items()
        }
    if "attached" in found:
        found["attached"] = sorted(translate(one) for one in content["attached"])
    if found.get("boundary"):
        found["boundary"] = translate(content["boundary"])
    return found


def _document(document: Mapping[str, Any], translate: Callable[[str], str]) -> dict[str, Any]:
    return canonical_document(_walked(document, translate))


def _walked(value: Any, translate: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _walked(one, translate) for name, one in value.items()}
    if isinstance(value, list):
        return [_walked(one, translate) for one in value]
    # A bare resource is no reference in a document, where everything is an ARN.
    return translate(value) if isinstance(value, str) and value.startswith("arn:") else value
