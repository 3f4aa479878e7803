"""The compliance report as a task."""

import json

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.report import ComplianceReportOperator
from ledgerkeep.operators.verdict import VerdictOperator
from tests.operators.conftest import Protected

pytestmark = pytest.mark.integration


def make(month: str = "") -> ComplianceReportOperator:
    return ComplianceReportOperator(task_id="make", environment="production", month=month)


def test_report_is_made_without_airflows_history_and_says_so(protected: Protected) -> None:
    before = Run("production_database_full_backup")
    before.states["stream"] = "success"
    before.do(VerdictOperator(task_id="verdict", environment="production", kind="backup"))
    run = Run("production_compliance_report")

    written = run.do(make())

    report = json.loads(protected.catalog.store.get(written["data"]))
    assert report["history"]["runs"] is None
    assert report["history"]["why_not"] == (
        "Airflow's history could not be read over the connection ledgerkeep_airflow_api: "
        "The conn_id `ledgerkeep_airflow_api` isn't defined"
    )
    assert [row["dag_id"] for row in report["dags"]] == ["production_database_full_backup"]
    assert b"could not be read" in protected.catalog.store.get(written["page"])
    assert run.contribution("make") == {"measurements": {"runs": 1}}


def test_month_that_is_none_is_final(protected: Protected) -> None:
    with pytest.raises(AirflowFailException, match=r"2026-13.*\nHint: "):
        Run("r").do(make("2026-13"))
