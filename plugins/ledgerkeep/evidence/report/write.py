"""Make a compliance report and put it beside the evidence, under the same lock."""

from datetime import datetime

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.evidence.history import AirflowRun
from ledgerkeep.evidence.report.build import build_report
from ledgerkeep.evidence.report.gather import gather
from ledgerkeep.evidence.report.model import ComplianceReport, Period
from ledgerkeep.evidence.report.render import render_html, render_json
from ledgerkeep.model import Record
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectStore


class ReportKeys(Record):
    """Where a report lies in the bucket."""

    page: str
    """The HTML."""
    data: str
    """The JSON of the same model."""


def make_report(
    store: ObjectStore,
    policy: Policy,
    *,
    since: datetime,
    until: datetime,
    history: list[AirflowRun] | None = None,
    history_problem: str = "",
    now: datetime | None = None,
) -> ComplianceReport:
    """The report on the runs that started in [since, until), from what the store holds.

    :param history: Airflow's own runs, as `gather` wants them.
    :param history_problem: why there is no history, for the report to say.
    """
    period = Period(since=since, until=until)
    material = gather(
        store, policy, period, history=history, history_problem=history_problem, now=now
    )
    return build_report(material)


def write_report(store: ObjectStore, catalog: Catalog, report: ComplianceReport) -> ReportKeys:
    """Store the HTML, then the JSON: a report whose JSON is there is complete."""
    stem = (
        f"{keys.reports(report.environment)}{report.made_at:%Y/%m}/"
        f"compliance-{report.made_at:%Y%m%dT%H%M%SZ}"
    )
    written = ReportKeys(page=f"{stem}.html", data=f"{stem}.json")
    retention = catalog.retention("evidence")
    store.put(written.page, render_html(report), retention=retention, content_type="text/html")
    store.put(
        written.data, render_json(report), retention=retention, content_type="application/json"
    )
    return written
