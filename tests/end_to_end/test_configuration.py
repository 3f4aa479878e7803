"""Production's configuration through a real scheduler: stored, told, denied, put back, and secret.

Everything is exported once. A parameter is changed, and a run starts by itself. A permission is
taken from one source. Two recoveries are answered, one of them with no. Then every place that any
of this wrote to is searched for the values that are secret.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import boto3
import psycopg
import pytest
from rich.console import Console

from include.sandbox import environment, objectstore
from include.sandbox.lender import drift
from include.sandbox.lender.account import ROLE, LenderAccount
from include.sandbox.lender.stock import secret_values
from include.sandbox.objectstore import Credentials, ObjectStore
from include.sandbox.sandbox import Sandbox
from include.sandbox.servers import metadata_server
from include.sandbox.stage import Stage
from ledgerkeep.cli.airflow_api import AirflowApi, DagRun
from ledgerkeep.configuration.registry import configuration_of, source_names
from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.configuration.versions import ConfigurationVersion, Versions
from ledgerkeep.policy.load import load_policies
from tests.end_to_end.waiting import PATIENCE, finish, standing, wait_until
from tests.support import secret_search
from tests.support.secret_search import Place

pytestmark = pytest.mark.end_to_end

BACKUP = "production_configuration_backup"
RECOVERY = "production_configuration_recovery"
SETTING = "/loan-management/production/LOG_LEVEL"
WHY = {"reason": "somebody changed it by hand, INC-7", "scenario": "security_incident"}
DENIED = "firewall"


@dataclass(frozen=True)
class Story:
    """The runs as they ended."""

    stage: Stage
    versions: Versions
    everything: DagRun
    asked_at: datetime
    """When the parameter was changed."""
    told: ConfigurationVersion
    denied: DagRun
    recovered: DagRun
    rejected: DagRun
    live: dict[str, str]
    """Name → what it is at the end."""
    secrets: dict[str, str]
    """Everything that is secret: what it is → its value."""

    @property
    def api(self) -> AirflowApi:
        return self.stage.api

    def states(self, run: DagRun) -> dict[str, str]:
        return {task.task_id: task.state for task in self.api.tasks(run)}

    def log(self, run: DagRun, task_id: str) -> str:
        task = next(task for task in self.api.tasks(run) if task.task_id == task_id)
        return "\n".join(self.api.log(run, task))


@pytest.fixture(scope="module")
def story(ours: Sandbox) -> Story:
    """Carry everything out, one thing after the other."""
    stage = Stage(ours, Console(file=io.StringIO()))
    api, account, sources = stage.api, stage.account, configuration_of(stage.policy).sources
    sealer = Sealer(configuration_of(stage.policy).sealing_key, account.client("kms"))
    versions = Versions(stage.store, stage.policy, sealer)
    api.wait_for_dags([BACKUP, RECOVERY])
    api.switch(RECOVERY, on=True)
    everything = run(api, {})

    # A change that nobody starts a run for.
    api.switch(BACKUP, on=True)
    api.watch_events(BACKUP)
    asked_at = datetime.now(UTC)
    account.client("ssm").put_parameter(Name=SETTING, Value="WARNING", Overwrite=True)
    told = told_version(api, versions, asked_at)
    api.switch(BACKUP, on=False)

    # A permission that one source lacks.
    with denying(account, "wafv2:*"):
        denied = run(api, {"sources": ["waf", "parameters"]})

    # What nobody should have done: one of it goes back, the other stays.
    drift.rotate_secret(account, sources)
    drift.change_parameter(account, sources)
    recovered = api.trigger(RECOVERY, {"source": "secrets", **WHY})
    rejected = api.trigger(RECOVERY, {"source": "parameters", **WHY})
    answer(stage, {recovered: "Approve", rejected: "Reject"})
    api.switch(RECOVERY, on=False)
    return Story(
        stage,
        versions,
        everything,
        asked_at,
        told,
        denied,
        recovered,
        rejected,
        what_is_live(account),
        {**secret_values(account), **sealed_values(versions), **rotated(account)},
    )


def run(api: AirflowApi, conf: dict[str, Any]) -> DagRun:
    """A backup, with the DAG on for as long as it takes."""
    api.switch(BACKUP, on=True)
    started = api.trigger(BACKUP, conf)
    finish(api, started)
    api.switch(BACKUP, on=False)
    return started


def told_version(api: AirflowApi, versions: Versions, asked_at: datetime) -> ConfigurationVersion:
    """The version that an event led to; returns when its run has ended."""
    found: list[ConfigurationVersion] = []

    def is_there() -> bool:
        newest = versions.newest("parameters")
        if newest and newest.changed_at and newest.created_at > asked_at:
            found.append(newest)
        return bool(found)

    runs = [DagRun(BACKUP, one) for one in api.run_ids(BACKUP)]
    wait_until("the change is stored", is_there, lambda: standing(api, *runs[:2]))
    finish(api, *(DagRun(BACKUP, one) for one in api.run_ids(BACKUP)))
    return found[0]


@contextmanager
def denying(account: LenderAccount, action: str) -> Iterator[None]:
    """Take a permission from Ledgerkeep's role."""
    iam = account.client("iam")
    statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=ROLE, PolicyName=DENIED, PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=ROLE, PolicyName=DENIED)


