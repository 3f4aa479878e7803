"""What CloudWatch knows of a bucket: its size by class, and how far its replica is behind.

Both are S3's own figures. The sizes come once a day and count every version; those of replication
come every few minutes where the replication rule asks for metrics.
(AWS: S3 User Guide, Metrics and dimensions.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ledgerkeep.errors import StorageError

STORAGE_TYPES = {
    "StandardStorage": "STANDARD",
    "StandardIAStorage": "STANDARD_IA",
    "OneZoneIAStorage": "ONEZONE_IA",
    "IntelligentTieringFAStorage": "INTELLIGENT_TIERING",
    "IntelligentTieringIAStorage": "INTELLIGENT_TIERING",
    "IntelligentTieringAIAStorage": "INTELLIGENT_TIERING",
    "GlacierInstantRetrievalStorage": "GLACIER_IR",
    "GlacierStorage": "GLACIER",
    "GlacierObjectOverhead": "GLACIER",
    "GlacierS3ObjectOverhead": "STANDARD",
    "DeepArchiveStorage": "DEEP_ARCHIVE",
    "DeepArchiveObjectOverhead": "DEEP_ARCHIVE",
    "DeepArchiveS3ObjectOverhead": "STANDARD",
}
"""CloudWatch's names → the class at whose price they are billed."""
_DAILY = timedelta(days=3)
"""The figures of a day may come two days later."""
_RECENT = timedelta(hours=1)


@dataclass(frozen=True)
class DailyFigures:
    """All versions of a bucket, as S3 counted them last."""

    sizes: Mapping[str, int]
    """Bytes by class."""
    versions: int


@dataclass(frozen=True)
class ReplicationFigures:
    """The newest figures of one replication rule."""

    latency_seconds: float | None
    pending_operations: float | None
    pending_bytes: float | None
    failed_operations: float | None
    """Of the last five minutes that have a figure."""


def read_daily_figures(cloudwatch: Any, bucket: str, now: datetime) -> DailyFigures | None:
    """The last figures of a bucket; None: CloudWatch has none.

    :raises StorageError: CloudWatch cannot be asked.
    """
    asked = {
        name: ("BucketSizeBytes", {"BucketName": bucket, "StorageType": name}, "Average")
        for name in STORAGE_TYPES
    }
    count = ("NumberOfObjects", {"BucketName": bucket, "StorageType": "AllStorageTypes"}, "Average")
    found = _newest(cloudwatch, {**asked, "count": count}, now, _DAILY, timedelta(days=1))
    sizes: dict[str, int] = {}
    for name, storage_class in STORAGE_TYPES.items():
        if name in found:
            sizes[storage_class] = sizes.get(storage_class, 0) + int(found[name])
    return DailyFigures(sizes, int(found.get("count", 0))) if sizes else None


def read_replication_figures(
    cloudwatch: Any, source: str, replica: str, rule_id: str, now: datetime
) -> ReplicationFigures | None:
    """The newest figures of a replication rule; None: CloudWatch has none.

    :raises StorageError: CloudWatch cannot be asked.
    """
    where = {"SourceBucket": source, "DestinationBucket": replica, "RuleId": rule_id}
    asked = {
        "latency": ("ReplicationLatency", where, "Maximum"),
        "operations": ("OperationsPendingReplication", where, "Maximum"),
        "bytes": ("BytesPendingReplication", where, "Maximum"),
        "failed": ("OperationsFailedReplication", where, "Sum"),
    }
    found = _newest(cloudwatch, asked, now, _RECENT, timedelta(minutes=5))
    if not found:
        return None
    return ReplicationFigures(
        latency_seconds=found.get("latency"),
        pending_operations=found.get("operations"),
        pending_bytes=found.get("bytes"),
        failed_operations=found.get("failed"),
    )


def _newest(
    cloudwatch: Any,
    asked: Mapping[str, tuple[str, Mapping[str, str], str]],
    now: datetime,
    back: timedelta,
    period: timedelta,
) -> dict[str, float]:
    """The last value of each metric within the time asked for."""
    names = dict(enumerate(asked))
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/S3",
                    "MetricName": asked[name][0],
                    "Dimensions": [
                        {"Name": key, "Value": value} for key, value in asked[name][1].items()
                    ],
                },
                "Period": int(period.total_seconds()),
                "Stat": asked[name][2],
            },
        }
        for number, name in names.items()
    ]
    try:
        answer = cloudwatch.get_metric_data(
            MetricDataQueries=queries,
            StartTime=now - back,
            EndTime=now,
            ScanBy="TimestampDescending",
        )
    except (BotoCoreError, ClientError) as problem:
        raise StorageError(
            f"CloudWatch did not tell the metrics of S3: {' '.join(str(problem).split())}",
            hint="grant cloudwatch:GetMetricData to the identity of the documents' connection",
        ) from problem
    return {
        names[int(result["Id"][1:])]: result["Values"][0]
        for result in answer["MetricDataResults"]
        if result["Values"]
    }
