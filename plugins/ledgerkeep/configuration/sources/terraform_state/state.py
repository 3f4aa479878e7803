"""A state file as content, and as text again. Pure.

A state holds in the clear whatever a provider returned, passwords too, and says only of some
values that they are sensitive. So every attribute's value is a secret; which resources there are,
and which attributes they have, is not. The text is kept whole, as one more secret: no program
could write it again byte for byte from anything less.

The serial is no part of the content. Terraform refuses a state whose serial is not higher than the
one it knows, so what is restored carries another serial than what was stored; in the content's text
it is 0, and everything else stands where Terraform wrote it.
(Terraform: State; "State Snapshot Format" is format 4 since Terraform 0.12.)
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ledgerkeep.configuration.items import Content, Secret
from ledgerkeep.errors import ConfigurationError

FORMAT = 4
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class State:
    """A state file that was read."""

    lineage: str
    """Of all states that follow from one another; a new one begins with each `terraform init`."""
    serial: int
    text: str = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)

    def same_but_for_serial(self, text: str) -> bool:
        """Whether a content's text is of this state."""
        return with_serial(self.text, 0) == text


def read_state(text: str, where: str) -> State:
    """What a state file says.

    :param where: of the file, for messages.
    :raises ConfigurationError: it is none that Terraform 0.12 or newer wrote.
    """
    try:
        document = json.loads(text)
        if document["version"] != FORMAT:
            raise ConfigurationError(
                f"the state {where} has format {document['version']}, not {FORMAT}",
                hint="let Terraform 0.12 or newer write it (terraform apply -refresh-only), "
                "or take it out of configuration.sources.terraform_state",
            )
        return State(str(document["lineage"]), int(document["serial"]), text, document)
    except (ValueError, TypeError, KeyError) as problem:
        raise ConfigurationError(
            f"{where} is no terraform state",
            hint="look at what wrote it; restore an earlier version of the object, or take it out "
            "of configuration.sources.terraform_state",
        ) from problem


def content_of(state: State) -> dict[str, Content]:
    """What is compared and stored."""
    document = state.document
    return {
        "lineage": state.lineage,
        "terraform_version": document.get("terraform_version", ""),
        "outputs": {
            name: _output(one) for name, one in sorted((document.get("outputs") or {}).items())
        },
        "resources": dict(sorted(_resources(document))),
        "text": Secret(with_serial(state.text, 0)),
    }


def with_serial(text: str, serial: int) -> str:
    """The same text with another serial."""
    start, end = _place_of(text, "serial")
    return f"{text[:start]}{serial}{text[end:]}"


def _output(output: Mapping[str, Any]) -> dict[str, Content]:
    sensitive = bool(output.get("sensitive"))
    value = output.get("value")
    return {
        "sensitive": sensitive,
        "type": _text(output.get("type")),
        "value": Secret(_text(value)) if sensitive else value,
    }


def _resources(document: Mapping[str, Any]) -> Iterator[tuple[str, Content]]:
    for resource in document.get("resources") or []:
        for instance in resource.get("instances") or []:
            attributes = instance.get("attributes") or instance.get("attributes_flat") or {}
            yield (
                _address(resource, instance),
                {
                    "type": resource["type"],
                    "provider": resource.get("provider", ""),
                    "status": instance.get("status", ""),
                    "attributes": {
                        name: Secret(_text(value)) for name, value in sorted(attributes.items())
                    },
                },
            )


def _address(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    """As Terraform writes it (Terraform: Resource Addressing)."""
    module = f"{resource['module']}." if resource.get("module") else ""
    data = "data." if resource.get("mode") == "data" else ""
    index = instance.get("index_key")
    place = "" if index is None else f"[{json.dumps(index, ensure_ascii=False)}]"
    deposed = f" (deposed {instance['deposed']})" if instance.get("deposed") else ""
    return f"{module}{data}{resource['type']}.{resource['name']}{place}{deposed}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _place_of(text: str, member: str) -> tuple[int, int]:
    """Where the value of a member of the outermost object stands.

    :raises KeyError: there is no such member.
    """
    decoder = json.JSONDecoder()
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        start = _after_space(text, _after_space(text, at) + 1)
        _, at = decoder.raw_decode(text, start)
        if name == member:
            return start, at
        at = _after_space(text, at)
        at = _after_space(text, at + 1) if text[at] == "," else at
    raise KeyError(member)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
