import json
from datetime import UTC, datetime

import boto3
import pytest
from moto import mock_aws

from include.sandbox.objectstore import REGION
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.hooks.metrics import MetricsNotPublished, metric_data, publish_metrics
from ledgerkeep.policy.load import load_environment

MOMENT = datetime(2026, 11, 22, 1, 5, tzinfo=UTC)


def record(outcome="success"):
    return EvidenceRecord(
        environment="production",
        dag_id="production_database_full_backup",
        run_id="scheduled__1",
        kind="backup",
        outcome=outcome,
        started_at=MOMENT,
        ended_at=MOMENT,
        triggered_by="scheduled",
        measurements={"stored_bytes": 12.0, "seconds": 3.0, "extract_seconds": 2.0, "files": 7.0},
    )


@pytest.fixture
def connection(monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STORAGE",
        json.dumps({"conn_type": "aws", "login": "a", "password": "b"}),
    )


def test_figures_carry_their_unit():
    units = {row["MetricName"]: row["Unit"] for row in metric_data(record())}

    assert units == {
        "passed": "Count",
        "stored_bytes": "Bytes",
        "seconds": "Seconds",
        "extract_seconds": "Seconds",
        "files": "Count",
    }


def test_a_failed_run_is_a_zero_that_an_alarm_can_see():
    (passed,) = [row for row in metric_data(record("failed")) if row["MetricName"] == "passed"]

    assert passed["Value"] == 0.0
    assert passed["Dimensions"] == [
        {"Name": "Environment", "Value": "production"},
        {"Name": "Dag", "Value": "database_full_backup"},
    ]


@mock_aws
def test_metrics_arrive_in_the_policys_namespace(connection):
    assert publish_metrics(load_environment("production"), record()) == 5

    listed = boto3.client("cloudwatch", region_name=REGION).list_metrics(Namespace="Ledgerkeep")
    assert {row["MetricName"] for row in listed["Metrics"]} >= {"passed", "stored_bytes"}


def test_no_namespace_no_metrics():
    policy = load_environment("production")
    silent = policy.alerts.model_copy(update={"metrics_namespace": None})

    assert publish_metrics(policy.model_copy(update={"alerts": silent}), record()) == 0


def test_an_unreachable_cloudwatch_is_told_and_not_raised_as_something_else(monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STORAGE",
        json.dumps(
            {
                "conn_type": "aws",
                "login": "a",
                "password": "b",
                "extra": {
                    "endpoint_url": "http://127.0.0.1:1",
                    "config_kwargs": {"retries": {"total_max_attempts": 1}},
                },
            }
        ),
    )

    with pytest.raises(MetricsNotPublished, match="the run's metrics were not published: "):
        publish_metrics(load_environment("production"), record())
