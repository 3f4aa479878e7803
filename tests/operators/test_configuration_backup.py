"""The tasks of the configuration backup: what is exported when, and what stays in the queue.

All of AWS is moto in this process.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from ledgerkeep.configuration.changes import ChangeQueue, open_queue
from ledgerkeep.evidence.collect import Contribution
from ledgerkeep.hooks.connections import source_access
from ledgerkeep.model import utc_now
from ledgerkeep.operators.configuration_backup import (
    ChooseSourcesOperator,
    ConfigurationOperator,
    ExportConfigurationOperator,
    RetainConfigurationOperator,
    SettleChangesOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_environment
from tests.operators.conftest import connection
from tests.support.configuration import write_policy

ENVIRONMENT = {"environment": "production"}
DAG = "production_configuration_backup"
REGION = "eu-central-1"
BUCKET = "loan-management-backups-production"
QUEUE = "ledgerkeep-production-changes"
SECRET = "pin-4711-very-secret"


@dataclass
class Account:
    """Production's account, and what the policy says of it."""

    policies: Path

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)

    def change_policy(self, **configuration: Any) -> None:
        file = self.policies / "production.yaml"
        policy = yaml.safe_load(file.read_text())
        policy["configuration"].update(configuration)
        policy["restore_tests"] = {}  # of sources that are not there any more
        file.write_text(yaml.safe_dump(policy))

    def put(self, name: str, value: str, kind: str = "String") -> None:
        self.client("ssm").put_parameter(Name=name, Value=value, Type=kind, Overwrite=True)

    def tell(self, **detail: Any) -> None:
        """Send what EventBridge sends when a parameter was written."""
        body = {
            "source": "aws.ssm",
            "detail-type": "Parameter Store Change",
            "time": "2026-11-22T10:00:00Z",
            "detail": {"operation": "Update", "name": "/loan-management/production/url", **detail},
        }
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))

    @property
    def queue(self) -> ChangeQueue:
        return open_queue(source_access(), load_environment("production"))

    def run_by_event(self, **arguments: Any) -> Run:
        """A run that the watcher started, with what it found in the queue."""
        told = [one.model_dump(mode="json") for one in self.queue.gather(wait=0)]
        extra = {"from_trigger": True, "payload": {"waiting": told}}
        return Run(
            DAG,
            run_type="asset_triggered",
            triggering={"asset": [SimpleNamespace(extra=extra)]},
            **arguments,
        )

    def invisible(self) -> int:
        """Messages that were read and not deleted."""
        sqs = self.client("sqs")
        found = sqs.get_queue_attributes(QueueUrl=self.queue.url, AttributeNames=["All"])
        return int(found["Attributes"]["ApproximateNumberOfMessagesNotVisible"])


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    here = connection("aws", login="testing", password="testing", extra={"region_name": REGION})
    for name in ("CONFIGURATION", "STORAGE"):
        monkeypatch.setenv(f"AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_{name}", here)
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    monkeypatch.setenv("LEDGERKEEP_STORE_ENCRYPTION", "none")
    monkeypatch.setenv("LEDGERKEEP_STORE_PATIENCE", "0.3")
    account = Account(tmp_path)
    write_policy(tmp_path, sources={"parameters": {"paths": ["/loan-management/production/"]}})
    with mock_aws():
        account.client("s3").create_bucket(
            Bucket=BUCKET,
            CreateBucketConfiguration={"LocationConstraint": REGION},
            ObjectLockEnabledForBucket=True,
        )
        key = account.client("kms").create_key()["KeyMetadata"]["KeyId"]
        account.client("kms").create_alias(
            AliasName="alias/ledgerkeep-production-configuration", TargetKeyId=key
        )
        account.client("sqs").create_queue(QueueName=QUEUE)
        account.put("/loan-management/production/url", "https://loans")
        account.put("/loan-management/production/pin", SECRET, "SecureString")
        yield account


def choose(run: Run, **arguments: Any) -> dict[str, Any]:
    task = ChooseSourcesOperator(task_id="choose", **ENVIRONMENT, **arguments)
    return run.do(task)


def export(run: Run, chosen: Any, source: str = "parameters", **arguments: Any) -> dict[str, Any]:
    task = ExportConfigurationOperator(
        task_id=f"export_{source}", source=source, chosen=chosen, **ENVIRONMENT, **arguments
    )
    return run.do(task)


