"""A compliance report as one HTML file that needs nothing else, and as JSON.

The template lies in `include/reports/`; it holds the words and the order, this module the figures
as people read them. The page has no script and asks no server for anything, so it reads the same
in ten years, and on paper.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.evidence.report.charts import draw_charts
from ledgerkeep.evidence.report.model import (
    BackupRow,
    ComplianceReport,
    DagRuns,
    EvidenceRow,
    FindingRow,
)
from ledgerkeep.evidence.report.words import duration, moment
from ledgerkeep.progress import format_bytes
from ledgerkeep.worker import worker_settings

TEMPLATE = "compliance.html.j2"
LISTED_RUNS = 100
"""A DAG with more runs than this is listed with its failed runs only; the JSON has them all."""


def render_json(report: ComplianceReport) -> bytes:
    """The model, in its canonical form."""
    return report.to_json()


def render_html(report: ComplianceReport, *, templates: Path | None = None) -> bytes:
    """The report as a self-contained page.

    :param templates: directory of the template; the worker's by default.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(templates or worker_settings().report_templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=duration,
        moment=moment,
        at=lambda when: "–" if when is None else f"{when:%Y-%m-%d %H:%M}",
        bytes=lambda count: "–" if count is None else format_bytes(count),
        lsn=format_lsn,
        count=lambda number: f"{number:,}".replace(",", " "),
        percent=_percent,
    )
    charts = {name: Markup(svg) for name, svg in draw_charts(report).items()}  # noqa: S704 - ours
    page = environment.get_template(TEMPLATE).render(report=report, charts=charts, **_extra(report))
    return page.encode()


def _extra(report: ComplianceReport) -> dict[str, Any]:
    """What the page shows beyond the fields: selections, never new figures."""
    frequent = [dag for dag in report.dags if dag.runs > LISTED_RUNS]
    levels = [row.level for row in report.base_backups]
    return {
        "chains": _chains(report.base_backups),
        "findings": [row for row in report.findings if not _routine(report, row)],
        "frequent": frequent,
        "judged": [test for test in report.restore_tests if test.criteria or test.facts],
        "listed": _listed(report.evidence, frequent),
        # The period ends right before `until`, so midnight belongs to the day after.
        "last_day": report.period.until - timedelta(seconds=1),
        "proven": levels.count("proven"),
        "last_test": report.restore_tests[-1] if report.restore_tests else None,
    }


def _chains(backups: list[BackupRow]) -> list[tuple[BackupRow, list[BackupRow]]]:
    """Each full backup with the incrementals that build on it, whatever lies between."""
    chains: dict[str, tuple[BackupRow, list[BackupRow]]] = {}
    roots: dict[str, str] = {}
    for row in backups:
        root = roots.get(row.parent_id or "")
        if root is None:
            roots[row.id] = row.id
            chains[row.id] = row, []
        else:
            roots[row.id] = root
            chains[root][1].append(row)
    return list(chains.values())


def _routine(report: ComplianceReport, row: FindingRow) -> bool:
    """What a verification states day after day when all is well; the latest is shown by itself."""
    verified = f"{report.environment}_database_backup_verification/"
    return row.finding.severity == "info" and row.run.startswith(verified)


def _listed(evidence: list[EvidenceRow], frequent: list[DagRuns]) -> list[EvidenceRow]:
    names = tuple(f"{dag.dag_id}/" for dag in frequent)
    return [row for row in evidence if row.outcome == "failed" or not row.run.startswith(names)]


def _percent(part: int, whole: int) -> str:
    """A share without rounding a failure away: 999 of 1000 is 99.9 %, never 100 %."""
    if not whole:
        return "–"
    if part == whole:
        return "100 %"
    return f"{min(99.9, 100 * part / whole):.1f} %"
