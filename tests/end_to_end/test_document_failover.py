"""Staging's documents through a real scheduler: replicated, failed over, failed back, and watched.

At the end the bucket is emptied behind the application's back, and the health watch, which staging
allows to do so, fails over by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from include.sandbox import environment
from include.sandbox.application import client
from include.sandbox.sandbox import Sandbox
from ledgerkeep.cli.airflow_api import AirflowApi, DagRun
from ledgerkeep.policy.load import load_environment
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.open import StoreAccess, open_documents
from ledgerkeep.storage.versions import list_versions
from ledgerkeep.worker import WorkerSettings
from tests.end_to_end.waiting import finish, standing, wait_until

pytestmark = pytest.mark.end_to_end

REPLICATION = "staging_documents_replication"
FAILOVER = "staging_document_failover"
FAILBACK = "staging_document_failback"
WATCH = "staging_document_failover_watch"
WHY = {"reason": "the region is rehearsed, CHG-4"}


@dataclass(frozen=True)
class Staging:
    """The environment, and the runs as they ended."""

    ours: Sandbox
    api: AirflowApi
    policy: Policy
    replication: DagRun
    used: list[str]
    """The bucket that the application used, before and after each run."""
    over: DagRun
    back: DagRun
    watch: DagRun
    by_itself: str
    """Id of the run that the watch started."""

    def log(self, run: DagRun, task_id: str) -> str:
        """A task's log."""
        task = next(task for task in self.api.tasks(run) if task.task_id == task_id)
        return "\n".join(self.api.log(run, task))


def bucket_in_use(ours: Sandbox, policy: Policy) -> str:
    documents = policy.documents
    assert documents is not None
    assert documents.failover is not None
    ssm = client(environment.aws_url(ours.state().ports), "ssm", documents.failover.region)
    found: str = ssm.get_parameter(Name=documents.failover.parameter)["Parameter"]["Value"]
    return found


def primary(ours: Sandbox, policy: Policy) -> Bucket:
    state = ours.state()
    assert policy.documents is not None
    return open_documents(
        policy.documents,
        policy.storage,
        WorkerSettings(store_encryption="none"),
        StoreAccess(
            endpoint_url=environment.store_url(state.ports),
            access_key=state.secrets.store_key,
            secret_key=state.secrets.store_secret,
        ),
    )


def empty(bucket: Bucket) -> None:
    """Hide every document behind a delete marker."""
    keys = [{"Key": one.key} for one in list_versions(bucket) if one.is_latest]
    for start in range(0, len(keys), 1000):
        bucket.client.delete_objects(
            Bucket=bucket.name, Delete={"Objects": keys[start : start + 1000], "Quiet": True}
        )


@pytest.fixture(scope="module")
def staging(ours: Sandbox) -> Iterator[Staging]:
    """Carry everything out."""
    state, policy = ours.state(), load_environment("staging", ours.policies)
    url = environment.airflow_url(state.ports)
    api = AirflowApi(url, "admin", state.secrets.airflow_admin)
    dags = [REPLICATION, FAILOVER, FAILBACK, WATCH]
    api.wait_for_dags(dags)
    for dag_id in dags[:3]:
        api.switch(dag_id, on=True)
    used = [bucket_in_use(ours, policy)]
    runs = []
    for dag_id, form in ((REPLICATION, {}), (FAILOVER, WHY), (FAILBACK, WHY)):
        run = api.trigger(dag_id, form)
        finish(api, run)
        assert api.state(run) == "success", standing(api, run)
        runs.append(run)
        used.append(bucket_in_use(ours, policy))

    empty(primary(ours, policy))
    api.switch(WATCH, on=True)
    watch = api.trigger(WATCH)
    finish(api, watch)

    def started() -> list[str]:
        return [one for one in api.run_ids(FAILOVER) if one != runs[1].run_id]

    wait_until("the failover is started", started, lambda: standing(api, watch))
    (by_itself,) = started()
    finish(api, DagRun(FAILOVER, by_itself))
    used.append(bucket_in_use(ours, policy))
    yield Staging(ours, api, policy, runs[0], used, runs[1], runs[2], watch, by_itself)
    for dag_id in dags:
        api.switch(dag_id, on=False)


def test_application_used_the_right_bucket_after_each_run(staging: Staging) -> None:
    documents = staging.policy.documents
    assert documents is not None
    assert documents.replica is not None
    here, there = documents.bucket, documents.replica.bucket
    assert staging.used == [here, here, there, here, there]


def test_failover_says_what_it_switched_and_tested(staging: Staging) -> None:
    log = staging.log(staging.over, "switch")
    assert "was changed to loan-management-documents-staging-replica" in log
    assert "one written, read back and deleted" in staging.log(staging.over, "test_access")
    assert "2 of 2 tasks run, stable" in staging.log(staging.over, "wait_for_services")


def test_watch_is_red_and_says_why(staging: Staging) -> None:
    assert staging.api.state(staging.watch) == "failed"
    log = staging.log(staging.watch, "watch")
    assert "holds no document below '', 3 times in a row: failing over" in log


def test_failover_of_the_watch_says_what_will_be_seen_again(staging: Staging) -> None:
    """The deletions did not reach the replica, which is the point of it."""
    run = DagRun(FAILOVER, staging.by_itself)
    assert staging.api.state(run) == "success", standing(staging.api, run)
    assert "staging-replica lacks the current content of" in staging.log(run, "plan")
    assert "was changed to loan-management-documents-staging-replica" in staging.log(run, "switch")