def retain(run: Run, chosen: Any) -> dict[str, int]:
    return run.do(RetainConfigurationOperator(task_id="retention", chosen=chosen, **ENVIRONMENT))


def settle(run: Run) -> dict[str, int]:
    return run.do(SettleChangesOperator(task_id="settle", **ENVIRONMENT))


def verdict(run: Run) -> dict[str, Any]:
    return run.do(VerdictOperator(task_id="verdict", kind="backup", **ENVIRONMENT))


def back_up(run: Run, **arguments: Any) -> dict[str, Any]:
    return export(run, choose(run), **arguments)


# -- what is exported


def test_run_stores_a_version_and_says_what_it_found(account: Account) -> None:
    run = Run(DAG)
    done = back_up(run)
    assert done["is_new"]
    said = Contribution.model_validate(run.contribution("export_parameters"))
    assert said.recovery_point_ids == [f"parameters/{done['version']}"]
    assert said.measurements["parameters_items"] == 2
    assert said.measurements["parameters_read_items"] == 2
    assert said.facts["parameters"] == (
        f"parameters has a new version {done['version']}: 2 new, 0 changed, 0 gone; "
        "2 of 2 items were read"
    )
    assert "parameters_stored_after_seconds" not in said.measurements
    assert verdict(run)["recovery_point_ids"] == [f"parameters/{done['version']}"]


def test_unchanged_source_gets_no_version_and_is_not_read_again(account: Account) -> None:
    first = back_up(Run(DAG))
    run = Run(DAG)
    again = back_up(run)
    assert again == {"version": first["version"], "is_new": False}
    said = run.contribution("export_parameters")
    assert said["measurements"]["parameters_read_items"] == 0
    assert said["facts"]["parameters"].startswith("parameters is unchanged since 20")


def test_scheduled_run_reads_everything_anew(account: Account) -> None:
    """It is the net below what marks and events do not tell."""
    back_up(Run(DAG))
    run = Run(DAG, run_type="scheduled")
    back_up(run)
    said = run.contribution("export_parameters")
    assert said["measurements"]["parameters_read_items"] == 2


def test_major_version_is_stored_although_nothing_has_changed(account: Account) -> None:
    back_up(Run(DAG))
    assert back_up(Run(DAG), major="release 2026.11")["is_new"]


def test_source_that_the_policy_lacks_is_refused_by_name(account: Account) -> None:
    with pytest.raises(AirflowFailException) as refused:
        choose(Run(DAG), sources="parameters, waf")
    assert str(refused.value) == (
        "the policy of production has no source waf\n"
        "Hint: it has parameters; choose one, or add configuration.sources.waf"
    )


def test_source_that_fails_stops_no_other_and_the_run_is_red(account: Account) -> None:
    places = [{"name": "app", "bucket": "not-there"}]
    parameters = {"paths": ["/loan-management/production/"]}
    account.change_policy(sources={"parameters": parameters, "files": {"in_buckets": places}})
    run = Run(DAG)
    chosen = choose(run)
    with pytest.raises(AirflowFailException, match="refused to list s3://not-there/"):
        export(run, chosen, "files")
    assert export(run, chosen)["is_new"]
    assert retain(run, chosen) == {"removed": 0, "locked": 0}
    with pytest.raises(AirflowFailException) as red:
        verdict(run)
    assert str(red.value).startswith("the run did not pass: export_files failed\n")


