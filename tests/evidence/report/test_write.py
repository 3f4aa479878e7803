"""The page needs nothing else, says what the model says, and lies beside the evidence."""

import json
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from ledgerkeep.evidence.criteria import Criterion
from ledgerkeep.evidence.report.model import ComplianceReport, DurableRow
from ledgerkeep.evidence.report.render import render_html
from ledgerkeep.evidence.report.words import duration
from ledgerkeep.evidence.report.write import make_report, write_report
from tests.evidence.month import SINCE, Month, quiet

UNTIL = SINCE + timedelta(days=2)
NOW = UNTIL + timedelta(minutes=7)


@pytest.fixture(scope="module")
def month() -> Month:
    month = quiet(2)
    month.run(
        "database_full_backup",
        SINCE + timedelta(hours=20),
        9,
        outcome="failed",
        tasks={"stream": "failed <script>alert(1)</script>"},
        findings=[{"what": "slow & odd", "severity": "warning", "owner": "dba"}],
    )
    return month


@pytest.fixture(scope="module")
def report(month: Month) -> ComplianceReport:
    return make_report(
        month.store, month.policy, since=SINCE, until=UNTIL, history=month.history, now=NOW
    )


@pytest.fixture(scope="module")
def page(report: ComplianceReport) -> str:
    return render_html(report).decode()


