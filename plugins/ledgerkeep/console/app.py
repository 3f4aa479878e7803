"""Reports and recovery points inside the Airflow UI.

Two pages, GET only: what can be restored and how far that has been shown, and the reports as they
were stored. Plugin apps are open to the world unless they check, so every route here requires the
permission to view plugins; nothing a page shows comes from anywhere but the bucket.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse

if TYPE_CHECKING:
    from ledgerkeep.catalog.catalog import Catalog

_REPORT = re.compile(r"^\d{4}/\d{2}/[\w.-]+\.html$")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .8rem .3rem 0;
border-bottom:1px solid #d9e2de}h2{margin-top:2rem}.proven{color:#19663f;font-weight:600}
"""


def create_app() -> FastAPI:
    """The app that the plugin registers; a factory, so that tests get one of their own."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view

    app = FastAPI(
        title="Ledgerkeep",
        dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.get("/", response_class=HTMLResponse)(overview)
    app.get("/reports/{environment}/{name:path}", response_class=HTMLResponse)(report)
    return app


def overview() -> HTMLResponse:
    """Recovery points and reports of every environment."""
    from ledgerkeep.policy.load import load_policies

    sections = [_section(_catalog(policy.environment)) for policy in load_policies()]
    return _page("Ledgerkeep", "".join(sections))


def report(environment: str, name: str) -> HTMLResponse:
    """One stored report, byte for byte."""
    from ledgerkeep.catalog import keys
    from ledgerkeep.errors import ObjectMissing

    if not _REPORT.match(name):
        raise HTTPException(status_code=404, detail="no such report")
    catalog = _catalog(environment)
    try:
        body = catalog.store.get(keys.reports(environment) + name)
    except ObjectMissing as missing:
        raise HTTPException(status_code=404, detail="no such report") from missing
    return HTMLResponse(body, headers=_HEADERS)


def _catalog(environment: str) -> Catalog:
    from ledgerkeep.catalog.catalog import Catalog
    from ledgerkeep.hooks.connections import open_policy_store
    from ledgerkeep.policy.load import load_policies

    for policy in load_policies():
        if policy.environment == environment:
            return Catalog(open_policy_store(policy), policy)
    raise HTTPException(status_code=404, detail="no such environment")


def _section(catalog: Catalog) -> str:
    from ledgerkeep.errors import StorageError

    try:
        inside = _backups(catalog) + _reports(catalog)
    except StorageError as problem:
        inside = f"<p>{escape(problem.message)}</p>"
    return f"<h2>{escape(catalog.environment)}</h2>{inside}"


def _backups(catalog: Catalog) -> str:
    from ledgerkeep.progress import format_bytes

    rows = []
    for system_identifier in catalog.system_identifiers():
        snapshot = catalog.snapshot(system_identifier)
        for backup in reversed(snapshot.backups[-20:]):
            word = snapshot.level(backup.id).word
            rows.append(
                f"<tr><td>{escape(backup.id)}</td><td>{backup.stopped_at:%Y-%m-%d %H:%M} UTC</td>"
                f"<td>{format_bytes(backup.stored_bytes)}</td><td class='{word}'>{word}</td></tr>"
            )
    if not rows:
        return "<p>Nothing is stored yet.</p>"
    head = "<tr><th>recovery point</th><th>consistent since</th><th>stored</th><th>proof</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _reports(catalog: Catalog) -> str:
    from ledgerkeep.catalog import keys

    prefix = keys.reports(catalog.environment)
    names = [listed.key.removeprefix(prefix) for listed in catalog.store.list(prefix)]
    pages = [name for name in names if _REPORT.match(name)]
    links = (
        f"<li><a href='reports/{catalog.environment}/{escape(name)}'>{escape(name)}</a></li>"
        for name in reversed(pages[-24:])
    )
    return f"<ul>{''.join(links)}</ul>"


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        f"<style>{_STYLE}</style><h1>{title}</h1>{body}</html>",
        headers=_HEADERS,
    )