def test_secret_is_nowhere_in_what_a_run_leaves(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    run = Run(DAG)
    back_up(run)
    account.put("/loan-management/production/pin", f"{SECRET}-2", "SecureString")
    back_up(run)
    verdict(run)
    assert SECRET not in json.dumps([str(run.left), run.returned])
    # moto's own log of requests is not ours.
    ours = [one.getMessage() for one in caplog.records if "botocore" not in one.name]
    assert SECRET not in "\n".join(ours)
    s3 = account.client("s3")
    for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        body = s3.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read()
        assert SECRET.encode() not in body


# -- what an event leads to


def test_event_leads_to_the_export_of_its_source_and_says_how_long_it_took(
    account: Account,
) -> None:
    back_up(Run(DAG))
    account.put("/loan-management/production/url", "https://new")
    account.tell()
    run = account.run_by_event()
    chosen = choose(run)
    assert chosen == {"parameters": {"changed_at": "2026-11-22T10:00:00+00:00", "reread": False}}
    done = export(run, chosen)
    assert done["is_new"]
    figures = run.contribution("export_parameters")["measurements"]
    assert figures["parameters_read_items"] == 1
    assert figures["parameters_stored_after_seconds"] > 0
    assert settle(run) == {"settled": 1, "left": 0}
    assert account.invisible() == 0
    assert verdict(run)["recovery_point_ids"] == [f"parameters/{done['version']}"]


def test_source_that_no_event_concerns_is_passed_over(account: Account) -> None:
    """It is skipped, and the run has passed all the same."""
    run = Run(DAG)
    run.left["choose", "ledgerkeep_contribution"] = {"passed_over": ["export_parameters"]}
    run.states["choose"] = "success"
    with pytest.raises(AirflowSkipException, match="parameters was not asked for"):
        export(run, {})
    run.states["export_parameters"] = "skipped"
    assert verdict(run)["recovery_point_ids"] == []


def test_source_that_is_skipped_and_should_not_have_been_fails_the_run(account: Account) -> None:
    run = Run(DAG)
    choose(run)
    run.states["export_parameters"] = "skipped"
    with pytest.raises(AirflowFailException, match="export_parameters skipped"):
        verdict(run)


def test_change_whose_export_failed_is_told_again(account: Account) -> None:
    account.tell()
    account.client("kms").delete_alias(AliasName="alias/ledgerkeep-production-configuration")
    run = account.run_by_event()
    chosen = choose(run)
    with pytest.raises(AirflowFailException):
        export(run, chosen)
    assert settle(run) == {"settled": 0, "left": 1}
    assert account.invisible() == 1
    with pytest.raises(AirflowFailException, match="export_parameters failed"):
        verdict(run)


def test_several_events_are_stored_by_one_run(account: Account) -> None:
    for _ in range(12):
        account.tell()
    run = account.run_by_event()
    assert export(run, choose(run))["is_new"]
    assert settle(run) == {"settled": 12, "left": 0}


def test_message_that_was_told_twice_counts_once(account: Account) -> None:
    account.tell()
    run = account.run_by_event()
    (asset,) = run.triggering
    run.triggering[asset] *= 2
    choose(run)
    run.states["export_parameters"] = "success"
    assert settle(run) == {"settled": 1, "left": 0}


# -- what goes


def test_versions_beyond_the_policys_go_and_the_evidence_names_them(account: Account) -> None:
    account.change_policy(retention={"versions": 1, "major": "1y"})
    first = back_up(Run(DAG))["version"]
    account.put("/loan-management/production/url", "https://new")
    run = Run(DAG)
    chosen = choose(run)
    second = export(run, chosen)["version"]
    assert retain(run, chosen) == {"removed": 1, "locked": 0}
    versions = ConfigurationOperator(task_id="any", **ENVIRONMENT).versions
    assert versions.ids("parameters") == [second]
    said = run.contribution("retention")
    assert said["findings"] == [
        {
            "what": f"parameters/{first} removed: there are 1 newer ones and it is no major "
            "version of the last 1y",
            "severity": "info",
        }
    ]
    assert said["measurements"]["versions_kept"] == 1


def test_version_under_lock_stays_and_the_day_is_told(account: Account) -> None:
    policy = yaml.safe_load((account.policies / "production.yaml").read_text())
    policy["storage"]["object_lock"]["configuration"] = "30d"
    policy["configuration"]["retention"] = {"versions": 1, "major": "1y"}
    (account.policies / "production.yaml").write_text(yaml.safe_dump(policy))
    first = back_up(Run(DAG))["version"]
    account.put("/loan-management/production/url", "https://new")
    run = Run(DAG)
    chosen = choose(run)
    second = export(run, chosen)["version"]
    assert retain(run, chosen) == {"removed": 0, "locked": 1}
    versions = ConfigurationOperator(task_id="any", **ENVIRONMENT).versions
    assert versions.ids("parameters") == [first, second]
    (said,) = run.contribution("retention")["findings"]
    day = f"{utc_now() + timedelta(days=30):%Y-%m-%d}"
    assert said["what"] == f"parameters/{first} stays under Object Lock until {day}"


def test_retention_runs_also_when_nothing_was_chosen(account: Account) -> None:
    """The task that chooses may have failed."""
    assert retain(Run(DAG), None) == {"removed": 0, "locked": 0}
