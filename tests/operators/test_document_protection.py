"""The protection check's tasks: drift in the evidence, approval, repair, and what fails a run."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.evidence.collect import Contribution
from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST, ApproveChangesOperator
from ledgerkeep.operators.document_protection import (
    READABLE,
    CheckDocumentSettingsOperator,
    CheckDocumentVersionsOperator,
    RepairDocumentSettingsOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator
from tests.conftest import ROOT
from tests.operators.conftest import Protected, connection

ENVIRONMENT = {"environment": "production"}
DAG = "production_documents_protection_check"
HERE, THERE = "loan-management-documents-production", "loan-management-documents-production-replica"
REGIONS = {HERE: "eu-central-1", THERE: "eu-west-1"}
ALIAS = "alias/loan-management-documents-production"
LOGS = {
    "loan-management-access-logs-production": "eu-central-1",
    "loan-management-access-logs-replica": "eu-west-1",
}


def write_policy(directory: Path, monkeypatch: pytest.MonkeyPatch, **documents: Any) -> None:
    policy = yaml.safe_load((ROOT / "include" / "policies" / "production.yaml").read_text())
    for name, value in documents.items():
        policy["documents"]["protection"][name] = value
    (directory / "production.yaml").write_text(yaml.safe_dump(policy))
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(directory))


def client(service: str, region: str) -> Any:
    return boto3.client(service, region_name=region)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Production's two buckets on moto, new and with nothing set; without a rule of replication.

    moto forgets half of what such a rule says.
    """
    write_policy(tmp_path, monkeypatch, replication=None)
    for name in ("DOCUMENTS", "REPLICA"):
        monkeypatch.setenv(
            f"AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_{name}",
            connection("aws", login="testing", password="testing"),
        )
    monkeypatch.setenv("LEDGERKEEP_STORE_PATIENCE", "0.3")
    with mock_aws():
        for name, region in {**REGIONS, **LOGS}.items():
            client("s3", region).create_bucket(
                Bucket=name, CreateBucketConfiguration={"LocationConstraint": region}
            )
        for name, region in LOGS.items():
            allow_logs(name, region)
        for region in REGIONS.values():
            key = client("kms", region).create_key()["KeyMetadata"]["KeyId"]
            client("kms", region).create_alias(AliasName=ALIAS, TargetKeyId=key)
        yield


def allow_logs(name: str, region: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    client("s3", region).put_bucket_policy(
        Bucket=name, Policy=json.dumps({"Statement": [statement]})
    )


def keep_versions() -> Any:
    """Turn versions on in both buckets; returns the client of the documents' region."""
    for name, region in REGIONS.items():
        client("s3", region).put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Enabled"}
        )
    return client("s3", REGIONS[HERE])


def check(run: Run, repair: Any = False) -> dict[str, Any]:
    return run.do(CheckDocumentSettingsOperator(task_id="settings", repair=repair, **ENVIRONMENT))


def approval(run: Run, checked: dict[str, Any]) -> ApproveChangesOperator:
    return ApproveChangesOperator(
        task_id="approve",
        change="repair",
        changes=checked[CHANGES],
        plan_digest=run.left.get(("settings", PLAN_DIGEST), ""),
        response_timeout=timedelta(hours=4),
        subject="Repair?",
        body="facts",
        **ENVIRONMENT,
    )


def approved(run: Run, checked: dict[str, Any]) -> dict[str, str]:
    event = {
        "chosen_options": ["Approve"],
        "params_input": {},
        "responded_at": datetime.now(UTC),
        "responded_by_user": {"id": "7", "name": "bea"},
    }
    task = approval(run, checked)
    return task.execute_complete(run.context(task), event)


def repair(run: Run, checked: dict[str, Any], answer: Any) -> dict[str, int]:
    return run.do(
        RepairDocumentSettingsOperator(
            task_id="repair",
            checked=checked,
            approval=answer,
            approval_required=True,
            **ENVIRONMENT,
        )
    )


def versions(run: Run) -> dict[str, float]:
    return run.do(CheckDocumentVersionsOperator(task_id="versions", **ENVIRONMENT))


def findings(run: Run, task: str, severity: str) -> list[str]:
    found = Contribution.model_validate(run.contribution(task)).findings
    return [one.what for one in found if one.severity == severity]


# -- settings and their repair


