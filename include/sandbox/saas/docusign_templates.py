"""DocuSign's templates: their documents, recipients, tabs, fields.

What belongs to a template is changed by requests of its own, and documents take their tabs along.
"""

import base64
import json
import secrets
import uuid

from include.sandbox.saas.docusign_account import (
    ID,
    Account,
    Route,
    Thing,
    every,
    found,
    paged,
    refused,
)
from include.sandbox.saas.server import Reply, Request, moment


def add_template(account: Account, told: Thing, documents: dict[str, bytes]) -> Thing:
    """Make one as the service does; for stocking."""
    coded = [
        {
            "documentId": id_,
            "name": f"Document {id_}",
            "order": id_,
            "documentBase64": base64.b64encode(content).decode(),
        }
        for id_, content in documents.items()
    ]
    return _new_template(account, {**told, "documents": coded})


def _templates(account: Account, request: Request) -> Reply:
    if request.method == "POST":
        made = _new_template(account, request.json())
        return Reply(201, {"templateId": made["templateId"], "name": made["name"]})
    told = ("templateId", "name", "lastModified", "created", "shared", "owner")
    rows = [{name: one[name] for name in told} for one in account.templates.values()]
    return paged(request, "envelopeTemplates", rows)


def _new_template(account: Account, told: Thing) -> Thing:
    id_ = str(uuid.uuid4())
    made = {
        "shared": "false",
        **{name: one for name, one in told.items() if name not in ("documents", "recipients")},
        "templateId": id_,
        "created": moment(),
        "lastModified": moment(),
        "lastModifiedBy": {"userName": "Stand In"},
        "owner": {"userName": "Stand In", "userId": "u1"},
        "folderId": str(uuid.uuid4()),
        "uri": f"/templates/{id_}",
        "documents": [],
        "recipients": {},
    }
    account.templates[id_] = made
    _put_documents(account, made, told.get("documents", []))
    _post_recipients(account, made, told.get("recipients", {}))
    return made


def _put_documents(account: Account, made: Thing, documents: list[Thing]) -> None:
    for one in documents:
        content = base64.b64decode(one["documentBase64"])
        account.documents[made["templateId"], one["documentId"]] = content
        shown = {name: one[name] for name in one if name != "documentBase64"}
        shown |= {"uri": f"/documents/{one['documentId']}", "documentIdGuid": str(uuid.uuid4())}
        shown["fileExtension"] = "pdf"
        others = [x for x in made["documents"] if x["documentId"] != one["documentId"]]
        made["documents"] = [*others, shown]
        _forget_tabs(made, one["documentId"])


def _forget_tabs(made: Thing, document: str) -> None:
    for some in made["recipients"].values():
        for one in some:
            for kind, tabs in one.get("tabs", {}).items():
                one["tabs"][kind] = [x for x in tabs if x["documentId"] != document]


def _post_recipients(account: Account, made: Thing, recipients: Thing) -> None:
    for kind, some in recipients.items():
        for one in some:
            told = json.loads(json.dumps(one))
            told |= {"recipientIdGuid": str(uuid.uuid4()), "userId": str(uuid.uuid4())}
            if "signingGroupId" in told:
                found(account.signing_groups, told["signingGroupId"], "SIGNING_GROUP")
            for tabs in told.get("tabs", {}).values():
                for tab in tabs:
                    tab["tabId"] = str(uuid.uuid4())
            made["recipients"].setdefault(kind, []).append(told)


def _template(account: Account, request: Request, id_: str) -> Reply:
    made = found(account.templates, id_, "TEMPLATE")
    if request.method == "DELETE":
        del account.templates[id_]
        return Reply(200)
    if request.method == "PUT":
        body = request.json()
        if {"documents", "recipients"} & body.keys():
            said = "Documents and recipients have requests of their own here."
            raise refused(400, "INVALID_REQUEST_PARAMETER", said)
        made |= {**body, "lastModified": moment()}
        return Reply(200, {})
    count = sum(len(some) for some in made["recipients"].values())
    told = {**made["recipients"], "recipientCount": str(count), "currentRoutingOrder": "1"}
    return Reply(200, {**made, "recipients": told, "descriptionMetadata": {"rights": "editable"}})


def _template_documents(account: Account, request: Request, id_: str) -> Reply:
    made = found(account.templates, id_, "TEMPLATE")
    made["lastModified"] = moment()
    documents = request.json()["documents"]
    if request.method == "PUT":
        _put_documents(account, made, documents)
    else:
        gone = {one["documentId"] for one in documents}
        made["documents"] = [one for one in made["documents"] if one["documentId"] not in gone]
        for one in gone:
            _forget_tabs(made, one)
    return Reply(200, {"templateId": id_})


def _template_document(account: Account, request: Request, id_: str, document: str) -> Reply:
    if (id_, document) not in account.documents:
        raise refused(404, "DOCUMENT_DOES_NOT_EXIST", "The document does not exist.")
    return Reply(200, account.documents[id_, document])


def _template_recipients(account: Account, request: Request, id_: str) -> Reply:
    made = found(account.templates, id_, "TEMPLATE")
    if request.method == "GET":
        return Reply(200, {**made["recipients"], "recipientCount": "0"})
    made["lastModified"] = moment()
    if request.method == "POST":
        _post_recipients(account, made, request.json())
        return Reply(201, {})
    for kind, some in request.json().items():
        gone = {one["recipientId"] for one in some}
        kept = [one for one in made["recipients"][kind] if one["recipientId"] not in gone]
        made["recipients"][kind] = kept
    return Reply(200, {})


def _template_fields(account: Account, request: Request, id_: str) -> Reply:
    made = found(account.templates, id_, "TEMPLATE")
    held = made.setdefault("customFields", {})
    if request.method != "GET":
        made["lastModified"] = moment()
        for kind, some in request.json().items():
            names = {one["name"] for one in some}
            kept = [one for one in held.get(kind, []) if one["name"] not in names]
            added = [{**one, "fieldId": secrets.token_hex(4)} for one in some]
            held[kind] = kept + (added if request.method == "POST" else [])
        made["customFields"] = {kind: some for kind, some in held.items() if some}
        if not made["customFields"]:
            del made["customFields"]
    return Reply(201 if request.method == "POST" else 200, held)


def _template_notification(account: Account, request: Request, id_: str) -> Reply:
    made = found(account.templates, id_, "TEMPLATE")
    made |= {"notification": request.json(), "lastModified": moment()}
    return Reply(200, made["notification"])


ROUTES: list[Route] = [
    *every("/templates", _templates, ("GET", "POST")),
    *every("/templates" + ID, _template, ("GET", "PUT", "DELETE")),
    *every(f"/templates{ID}/documents", _template_documents, ("PUT", "DELETE")),
    *every(f"/templates{ID}/documents{ID}", _template_document, ("GET",)),
    *every(f"/templates{ID}/recipients", _template_recipients, ("GET", "POST", "DELETE")),
    *every(f"/templates{ID}/custom_fields", _template_fields, ("GET", "POST", "DELETE")),
    *every(f"/templates{ID}/notification", _template_notification, ("PUT",)),
]
