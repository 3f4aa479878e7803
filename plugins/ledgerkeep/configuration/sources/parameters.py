"""Parameter Store: everything below some paths, secure strings as secrets.

Values come ten to a request, descriptions fifty, and a description tells the version of its
parameter. So descriptions are listed first, and a value is read only where its version is not the
stored one. Tags are read with the value, one request each; a change of tags alone is seen when
everything is read anew. Who changed a parameter last, and when, is no part of it.
(AWS Systems Manager API reference: DescribeParameters, GetParameters, PutParameter.)
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ledgerkeep.aws import ask, paged
from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.items import Content, Secret, opened
from ledgerkeep.configuration.settings import account_of, connection_of
from ledgerkeep.configuration.source import Change, Found, Known, Scope, Source
from ledgerkeep.policy.configuration_sources import ParameterStore
from ledgerkeep.policy.model import Policy

if TYPE_CHECKING:
    from mypy_boto3_ssm.client import SSMClient

T = TypeVar("T")

_AT_ONCE = 10
"""GetParameters and DeleteParameters take no more names."""
_CONNECTION = "configuration.connection_id"
_OWN = "/ledgerkeep-restore-test/"
"""Below it lie the isolated places; a policy's paths must not."""
_DENIED = (
    "allow ssm:DescribeParameters, ssm:GetParameters, ssm:ListTagsForResource, and for a recovery "
    "ssm:PutParameter, ssm:DeleteParameters, ssm:AddTagsToResource and "
    "ssm:RemoveTagsFromResource, to the identity of the connection"
)
_BEFORE_ANEW = 30
"""Seconds from the deletion of a parameter until one of its name may be made (DeleteParameters)."""
_NO_POLICIES = "[{}]"
"""Takes policies away; those that a request does not mention stay (PutParameter)."""


def open_source(access: Access, settings: ParameterStore, policy: Policy) -> "Parameters":
    """The parameters of a policy."""
    connection, region = connection_of(settings, policy)
    return Parameters(
        paths=tuple(settings.paths),
        ssm=access.client("ssm", connection, region),
        owner=account_of(access, settings, policy),
    )


