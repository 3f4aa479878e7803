"""Things of WAF made, changed and deleted under its lock.

Only what differs is written. A lock token that is stale means that somebody has written since it
was read: then it is read once more, and only if nothing else is there than before is it written
with the new token. Otherwise it is somebody's work, and not ours to overwrite.
(WAFV2 API reference: UpdateWebACL, WAFOptimisticLockException.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ledgerkeep.aws import refused_with
from ledgerkeep.configuration.items import Content, opened
from ledgerkeep.configuration.sources.waf.api import GONE, STALE, Firewall
from ledgerkeep.configuration.sources.waf.canonical import (
    reference_of,
    request_of,
    settings_of,
)
from ledgerkeep.configuration.sources.waf.kinds import BY_NAME, WEB_ACL, Kind
from ledgerkeep.errors import AwsRefused, ConfigurationError, SourceChanged

Summary = Mapping[str, Any]


@dataclass
class Desk:
    """What one export or one change needs of a scope: names, ids and lock tokens."""

    firewall: Firewall
    account: str
    place: str

    # -- reading

    def find(self, kind: Kind, name: str) -> Summary | None:
        """Id, ARN and lock token by name; None: there is none."""
        own = self.own(name)
        every = self.firewall.list_all(kind)
        return next((one for one in every if one["Name"] == own), None)

    def content(self, kind: Kind, told: Mapping[str, Any], arn: str) -> dict[str, Content]:
        """A thing in canonical form."""
        made = self.firewall.made_with(kind)
        tags = self.firewall.tags(arn)
        return {
            "settings": self.settings(kind, told),
            "made_with": {name: told[name] for name in sorted(made) if name in told},
            "tags": {key.removeprefix(self.place): value for key, value in tags.items()},
        }

    def settings(self, kind: Kind, told: Mapping[str, Any]) -> dict[str, Content]:
        """What of a thing can be changed, in canonical form."""
        return settings_of(told, self.firewall.settable(kind), self.reference)

    def reference(self, arn: str) -> str:
        """An ARN as it is stored."""
        return reference_of(arn, self.account, self.place)

    def own(self, name: str) -> str:
        """A name as it is here."""
        return f"{self.place}{name}"

    # -- writing

    def put(self, kind: Kind, name: str, wanted: Mapping[str, Any]) -> None:
        """Make a thing, or set its settings and tags.

        :raises ConfigurationError: what it refers to is not there, or it was made otherwise.
        :raises SourceChanged: somebody else is changing it.
        """
        summary = self.find(kind, name)
        if summary is None:
            self._make(kind, name, wanted)
            return
        live = self._read(kind, summary)
        differs = {
            one for one in wanted["made_with"] if wanted["made_with"][one] != live[0].get(one)
        }
        if differs:
            raise ConfigurationError(
                f"the {', '.join(sorted(differs))} of {kind.name} {name} cannot be changed",
                hint=f"delete the {kind.name} when nothing refers to it, and run this again",
            )
        if opened(self.settings(kind, live[0])) != opened(wanted["settings"]):
            request = self._request(wanted)
            self._under_lock(kind, summary, live, f"update_{kind.operation}", request)
        self._set_tags(summary["ARN"], wanted["tags"])

    def remove(self, kind: Kind, name: str) -> None:
        """Delete a thing, if it is there.

        :raises AwsRefused: something uses it.
        :raises SourceChanged: somebody else is changing it.
        """
        summary = self.find(kind, name)
        live = self.firewall.get(kind, summary) if summary else None
        if summary and live:
            self._under_lock(kind, summary, live, f"delete_{kind.operation}", {})

    def put_logging(self, name: str, wanted: Mapping[str, Any] | None) -> None:
        """Set how a web ACL is logged; None: not at all."""
        if wanted is not None:
            told = request_of(opened(wanted), self.arn)
            logging = {**told, "ResourceArn": self._web_acl(name)["ARN"]}
            what = f"set the logging of {name}"
            self.firewall.send(what, "put_logging_configuration", LoggingConfiguration=logging)
            return
        summary = self.find(WEB_ACL, name)
        if summary is not None:
            self._drop(
                f"stop the logging of {name}",
                "delete_logging_configuration",
                ResourceArn=summary["ARN"],
            )

    def put_associations(self, name: str, wanted: list[str]) -> None:
        """Let a web ACL protect these and no others; another's are left alone."""
        if not wanted and self.find(WEB_ACL, name) is None:
            return
        arn = self._web_acl(name)["ARN"]
        live = self.firewall.resources(arn)
        for resource in sorted(set(wanted) - set(live)):
            what = f"associate {name} with {resource}"
            request = {"WebACLArn": arn, "ResourceArn": resource}
            self.firewall.send(what, "associate_web_acl", **request)
        for resource in sorted(set(live) - set(wanted)):
            what = f"take {name} from {resource}"
            self.firewall.send(what, "disassociate_web_acl", ResourceArn=resource)

    def arn(self, reference: str) -> str:
        """The ARN that a reference means today.

        :raises ConfigurationError: it is not there.
        """
        if reference.startswith("arn:"):
            return reference
        kind, _, name = reference.partition("/")
        found = self._known(BY_NAME[kind]).get(self.own(name))
        if found is None:
            raise ConfigurationError(
                f"{self.firewall.scope.lower()}/{reference} is referred to and not there",
                hint="recover it too, and run this again",
            )
        return found

    def _known(self, kind: Kind) -> dict[str, str]:
        if kind.name not in self._arns:
            every = self.firewall.list_all(kind)
            self._arns[kind.name] = {one["Name"]: one["ARN"] for one in every}
        return self._arns[kind.name]

    @cached_property
    def _arns(self) -> dict[str, dict[str, str]]:
        return {}

    def _web_acl(self, name: str) -> Summary:
        found = self.find(WEB_ACL, name)
        if found is None:
            raise ConfigurationError(
                f"there is no web acl {self.own(name)}", hint="recover it too, and run this again"
            )
        return found

    def _read(self, kind: Kind, summary: Summary) -> tuple[Mapping[str, Any], str]:
        live = self.firewall.get(kind, summary)
        if live is None:
            raise self._changed(kind, summary)
        return live

    def _make(self, kind: Kind, name: str, wanted: Mapping[str, Any]) -> None:
        request = {**self._request(wanted), **wanted["made_with"]}
        if wanted["tags"]:
            request["Tags"] = _tag_list(self._own_tags(wanted["tags"]))
        self.firewall.send(
            f"make {kind.name} {self.own(name)}",
            f"create_{kind.operation}",
            Name=self.own(name),
            Scope=self.firewall.scope,
            **request,
        )

    def _request(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        return request_of(opened(wanted["settings"]), self.arn)

    def _under_lock(
        self,
        kind: Kind,
        summary: Summary,
        live: tuple[Mapping[str, Any], str],
        operation: str,
        request: Mapping[str, Any],
    ) -> None:
        told, token = live
        for _ in range(2):
            try:
                self.firewall.send(
                    f"{operation.partition('_')[0]} {kind.name} {summary['Name']}",
                    operation,
                    Name=summary["Name"],
                    Id=summary["Id"],
                    Scope=self.firewall.scope,
                    LockToken=token,
                    **request,
                )
            except AwsRefused as refused:
                if refused_with(refused) != STALE:
                    raise
            else:
                return
            again, token = self._read(kind, summary)
            if again != told:
                break
        raise self._changed(kind, summary)

    def _changed(self, kind: Kind, summary: Summary) -> SourceChanged:
        return SourceChanged(
            f"somebody else is changing {kind.name} {summary['Name']}",
            hint="what they wrote was left as it is: find out who it is (CloudTrail), and start "
            "again for a plan of what is live then",
        )

    def _set_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        live, wanted = self.firewall.tags(arn), self._own_tags(tags)
        changed = {key: value for key, value in wanted.items() if live.get(key) != value}
        gone = sorted(live.keys() - wanted.keys())
        if changed:
            self.firewall.send("tag", "tag_resource", ResourceARN=arn, Tags=_tag_list(changed))
        if gone:
            self.firewall.send("remove tags", "untag_resource", ResourceARN=arn, TagKeys=gone)

    def _own_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        return {f"{self.place}{key}": value for key, value in tags.items()}

    def _drop(self, what: str, operation: str, **request: Any) -> None:
        try:
            self.firewall.send(what, operation, **request)
        except AwsRefused as refused:
            if refused_with(refused) != GONE:
                raise


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