class Page(HTMLParser):
    """Tags that are open, ids, and what a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attributes if name == "id"]
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += f"{data} "


def test_page_is_self_contained(page: str) -> None:
    """No script, no request, no address of any kind: it reads the same in ten years."""
    assert "://" not in page
    assert not re.search(r'(src|href)="(?!#)', page)
    assert not re.search(r"url\((?!#)|@import", page)
    assert not Page(page).tags & {"script", "link", "img", "iframe", "object"}


def test_page_is_well_formed_and_its_ids_are_unique(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert page.count("<svg") == 4
    assert page.count('<figure role="img" aria-label="') == 4


def test_what_runs_wrote_cannot_become_markup(page: str) -> None:
    assert "failed &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "slow &amp; odd" in page


def test_page_shows_the_figures_of_the_model(report: ComplianceReport, page: str) -> None:
    words = re.sub(r"\s+", " ", Page(page).words)
    assert "Production, 1 March 2026 to 2 March 2026" in words
    assert "The policy was met with exceptions." in words
    assert f"{report.succeeded} of {report.runs}" in words
    assert "99.5 %" in words
    assert f"A failure now would lose {duration(report.currency.age_seconds)}" in words
    assert "Last restore took 18 min 50 s objective 1 h" in words
    assert "Proven base backups 1 of 2" in words
    assert report.chain.head is not None
    assert report.chain.head.sha256 is not None
    assert report.chain.head.sha256 in words
    assert "11 tables, 4 812 330 rows compared" in words
    for backup in report.base_backups:
        assert backup.id in words
    for control in report.controls:
        assert control.found in words


def test_frequent_runs_are_in_the_json_and_not_all_on_the_page(
    report: ComplianceReport, page: str
) -> None:
    shipping = [row for row in report.evidence if "wal_shipping" in row.run]
    assert len(shipping) == 192
    assert shipping[5].run not in page
    assert "of production_database_wal_shipping only those that failed" in page


def test_success_share_never_rounds_a_failure_away(report: ComplianceReport) -> None:
    many = report.dags[0].model_copy(update={"runs": 100_000, "succeeded": 99_999})
    page = render_html(report.model_copy(update={"dags": [many]})).decode()
    assert "99.9 %" in page
    assert "100.0 %" not in page


def test_page_shows_how_old_the_readings_are(page: str) -> None:
    words = re.sub(r"\s+", " ", Page(page).words)
    assert "Written or read back in that time 100 % 195 of 195 stored objects" in words
    assert "Oldest reading 2 d ago, 2026-03-01 00:00 UTC" in words
    assert "Latest verification passed 2026-03-02 07:00 UTC" in words


def test_incrementals_are_shown_with_the_full_backup_they_build_on(
    report: ComplianceReport,
) -> None:
    full = report.base_backups[0]
    built = [
        full.model_copy(update={"id": f"i{number}", "parent_id": parent, "stored_bytes": 10**9})
        for number, parent in enumerate([full.id, "i0", "i1"])
    ]
    orphan = full.model_copy(update={"id": "o", "parent_id": "gone"})
    many = report.model_copy(update={"backups": [*report.backups, *built, orphan]})
    words = re.sub(r"\s+", " ", Page(render_html(many).decode()).words)
    assert "and 3 incrementals on it, 3.0 GB, the last of 2026-03-01 01:04" in words
    assert "o incremental; what it builds on is gone" in words


def test_page_shows_how_soon_commits_were_durable(report: ComplianceReport) -> None:
    row = DurableRow(
        system_identifier="42",
        stretches=4_300,
        samples=2_500_000,
        typical_seconds=5.3,
        worst_seconds=1300,
        worst_at=SINCE,
        target_seconds=900,
        over_target=2,
    )
    streamed = report.model_copy(update={"durable_after": [row]})
    words = re.sub(r"\s+", " ", Page(render_html(streamed).decode()).words)
    assert (
        "42 4 300 2 500 000 5.3 s 21 min 40 s 2026-03-01 00:00 15 min not met longer in 2 of them"
    ) in words
    assert "At worst a failure in the period would have lost 15 min" in words
    assert "From commit to durable" not in render_html(report).decode()


def test_page_shows_what_a_recovery_had_to_show_and_who_decided(report: ComplianceReport) -> None:
    facts = {
        "reason": "a table was <dropped>",
        "answer": "Approve",
        "answered_by": "grace",
        "answered_at": "2026-03-01T20:04:00.123+00:00",
    }
    criteria = [
        Criterion(name="data integrity", met=True, words="all rows are there"),
        Criterion(name="application works", met=False, words="not shown"),
        Criterion(name="performance within range", met=None, words="no key queries"),
    ]
    (test,) = report.restore_tests
    judged = test.model_copy(update={"criteria": criteria, "facts": facts, "asked_by": "ada"})
    rejected = test.model_copy(update={"facts": facts | {"answer": "Reject"}})
    routine = test.model_copy(update={"criteria": criteria, "asked_by": "scheduled"})
    tests = [judged, rejected, routine]
    page = render_html(report.model_copy(update={"restore_tests": tests})).decode()
    words = re.sub(r"\s+", " ", Page(page).words)
    assert "data integrity met all rows are there asked by ada a table was <dropped>" in words
    assert "approved by grace 2026-03-01 20:04 application works not met not shown" in words
    assert "performance within range not asked for no key queries" in words
    assert "the evidence states no criteria" in words
    assert "rejected by grace" in words
    assert "started by its schedule application works" in words
    assert Page(page).open == []


def test_empty_period_has_a_page_too() -> None:
    month = Month()
    report = make_report(month.store, month.policy, since=SINCE, until=UNTIL, now=NOW)
    words = Page(render_html(report).decode()).words
    assert "There is none." in words
    assert "Airflow's own run history was not compared" in words


def test_written_report_is_locked_and_its_json_is_the_model(month: Month) -> None:
    report = make_report(month.store, month.policy, since=SINCE, until=UNTIL, now=NOW)
    written = write_report(month.store, month.catalog, report)
    assert written.page == "production/reports/2026/03/compliance-20260303T000700Z.html"
    assert written.data == "production/reports/2026/03/compliance-20260303T000700Z.json"
    stored = json.loads(month.store.get(written.data))
    assert stored["conclusion"] == "met with exceptions"
    assert stored == json.loads(report.to_json())
    for key in (written.page, written.data):
        head = month.store.head(key)
        assert head is not None
        assert head.retention is not None


def test_next_report_checks_the_chain_against_the_head_noted_before() -> None:
    month = quiet(1)
    options = {"since": SINCE, "until": UNTIL, "now": NOW}
    first = make_report(month.store, month.policy, **options)
    write_report(month.store, month.catalog, first)
    second = make_report(month.store, month.policy, **options)
    assert second.chain.compared_with == first.chain.head
    # The whole evidence is removed and written anew, as somebody with every right could.
    for key in [key for key in month.store.objects if "/evidence/" in key]:
        del month.store.objects[key]
    month.run("database_full_backup", SINCE, 60)
    forged = make_report(month.store, month.policy, **options)
    assert not forged.chain.verified
    assert forged.chain.problem == "evidence link 2 of production is missing"
    assert forged.conclusion == "not met"