@dataclass(frozen=True)
class Parameters(Source):
    """Parameters below some paths."""

    name: ClassVar[str] = "parameters"
    paths: tuple[str, ...]
    """Each begins and ends with a slash."""
    ssm: "SSMClient" = field(repr=False)
    owner: Scope
    place: str = ""
    """Of an isolated one: put in front of every name; no slash at its end."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def scope(self) -> Scope:
        """The AWS account, and the region."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every parameter below the paths, by name."""
        described = {one["Name"]: one for path in self.paths for one in self._described(path)}
        names = sorted(one for one in described if self.place or not one.startswith(_OWN))
        changed = [name for name in names if known.get(self._key(name)) != _mark(described[name])]
        for name in sorted(set(names) - set(changed)):
            yield Known(self._key(name))
        for start in range(0, len(changed), _AT_ONCE):
            wanted = changed[start : start + _AT_ONCE]
            for name, value in self._values(wanted).items():
                content = _content(described[name], value, self._tags(name))
                yield Found(self._key(name), content, _mark(described[name]))

    def apply(self, change: Change) -> None:
        """Write or delete one parameter, and set its tags."""
        name = f"{self.place}{change.key}"
        if change.wanted is None:
            self._ask(f"delete {name}", lambda: self.ssm.delete_parameters(Names=[name]))
            return
        live = change.live or {}
        if live and _must_be_made_anew(live, change.wanted):
            # Its value is in the version that is restored.
            self._ask(f"delete {name}", lambda: self.ssm.delete_parameters(Names=[name]))
            self.sleep(_BEFORE_ANEW)
            live = {}
        request = _request(name, change.wanted, live)
        self._ask(f"write {name}", lambda: self.ssm.put_parameter(**request))
        self._set_tags(name, change.wanted["tags"])

    def beside(self, label: str) -> "Parameters":
        """The same parameters below a path of their own."""
        return replace(self, place=f"{_OWN}{label}")

    def clear(self) -> None:
        """Delete everything below the isolated path."""
        if not self.place.startswith(_OWN):
            super().clear()
        names = [one["Name"] for one in self._described("/")]
        for start in range(0, len(names), _AT_ONCE):
            wanted = names[start : start + _AT_ONCE]
            self._ask(
                f"delete below {self.place}",
                lambda wanted=wanted: self.ssm.delete_parameters(Names=wanted),  # type: ignore[misc]
            )

    def _key(self, name: str) -> str:
        return name.removeprefix(self.place)

    def _described(self, path: str) -> Iterator[Mapping[str, Any]]:
        below = f"{self.place}{path}"
        return paged(
            f"list the parameters below {below}",
            self.ssm,
            "describe_parameters",
            "Parameters",
            denied=_DENIED,
            connection=_CONNECTION,
            ParameterFilters=[
                {"Key": "Path", "Option": "Recursive", "Values": [below.rstrip("/") or "/"]}
            ],
            PaginationConfig={"PageSize": 50},
        )

    def _values(self, names: Sequence[str]) -> dict[str, str]:
        """What was deleted since it was listed is not among them."""
        answer = self._ask(
            f"read {names[0]} and the next",
            lambda: self.ssm.get_parameters(Names=list(names), WithDecryption=True),
        )
        return {one["Name"]: one["Value"] for one in answer["Parameters"]}

    def _tags(self, name: str) -> dict[str, str]:
        answer = self._ask(
            f"read the tags of {name}",
            lambda: self.ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name),
        )
        found = {one["Key"]: one["Value"] for one in answer.get("TagList", [])}
        # Tags of AWS itself can be set by nobody else.
        return {key: found[key] for key in found if not key.startswith("aws:")}

    def _set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        gone = sorted(self._tags(name).keys() - tags.keys())
        if gone:
            self._ask(
                f"remove tags of {name}",
                lambda: self.ssm.remove_tags_from_resource(
                    ResourceType="Parameter", ResourceId=name, TagKeys=gone
                ),
            )
        if tags:
            self._ask(
                f"tag {name}",
                lambda: self.ssm.add_tags_to_resource(
                    ResourceType="Parameter",
                    ResourceId=name,
                    Tags=[{"Key": key, "Value": value} for key, value in sorted(tags.items())],
                ),
            )

    def _ask(self, what: str, send: Callable[[], T]) -> T:
        return ask(what, send, denied=_DENIED, connection=_CONNECTION)


def _mark(described: Mapping[str, Any]) -> str:
    return f"{described['Version']} {described['LastModifiedDate'].timestamp():.3f}"


def _content(
    described: Mapping[str, Any], value: str, tags: Mapping[str, str]
) -> dict[str, Content]:
    policies = [json.loads(one["PolicyText"]) for one in described.get("Policies", [])]
    return {
        "type": described["Type"],
        "value": Secret(value) if described["Type"] == "SecureString" else value,
        "key_id": described.get("KeyId", ""),
        "description": described.get("Description", ""),
        "allowed_pattern": described.get("AllowedPattern", ""),
        "tier": described.get("Tier", "Standard"),
        "data_type": described.get("DataType", "text"),
        "policies": policies,
        "tags": dict(sorted(tags.items())),
    }


def _must_be_made_anew(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """PutParameter changes no type, and makes no advanced parameter a standard one."""
    is_downgrade = (live["tier"], wanted["tier"]) == ("Advanced", "Standard")
    is_other = live["type"] != wanted["type"]
    return is_downgrade or bool(is_other)


def _request(name: str, wanted: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """What is empty is said where it takes away what is live; the rest can be left out."""
    no_policies = _NO_POLICIES if live.get("policies") and wanted["tier"] != "Standard" else ""
    found: dict[str, Any] = {
        "Name": name,
        "Value": opened(wanted["value"]),
        "Type": wanted["type"],
        "Overwrite": True,
        "Tier": wanted["tier"],
        "DataType": wanted["data_type"],
        "Description": wanted["description"],
        "AllowedPattern": wanted["allowed_pattern"],
        "KeyId": wanted["key_id"],
        "Policies": json.dumps(wanted["policies"]) if wanted["policies"] else no_policies,
    }
    emptied = {
        "Description": live.get("description"),
        "AllowedPattern": live.get("allowed_pattern"),
    }
    return {key: one for key, one in found.items() if one != "" or emptied.get(key)}
