"""A run's figures as CloudWatch metrics, so that alarms and dashboards can be built on them.

Published after the evidence, which is what counts: a figure that could not be published is a
warning in the log and never a failed run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledgerkeep.evidence.records import EvidenceRecord
    from ledgerkeep.policy.model import Policy

_MOST = 1000
"""Metrics that one PutMetricData request takes (CloudWatch API reference)."""


class MetricsNotPublished(Exception):
    """CloudWatch could not be reached, or refused."""


def metric_data(record: EvidenceRecord) -> list[dict[str, Any]]:
    """The run's measurements, and `passed` (1 or 0), by environment and DAG."""
    dimensions = [
        {"Name": "Environment", "Value": record.environment},
        {"Name": "Dag", "Value": record.dag_id.removeprefix(f"{record.environment}_")},
    ]
    return [
        {
            "MetricName": name,
            "Dimensions": dimensions,
            "Timestamp": record.ended_at,
            "Value": value,
            "Unit": unit,
        }
        for name, value, unit in _figures(record)
    ]


def publish_metrics(policy: Policy, record: EvidenceRecord) -> int:
    """Publish the run's metrics over the policy's AWS connection; returns how many.

    :raises MetricsNotPublished:
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from airflow.sdk.exceptions import AirflowException
    from botocore.exceptions import BotoCoreError, ClientError

    if policy.alerts.metrics_namespace is None:
        return 0
    data = metric_data(record)[:_MOST]
    try:
        client = AwsBaseHook(
            aws_conn_id=policy.storage.connection_id,
            client_type="cloudwatch",
            region_name=policy.storage.region,
        ).conn
        client.put_metric_data(Namespace=policy.alerts.metrics_namespace, MetricData=data)
    except (AirflowException, BotoCoreError, ClientError) as problem:
        raise MetricsNotPublished(
            f"the run's metrics were not published: {' '.join(str(problem).split())}"
        ) from problem
    return len(data)


def _figures(record: EvidenceRecord) -> Iterator[tuple[str, float, str]]:
    yield "passed", float(record.outcome == "success"), "Count"
    for name, value in sorted(record.measurements.items()):
        unit = {"bytes": "Bytes", "seconds": "Seconds"}.get(name.rpartition("_")[2], "Count")
        yield name, value, unit