def answer(stage: Stage, said: dict[DagRun, str]) -> None:
    """Answer what the runs ask, and return when they have ended."""
    secrets = stage.ours.state().secrets
    approver = AirflowApi(stage.url, "approver", secrets.airflow_approver)

    def answer_all() -> None:
        for recovery, words in said.items():
            if any(task.waits_for_a_person for task in approver.tasks(recovery)):
                approver.answer(recovery, "approve", words)

    finish(stage.api, *said, meanwhile=answer_all)


def what_is_live(account: LenderAccount) -> dict[str, str]:
    secret = f"loan-management/production/{drift.ROTATED}"
    parameter = f"/loan-management/production/{drift.SETTING}"
    manager, ssm = account.client("secretsmanager"), account.client("ssm")
    return {
        drift.ROTATED: manager.get_secret_value(SecretId=secret)["SecretString"],
        drift.SETTING: ssm.get_parameter(Name=parameter)["Parameter"]["Value"],
    }


def sealed_values(versions: Versions) -> dict[str, str]:
    """Whatever any source took for a secret."""
    return {
        f"{name} {key}{pointer}": value
        for name in source_names(versions.policy)
        for version in versions.all(name)
        for key, held in versions.values(version).items()
        for pointer, value in held.items()
    }


def rotated(account: LenderAccount) -> dict[str, str]:
    return {"the rotated secret": drift.rotated_value(account)}


def written(ours: Sandbox, stage: Stage) -> Iterator[Place]:
    """Every place that the runs wrote to, but for the sources themselves."""
    state = ours.state()
    policies = load_policies(ours.policies)
    store = ObjectStore(
        environment.store_url(state.ports),
        Credentials(state.secrets.store_key, state.secrets.store_secret),
        Credentials("admin", state.secrets.store_admin_secret),
    )
    client = objectstore.admin_client(store)
    metadata = metadata_server(state, ours.place())
    database = metadata.address.to(environment.METADATA).conninfo()
    return chain(
        # What the stores have on disk is read through them.
        secret_search.files(ours.home, without=["store", "replica", "infrastructure"]),
        secret_search.files(ours.place().rooms),
        secret_search.rows(database),
        *(secret_search.objects(client, bucket) for bucket in environment.own_buckets(policies)),
        messages(stage),
    )