def test_critical_drift_fails_the_run_and_each_property_is_a_line(account: None) -> None:
    run = Run(DAG)
    with pytest.raises(AirflowFailException) as caught:
        check(run)
    said = str(caught.value)
    versioning = f"s3://{HERE}: versioning: expected Enabled, found never enabled"
    assert said.startswith(
        f"the documents are not protected as the policy wants it:\n- {versioning}\n"
    )
    assert said.endswith(
        "Hint: start the check with repair to see what would put it right, or correct the policy"
    )
    assert versioning in findings(run, "settings", "critical")
    assert (f"s3://{THERE}: old versions to GLACIER: expected after 90 d, found never") in findings(
        run, "settings", "warning"
    )
    figures = run.contribution("settings")["measurements"]
    assert figures == {
        "properties_fulfilled": 12,
        "properties_drift": 24,
        "properties_not_applicable": 0,
        "properties_not_told": 0,
    }


def test_approved_repair_puts_both_buckets_right(account: None) -> None:
    run = Run(DAG)
    checked = check(run, repair=True)
    assert checked[CHANGES] == run.left["settings", CHANGES] == 16
    assert f"s3://{HERE}: versioning" in run.left["settings", READABLE]
    answer = approved(run, checked)
    assert answer["answered_by"] == "bea (id 7)"

    assert repair(run, checked, answer) == {"repaired": 16}

    done = findings(run, "repair", "info")
    assert done[0] == f"s3://{THERE}: versioning was set as the policy wants it"
    after = check(Run(DAG))
    assert (after["fulfilled"], after["drift"], after["drifted"]) == (36, 0, [])
    # A task that is tried again finds nothing left to do.
    assert repair(run, checked, answer) == {"repaired": 0}


def test_repair_without_approval_touches_nothing(account: None) -> None:
    run = Run(DAG)
    checked = check(run, repair=True)
    with pytest.raises(AirflowFailException, match="nobody has approved this repair"):
        repair(run, checked, {})
    answer = {**approved(run, checked), "approved_plan": "0" * 64}
    with pytest.raises(AirflowFailException, match="another than the one that was approved"):
        repair(run, checked, answer)
    status = client("s3", REGIONS[HERE]).get_bucket_versioning(Bucket=HERE)
    assert "Status" not in status


def test_nobody_is_asked_where_there_is_nothing_to_repair(account: None) -> None:
    run = Run(DAG)
    with pytest.raises(AirflowFailException):
        check(run)
    checked = {CHANGES: 0, "outline": None}
    assert run.do(approval(run, checked)) == {}
    assert repair(run, checked, {}) == {"repaired": 0}
    run = Run(DAG)
    todo = check(run, repair=True)
    repair(run, todo, approved(run, todo))
    assert check(Run(DAG), repair="True")[CHANGES] == 0


