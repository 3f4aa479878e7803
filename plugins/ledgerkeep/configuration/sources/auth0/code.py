"""Code that runs while somebody logs in: rules, actions, and what triggers them."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.kinds import Kind, Listed, Shape
from ledgerkeep.configuration.owner import Row
from ledgerkeep.configuration.source import Change, Found, Known, Planned
from ledgerkeep.configuration.sources.auth0.tenant import Tenant


class Rules(Listed):
    """Rules, which Auth0 still runs where a tenant has them."""

    name = "rule"
    path = "/rules"
    shape = Shape(fixed=frozenset({"stage"}))


class RuleSettings(Kind):
    """Values that rules read; Auth0 tells their names only."""

    name = "rule-setting"
    why_not_beside = "rules' settings are shared by all rules of a tenant"

    def __init__(self, tenant: Tenant) -> None:
        """Nothing is asked yet."""
        self.tenant = tenant

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Their names."""
        for row in self.tenant.all("/rules-configs"):
            yield Found(row["key"], {"key": row["key"]})

    def put(self, name: str, change: Change) -> None:
        """A person has to."""

    def remove(self, name: str) -> None:
        """Delete it."""
        path = f"/rules-configs/{quote(name, safe='')}"
        self.tenant.api.ask(f"delete the rules' setting {name}", "DELETE", path, tolerate=(404,))

    def by_hand(self, change: Planned) -> str:
        """Enter the value."""
        if change.action == "delete":
            return ""
        name = change.key.partition("/")[2]
        return f"enter the rules' setting {name} in Auth0, which tells nobody its value"


class Actions(Listed):
    """Actions: their code, deployed or not. Their secrets are a kind of their own."""

    name = "action"
    path = "/actions/actions"
    shape = Shape(
        left_out=frozenset(
            {
                "created_at",
                "updated_at",
                "status",
                "secrets",
                "current_version",
                "deployed_version",
                "all_changes_deployed",
                "built_at",
                "installed_integration_id",
                "integration",
            }
        ),
        unordered=frozenset({"dependencies"}),
    )
    _BUILDING: ClassVar[set[str]] = {"pending", "building", "packaged", "retrying"}

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """With whether what is written is what runs."""
        found = super().content(name, row)
        return {**found, "deployed": bool(row.get("all_changes_deployed"))}

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Deploying is a request of its own."""
        body = super().body(wanted)
        del body["deployed"]
        return body

    def put(self, name: str, change: Change) -> None:
        """The code; then it runs, if it did."""
        super().put(name, change)
        outer = self.place.outward(name)
        row = self._built(outer)
        if (change.wanted or {})["deployed"] and not row.get("all_changes_deployed"):
            path = f"{self.path}/{row['id']}"
            self.ask("POST", f"deploy action {outer}", f"{path}/deploy")
            row = self.ask("GET", f"read action {outer}", path)
        self.register.put(row)

    def delete(self, outer: str, row: Row) -> None:
        """Also where it is bound to a trigger."""
        path = f"{self.path}/{row['id']}?force=true"
        self.ask("DELETE", f"delete action {outer}", path, tolerate=(404,))

    def _built(self, outer: str) -> Row:
        """Auth0 builds what was written before it can be deployed."""
        path = f"{self.path}/{self.register.needed(outer)}"

        def built() -> Row | None:
            row: Row = self.ask("GET", f"read action {outer}", path)
            return None if row.get("status") in self._BUILDING else row

        return self.api.exchange.poll(f"build the action {outer}", built)


class Triggers(Kind):
    """Which actions run when, in their order."""

    name = "trigger"
    why_not_beside = "what is bound to a trigger runs for everybody of a tenant"

    def __init__(self, tenant: Tenant) -> None:
        """Nothing is asked yet."""
        self.tenant = tenant

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Of triggers that have any."""
        answer = self.tenant.api.ask("list actions triggers", "GET", "/actions/triggers")
        for trigger in sorted({str(one["id"]) for one in answer["triggers"]}):
            bound = self._bound(trigger)
            if bound:
                yield Found(trigger, {"actions": bound})

    def put(self, name: str, change: Change) -> None:
        """Bind all, in their order."""
        wanted = list((change.wanted or {})["actions"])
        if wanted != self._bound(name):
            self._bind(name, wanted)

    def remove(self, name: str) -> None:
        """Nothing is bound to it any more."""
        if self._bound(name):
            self._bind(name, [])

    def _bound(self, trigger: str) -> list[Any]:
        return [
            {"action": row["action"]["name"], "display_name": row["display_name"]}
            for row in self.tenant.pages(f"/actions/triggers/{trigger}/bindings")
        ]

    def _bind(self, trigger: str, actions: list[Any]) -> None:
        bindings = [
            {
                "ref": {"type": "action_name", "value": one["action"]},
                "display_name": one["display_name"],
            }
            for one in actions
        ]
        self.tenant.api.ask(
            f"bind actions to {trigger}",
            "PATCH",
            f"/actions/triggers/{trigger}/bindings",
            body={"bindings": bindings},
        )