def messages(stage: Stage) -> Iterator[Place]:
    """What waits in the queue of changes."""
    events = configuration_of(stage.policy).events
    assert events is not None
    sqs = stage.account.client("sqs")
    url = sqs.get_queue_url(QueueName=events.queue)["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    for one in found.get("Messages", []):
        yield Place("a message of the queue", one["Body"].encode())


def test_everything_is_exported_and_the_run_is_green(story: Story) -> None:
    assert story.api.state(story.everything) == "success", standing(story.api, story.everything)
    for name in source_names(story.stage.policy):
        assert story.versions.all(name), name


def test_change_is_stored_by_itself_and_the_time_it_took_is_measured(story: Story) -> None:
    """The run was started by the event: nobody asked for one. What a quiet machine needs is for
    the demo to show; here others work beside it.
    """
    assert "/asset_triggered" in story.told.run
    assert (story.told.updated, story.told.created, story.told.deleted) == (1, 0, 0)
    evidence = story.stage.evidence(DagRun(*story.told.run.split("/", 1)))
    measured = evidence.measurements["parameters_stored_after_seconds"]
    assert story.told.changed_at is not None
    # CloudTrail tells whole seconds.
    assert abs((story.told.changed_at - story.asked_at).total_seconds()) < 10
    stored = (story.told.created_at - story.told.changed_at).total_seconds()
    assert stored <= measured < PATIENCE


def test_source_without_permission_is_named_and_the_others_go_on(story: Story) -> None:
    states = story.states(story.denied)
    assert story.api.state(story.denied) == "failed"
    assert (states["export_waf"], states["export_parameters"]) == ("failed", "success")
    log = story.log(story.denied, "export_waf")
    assert "aws refused to" in log
    assert "wafv2:" in log
    evidence = story.stage.evidence(story.denied)
    assert evidence.outcome == "failed"


def test_approved_recovery_puts_the_secret_back(story: Story) -> None:
    assert story.api.state(story.recovered) == "success", standing(story.api, story.recovered)
    figures = story.stage.evidence(story.recovered).measurements
    assert (figures["changes_applied"], figures["changes_verified"]) == (1, 1)
    known = secret_values(story.stage.account)
    assert story.live[drift.ROTATED] == known[f"secret {drift.ROTATED}"]


def test_rejected_recovery_changes_nothing(story: Story) -> None:
    states = story.states(story.rejected)
    assert story.api.state(story.rejected) == "failed"
    assert (states["approve"], states["apply"]) == ("failed", "upstream_failed")
    assert story.live[drift.SETTING] == "7500000"


def test_no_secret_is_anywhere_but_in_its_source(story: Story) -> None:
    """Files, objects, Airflow's database: logs, XComs, rendered templates, events, evidence."""
    ours = story.stage.ours
    assert len(story.secrets) > len(secret_values(story.stage.account))
    assert secret_search.search(written(ours, story.stage), story.secrets) == []


def test_the_search_would_have_found_one_in_each_kind_of_place(story: Story) -> None:
    """Planted: in a task's log, in a row of Airflow's database, in an object."""
    ours, state = story.stage.ours, story.stage.ours.state()
    (what, value), *_ = story.secrets.items()
    log = ours.home / "airflow" / "logs" / "planted.log"
    bucket, key = story.stage.policy.storage.bucket, "production/planted"
    client = boto3.client(
        "s3",
        endpoint_url=environment.store_url(state.ports),
        region_name=objectstore.REGION,
        aws_access_key_id=state.secrets.store_key,
        aws_secret_access_key=state.secrets.store_secret,
    )
    metadata = metadata_server(state, ours.place()).address.to(environment.METADATA)
    log.write_text(json.dumps({"event": f"the value is {value}"}))
    client.put_object(Bucket=bucket, Key=key, Body=value.encode().hex().encode())
    plant = "INSERT INTO variable (key, val, is_encrypted) VALUES ('planted', %s, false)"
    with psycopg.connect(metadata.conninfo(), autocommit=True) as connection:
        connection.execute(plant, [value])
        try:
            found = secret_search.search(written(ours, story.stage), {what: value})
        finally:
            connection.execute("DELETE FROM variable WHERE key = 'planted'")
            log.unlink()
            client.delete_object(Bucket=bucket, Key=key)
    # And in what Airflow's database server has on disk, which is searched as files are.
    assert set(found) >= {
        f"{what} in {place}"
        for place in (f"the file {log}", "a row of variable", f"the object {bucket}/{key}")
    }