def test_repair_that_fails_half_way_says_what_it_did(
    account: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto does not keep that delete markers are replicated, so this one does not read back."""
    role = "arn:aws:iam::123456789012:role/copy"
    write_policy(tmp_path, monkeypatch, replication={"role_arn": role})
    run = Run(DAG)
    checked = check(run, repair=True)
    with pytest.raises(AirflowFailException) as caught:
        repair(run, checked, approved(run, checked))
    assert str(caught.value).startswith(f"replication of s3://{HERE} was not put right: ")
    assert "of 17 changes 9 were made (versioning of s3://" in str(caught.value)
    assert len(findings(run, "repair", "info")) == 9
    assert len(findings(run, "repair", "critical")) == 1


def test_drift_that_no_change_puts_right_fails_even_a_repair(account: None) -> None:
    run = Run(DAG)
    checked = check(run, repair=True)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:DeleteObjectVersion",
        "Resource": f"arn:aws:s3:::{HERE}/*",
    }
    repair(run, checked, approved(run, checked))
    s3 = client("s3", REGIONS[HERE])
    policy = json.loads(s3.get_bucket_policy(Bucket=HERE)["Policy"])
    policy["Statement"].append(statement)
    s3.put_bucket_policy(Bucket=HERE, Policy=json.dumps(policy))
    with pytest.raises(AirflowFailException) as caught:
        check(Run(DAG), repair=True)
    assert (
        f"s3://{HERE}: who may s3:DeleteObjectVersion: expected nobody, found everybody"
    ) in str(caught.value)


# -- versions, costs and lag


def test_versions_are_counted_priced_and_missed_in_the_replica(account: None) -> None:
    s3 = keep_versions()
    for body in (b"one", b"two"):
        s3.put_object(Bucket=HERE, Key="k", Body=body)
    run = Run(DAG)
    figures = versions(run)
    assert (figures["current_versions"], figures["old_versions"]) == (1, 1)
    assert figures["stored_bytes"] == 6
    assert figures["storage_usd_per_month"] > 0
    assert figures["versions_not_replicated"] == 2
    assert any(
        what.startswith(f"s3://{THERE} lacks 2 of the newest 2 versions, the oldest for ")
        for what in findings(run, "versions", "info")
    )


def test_replica_that_is_too_far_behind_fails_the_run(
    account: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = keep_versions()
    s3.put_object(Bucket=HERE, Key="k", Body=b"x")
    path = tmp_path / "production.yaml"
    policy = yaml.safe_load(path.read_text())
    policy["alerts"]["replication_lag"] = "0s"
    path.write_text(yaml.safe_dump(policy))
    run = Run(DAG)
    with pytest.raises(AirflowFailException) as caught:
        versions(run)
    assert str(caught.value).startswith(
        f"the replica does not hold what it should:\n- s3://{THERE} lacks 1 of the newest 1 version"
    )
    assert len(findings(run, "versions", "critical")) == 1


def test_figures_of_cloudwatch_count_where_the_policy_says_so(
    account: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = "arn:aws:iam::123456789012:role/copy"
    prices = {"STANDARD": {"usd_per_gb_month": 0.02}}
    write_policy(
        tmp_path,
        monkeypatch,
        replication={"role_arn": role},
        costs={"counted": "metrics", "prices": prices},
    )
    rule = {
        "ID": "documents",
        "Priority": 1,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": f"arn:aws:s3:::{THERE}"},
    }
    keep_versions().put_bucket_replication(
        Bucket=HERE, ReplicationConfiguration={"Role": role, "Rules": [rule]}
    )
    where = {"SourceBucket": HERE, "DestinationBucket": THERE, "RuleId": "documents"}
    tell("eu-west-1", "ReplicationLatency", 4000, timedelta(minutes=9), where)
    size = {"BucketName": HERE, "StorageType": "StandardStorage"}
    tell("eu-central-1", "BucketSizeBytes", 100 * 2**30, timedelta(days=1), size)
    run = Run(DAG)
    with pytest.raises(AirflowFailException, match="by CloudWatch 4000 s behind"):
        versions(run)
    assert run.contribution("versions")["measurements"] == {
        "current_versions": 0,
        "old_versions": 0,
        "delete_markers": 0,
        "stored_bytes": 100 * 2**30,
        "storage_usd_per_month": pytest.approx(2.0),
        "possible_saving_usd_per_month": 0.0,
        "replication_latency_seconds": 4000,
    }


def tell(region: str, name: str, value: float, ago: timedelta, where: dict[str, str]) -> None:
    client("cloudwatch", region).put_metric_data(
        Namespace="AWS/S3",
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": one} for key, one in where.items()],
                "Timestamp": datetime.now(UTC) - ago,
                "Value": value,
            }
        ],
    )


# -- on a store that is not AWS


@pytest.mark.integration
def test_run_on_seaweedfs_passes_and_says_what_that_store_has_not(
    protected: Protected, s3: ObjectStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = protected.variables["AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STORAGE"]
    path = protected.policies / "production.yaml"
    policy = yaml.safe_load(path.read_text())
    base = policy["storage"]["bucket"]
    for section, name in (("documents", f"{base}-d"), ("replica", f"{base}-r")):
        objectstore.make_bucket(s3, name)
        monkeypatch.setenv(f"AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_{section.upper()}", storage)
    policy["documents"]["bucket"] = f"{base}-d"
    policy["documents"]["replica"]["bucket"] = f"{base}-r"
    path.write_text(yaml.safe_dump(policy))
    objectstore.admin_client(s3).put_object(Bucket=f"{base}-d", Key="k", Body=b"x")

    run = Run(DAG)
    checked = check(run)
    figures = versions(run)
    run.do(VerdictOperator(task_id="verdict", kind="check", **ENVIRONMENT))

    assert checked["fulfilled"] > 0
    absent = [what for what in findings(run, "settings", "info") if "SeaweedFS has none" in what]
    assert (
        f"s3://{base}-d: replication: not applicable here: SeaweedFS has none (expected an "
        f"enabled rule for all documents to s3://{base}-r)"
    ) in absent
    assert f"s3://{base}-r: public access block: not applicable here: SeaweedFS has none " in (
        "".join(absent)
    )
    assert figures["versions_not_replicated"] == 1
