"""Templates: what is signed, by which roles, where; with their documents.

A template is changed in parts, because its id must stay: its own members by one request, then
documents, recipients with their tabs, custom fields and reminders, each only where it differs.
Recipients are replaced as a whole, since their tabs are positions in the documents.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ledgerkeep.configuration.items import Content, opened
from ledgerkeep.configuration.kinds import Kind, with_secrets
from ledgerkeep.configuration.owner import Row
from ledgerkeep.configuration.source import Attachment, Change, Found, Known
from ledgerkeep.configuration.sources.docusign.account import Account, cleaned
from ledgerkeep.configuration.sources.docusign.settings import SECRET
from ledgerkeep.errors import ConfigurationError, ObjectCorrupt

_NOT_TOLD = re.compile(
    r"Guid$|Uri$|DateTime$|^uri$|^created|^lastModified|^lastUsed$|^owner$|^folder|^parentFolder"
    r"|^pageCount$|^pages$|^sizeBytes$|^templateId$|^tabId$|^fieldId$|^userId$|^creationReason$"
    r"|^recipientCount$|^currentRoutingOrder$|^favoritedByMe$|^powerForm|^totalTabCount$"
    r"|^signingGroupId$|^containsPdfFormFields$|^passwordProtected$|^lockInformation$|^status$"
)
"""Members that DocuSign sets, at any depth."""
_PARTS = ("documents", "recipients", "customFields", "notification")
"""Members with requests of their own."""


class Templates(Kind):
    """All templates that the user may see."""

    name = "template"

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        self.account = account
        self.api, self.place, self.register = account.api, account.place, account.templates

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Those that were modified since they were stored."""
        for outer, row in self.register.rows().items():
            name = self.place.inward(outer)
            if name is None:
                continue
            mark = str(row.get("lastModified", ""))
            if mark and known.get(name) == mark:
                yield Known(name)
                continue
            content = self._content(name, row["templateId"])
            read = partial(self._bytes, row["templateId"], content["documents"])
            attachment = Attachment(read) if content["documents"] else None
            yield Found(name, content, mark, attachment)

    def put(self, name: str, change: Change) -> None:
        """Make it, or change it in parts."""
        assert change.wanted is not None  # noqa: S101 - a deletion is not put
        outer = self.place.outward(name)
        id_ = self.register.id_of(outer)
        if id_ is None:
            body = {**self._members(change.wanted), "name": outer, **self._made(change)}
            answer = self.api.ask(f"make template {outer}", "POST", "/templates", body=body)
            self.register.put({"name": outer, "templateId": answer["templateId"]})
            return
        live = self._content(name, id_)
        self._change_members(outer, id_, live, change.wanted)
        if live["documents"] != change.wanted["documents"]:
            self._replace_documents(outer, id_, live, change)
        # Tabs lie on documents: where those were replaced, they were lost.
        if self._content(name, id_)["recipients"] != change.wanted["recipients"]:
            self._replace_recipients(outer, id_, change.wanted)
        self._replace_fields(outer, id_, live, change.wanted)
        if live.get("notification") != change.wanted.get("notification"):
            path, body = f"/templates/{id_}/notification", change.wanted.get("notification", {})
            self.api.ask(f"set the reminders of template {outer}", "PUT", path, body=body)

    def remove(self, name: str) -> None:
        """Into the bin, as DocuSign has it."""
        outer = self.place.outward(name)
        id_ = self.register.id_of(outer)
        if id_ is not None:
            path = f"/templates/{id_}"
            self.api.ask(f"delete template {outer}", "DELETE", path)
            self.register.drop(outer)

    def _content(self, name: str, id_: str) -> dict[str, Any]:
        params = {"include": "tabs,documents,recipients,custom_fields,notifications"}
        path = f"/templates/{id_}"
        row = self.api.ask(f"read template {name}", "GET", path, params=params)
        found = _told(cleaned(row))
        brand = self.account.brands.name_of(row.get("brandId")) if row.get("brandId") else None
        found.pop("brandId", None)
        inner = brand and self.place.inward(brand)
        if inner:
            found["brand"] = inner
        told = sorted(found.get("documents", []), key=lambda one: int(one["order"]))
        documents = [self._document(id_, one) for one in told]
        recipients = {
            kind: sorted(
                (self._recipient_inward(one) for one in some), key=lambda one: one["recipientId"]
            )
            for kind, some in (found.get("recipients") or {}).items()
            if isinstance(some, list) and some
        }
        content = {**found, "name": name, "documents": documents, "recipients": recipients}
        return {one: with_secrets(one, value, SECRET) for one, value in content.items()}

    def _document(self, id_: str, told: Row) -> dict[str, Content]:
        content = self._download(id_, str(told["documentId"]))
        digest = hashlib.sha256(content).hexdigest()
        return {**told, "sha256": digest, "size": len(content)}

    def _download(self, id_: str, document: str) -> bytes:
        path = f"/templates/{id_}/documents/{document}"
        return self.api.download(f"read document {document} of a template", path) or b""

    def _bytes(self, id_: str, documents: list[Row]) -> Iterator[bytes]:
        for one in documents:
            yield self._download(id_, one["documentId"])

    def _recipient_inward(self, told: Row) -> dict[str, Any]:
        group = told.get("signingGroupName")
        inner = self.place.inward(group) if group else None
        return {**told, "signingGroupName": inner} if inner else dict(told)

    def _recipients_outward(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for kind, some in opened(wanted["recipients"]).items():
            found[kind] = []
            for one in some:
                group = one.get("signingGroupName")
                outer = self.place.outward(group) if group else ""
                refer = (
                    {
                        "signingGroupName": outer,
                        "signingGroupId": self.account.signing_groups.needed(outer),
                    }
                    if group
                    else {}
                )
                found[kind].append({**one, **refer})
        return found

    def _members(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        body = {name: one for name, one in wanted.items() if name not in _PARTS}
        brand = body.pop("brand", None)
        if brand:
            body["brandId"] = self.account.brands.needed(self.place.outward(brand))
        return body

    def _made(self, change: Change) -> dict[str, Any]:
        wanted = change.wanted or {}
        parts: dict[str, Any] = {
            "documents": _with_bytes(change),
            "recipients": self._recipients_outward(wanted),
        }
        told = {one: wanted[one] for one in ("customFields", "notification") if one in wanted}
        return {**parts, **told}

    def _change_members(
        self, outer: str, id_: str, live: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> None:
        before, after = self._members(live), self._members(wanted)
        differs = {
            name: after.get(name, "")
            for name in sorted(before.keys() | after.keys())
            if name != "name" and opened(before.get(name)) != opened(after.get(name))
        }
        if differs:
            path = f"/templates/{id_}"
            self.api.ask(f"change template {outer}", "PUT", path, body=differs)

    def _replace_documents(
        self, outer: str, id_: str, live: Mapping[str, Any], change: Change
    ) -> None:
        path, what = f"/templates/{id_}/documents", f"set the documents of template {outer}"
        wanted = _with_bytes(change)
        kept = {one["documentId"] for one in wanted}
        gone = [{"documentId": one["documentId"]} for one in live["documents"]]
        gone = [one for one in gone if one["documentId"] not in kept]
        if gone:
            self.api.ask(what, "DELETE", path, body={"documents": gone})
        if wanted:
            self.api.ask(what, "PUT", path, body={"documents": wanted})

    def _replace_recipients(self, outer: str, id_: str, wanted: Mapping[str, Any]) -> None:
        path, what = f"/templates/{id_}/recipients", f"set the recipients of template {outer}"
        live = self.api.ask(what, "GET", path)
        gone = {
            kind: [{"recipientId": one["recipientId"]} for one in some]
            for kind, some in live.items()
            if isinstance(some, list) and some
        }
        if gone:
            self.api.ask(what, "DELETE", path, body=gone)
        if wanted["recipients"]:
            body = self._recipients_outward(wanted)
            self.api.ask(what, "POST", path, body=body)

    def _replace_fields(
        self, outer: str, id_: str, live: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> None:
        if live.get("customFields") == wanted.get("customFields"):
            return
        path, what = f"/templates/{id_}/custom_fields", f"set the fields of template {outer}"
        before = self.api.ask(what, "GET", path)
        if any(before.values()):
            self.api.ask(what, "DELETE", path, body=before)
        if wanted.get("customFields"):
            self.api.ask(what, "POST", path, body=wanted["customFields"])


def _told(value: Any) -> Any:
    """What is configuration of it, at any depth."""
    if isinstance(value, Mapping):
        return {name: _told(one) for name, one in value.items() if not _NOT_TOLD.search(name)}
    return [_told(one) for one in value] if isinstance(value, list) else value


def _with_bytes(change: Change) -> list[dict[str, Any]]:
    """The documents as they are sent, out of the attachment.

    :raises ConfigurationError: there is none.
    :raises ObjectCorrupt: it is not what was stored.
    """
    told = list((change.wanted or {})["documents"])
    if told and change.attachment is None:
        raise ConfigurationError(
            f"the documents of {change.key} are not in the version",
            hint="restore an older version, or upload them by hand",
        )
    stored = b"".join(change.attachment()) if change.attachment is not None else b""
    found: list[dict[str, Any]] = []
    start = 0
    for one in told:
        content = stored[start : start + one["size"]]
        start += one["size"]
        if hashlib.sha256(content).hexdigest() != one["sha256"]:
            raise ObjectCorrupt(
                f"document {one['name']} of {change.key} is not what was stored",
                hint="restore an older version; the attachment was changed",
            )
        members = {name: value for name, value in one.items() if name not in ("sha256", "size")}
        # DocuSign keeps, and gives back, PDF, whatever was uploaded.
        coded = base64.b64encode(content).decode()
        found.append({**members, "fileExtension": "pdf", "documentBase64": coded})
    return found
