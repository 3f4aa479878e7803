"""Templates with all their versions, of which one is active.

A version has no name that must be unique, so versions are matched by all that they say, then by
name. Listing tells when each was changed; only templates of which any was are read.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from ledgerkeep.configuration.items import canonical
from ledgerkeep.configuration.kinds import Kind
from ledgerkeep.configuration.owner import Row
from ledgerkeep.configuration.source import Change, Found, Known
from ledgerkeep.configuration.sources.sendgrid.account import Account

_SAID = (
    "name",
    "subject",
    "html_content",
    "plain_content",
    "generate_plain_content",
    "editor",
    "test_data",
)
"""What of a version is its own; whether it is active is the template's choice."""


class Templates(Kind):
    """Templates of both generations."""

    name = "template"

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        self.api, self.place, self.register = account.api, account.place, account.templates

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Those that were changed since they were stored."""
        for outer, row in self.register.rows().items():
            name = self.place.inward(outer)
            if name is None:
                continue
            mark = hashlib.sha256(canonical(dict(row))).hexdigest()[:32]
            if known.get(name) == mark:
                yield Known(name)
                continue
            versions = [
                {**_said(one), "active": bool(one["active"])} for one in self._versions(row)
            ]
            versions.sort(key=lambda one: (one["name"], canonical(one)))
            content = {"name": name, "generation": row["generation"], "versions": versions}
            yield Found(name, content, mark)

    def put(self, name: str, change: Change) -> None:
        """The template, then its versions, then which of them is active."""
        assert change.wanted is not None  # noqa: S101 - a deletion is not put
        outer, wanted = self.place.outward(name), change.wanted
        row = self.register.rows().get(outer)
        if row is not None and row["generation"] != wanted["generation"]:
            self.remove(name)
            row = None
        if row is None:
            body = {"name": outer, "generation": wanted["generation"]}
            row = self._ask("POST", f"make template {outer}", "/templates", "create", body=body)
        ids = self._put_versions(outer, row, wanted["versions"])
        for id_, version in zip(ids, wanted["versions"], strict=True):
            self._activate(outer, row["id"], id_, bool(version["active"]))
        path = f"/templates/{row['id']}"
        self.register.put(self._ask("GET", f"read template {outer}", path, "read"))

    def remove(self, name: str) -> None:
        """With all its versions."""
        outer = self.place.outward(name)
        row = self.register.rows().get(outer)
        if row is None:
            return
        for version in self._versions(row):
            path = f"/templates/{row['id']}/versions/{version['id']}"
            what = f"delete a version of template {outer}"
            self._ask("DELETE", what, path, "versions.delete", tolerate=(404,))
        path = f"/templates/{row['id']}"
        self._ask("DELETE", f"delete template {outer}", path, "delete", tolerate=(404,))
        self.register.drop(outer)

    def _versions(self, row: Row) -> list[dict[str, Any]]:
        """As they are now, whole."""
        template = self._ask("GET", "read a template", f"/templates/{row['id']}", "read")
        path = f"/templates/{row['id']}/versions"
        return [
            self._ask("GET", "read a version", f"{path}/{one['id']}", "versions.read")
            for one in template.get("versions") or []
        ]

    def _put_versions(self, outer: str, row: Row, wanted: list[Any]) -> list[str]:
        """The ids of those that are wanted, in their order."""
        live = self._versions(row)
        ids = _matched(live, wanted)
        path, what = f"/templates/{row['id']}/versions", f"set the versions of template {outer}"
        free = {one["id"] for one in live} - {one for one in ids if one}
        by_name = {one["name"]: one["id"] for one in live if one["id"] in free}
        for at, version in enumerate(wanted):
            if ids[at] is None:
                body, same = _said(version), by_name.pop(version["name"], None)
                if same is not None:
                    free.discard(same)
                    self._ask("PATCH", what, f"{path}/{same}", "versions.update", body=body)
                    ids[at] = same
                else:
                    body["active"] = 0
                    ids[at] = self._ask("POST", what, path, "versions.create", body=body)["id"]
        for id_ in sorted(free):
            self._ask("DELETE", what, f"{path}/{id_}", "versions.delete", tolerate=(404,))
        return [str(one) for one in ids]

    def _activate(self, outer: str, template: str, id_: str, active: bool) -> None:
        path = f"/templates/{template}/versions/{id_}"
        live = self._ask("GET", "read a version", path, "versions.read")
        if bool(live["active"]) == active:
            return
        what = f"activate a version of template {outer}"
        if active:
            self._ask("POST", what, f"{path}/activate", "versions.activate.create")
        else:
            body = {"name": live["name"], "subject": live.get("subject", ""), "active": 0}
            self._ask("PATCH", what, path, "versions.update", body=body)

    def _ask(self, method: str, what: str, path: str, needs: str, **rest: Any) -> Any:
        return self.api.ask(what, method, path, needs=f"templates.{needs}", **rest)


def _said(version: Mapping[str, Any]) -> dict[str, Any]:
    return {name: version[name] for name in _SAID if version.get(name) is not None}


def _matched(live: list[dict[str, Any]], wanted: list[Any]) -> list[str | None]:
    """For each that is wanted, the id of one that says the same, if there is one."""
    free = list(live)
    found: list[str | None] = []
    for version in wanted:
        same = next((one for one in free if _said(one) == _said(version)), None)
        if same is not None:
            free.remove(same)
        found.append(None if same is None else str(same["id"]))
    return found
