"""Repairs of production's documents through a real scheduler: nothing is set unapproved.

Versions are taken out of the replica behind everybody's back. One check is asked to repair, and a
second person approves; the check of the buckets' settings is asked to as well, and is rejected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pytest

from include.sandbox import environment
from include.sandbox.objectstore import Credentials, ObjectStore, admin_client
from include.sandbox.sandbox import Sandbox
from ledgerkeep.cli.airflow_api import AirflowApi, DagRun
from ledgerkeep.policy.load import load_environment
from tests.end_to_end.waiting import finish, standing, wait_until

pytestmark = pytest.mark.end_to_end

CONSISTENCY = "production_documents_replica_consistency"
PROTECTION = "production_documents_protection_check"
TAKEN = 3


@dataclass(frozen=True)
class Repairs:
    """The runs as they ended."""

    api: AirflowApi
    before: DagRun
    repaired: DagRun
    after: DagRun
    rejected: DagRun

    def log(self, run: DagRun, task_id: str) -> str:
        """A task's log."""
        task = next(task for task in self.api.tasks(run) if task.task_id == task_id)
        return "\n".join(self.api.log(run, task))


def take_versions(ours: Sandbox) -> None:
    """Remove some current versions from the replica, as nobody but an administrator can."""
    state, policy = ours.state(), load_environment("production", ours.policies)
    assert policy.documents is not None
    assert policy.documents.replica is not None
    admin = Credentials("admin", state.secrets.store_admin_secret)
    replica: Any = admin_client(ObjectStore(environment.replica_url(state.ports), admin, admin))
    bucket = policy.documents.replica.bucket
    listed = replica.list_object_versions(Bucket=bucket)["Versions"]
    current = (one for one in listed if one["IsLatest"])
    for one in islice(current, TAKEN):
        replica.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])


@pytest.fixture(scope="module")
def repairs(ours: Sandbox) -> Iterator[Repairs]:
    """Take versions away; check; repair; check."""
    state = ours.state()
    url, secrets = environment.airflow_url(state.ports), state.secrets
    admin = AirflowApi(url, "admin", secrets.airflow_admin)
    approver = AirflowApi(url, "approver", secrets.airflow_approver)
    admin.wait_for_dags([CONSISTENCY, PROTECTION])
    for dag_id in (CONSISTENCY, PROTECTION):
        admin.switch(dag_id, on=True)
    take_versions(ours)
    before = admin.trigger(CONSISTENCY)
    rejected = admin.trigger(PROTECTION, {"repair": True})
    finish(admin, before)
    repaired = admin.trigger(CONSISTENCY, {"repair": True})

    def waits(run: DagRun) -> bool:
        return any(task.state == "awaiting_input" for task in admin.tasks(run))

    def answer() -> None:
        for run, said in ((repaired, "Approve"), (rejected, "Reject")):
            if waits(run):
                approver.answer(run, "approve", said)

    wait_until(
        "both wait",
        lambda: waits(repaired) and waits(rejected),
        lambda: standing(admin, repaired, rejected),
    )
    finish(admin, repaired, rejected, meanwhile=answer)
    after = admin.trigger(CONSISTENCY)
    finish(admin, after)
    yield Repairs(admin, before, repaired, after, rejected)
    for dag_id in (CONSISTENCY, PROTECTION):
        admin.switch(dag_id, on=False)


def test_check_that_finds_versions_missing_is_red(repairs: Repairs) -> None:
    assert repairs.api.state(repairs.before) == "failed"
    tally = repairs.api.returned(repairs.before, "sum_up")["tally"]
    assert tally["counts"]["missing"] == TAKEN


def test_approved_repair_is_proved_by_the_next_check(repairs: Repairs) -> None:
    for run in (repairs.repaired, repairs.after):
        assert repairs.api.state(run) == "success", standing(repairs.api, run)
    assert "missing" not in repairs.api.returned(repairs.after, "sum_up")["tally"]["counts"]


def test_rejected_repair_sets_nothing_and_is_red(repairs: Repairs) -> None:
    states = {task.task_id: task.state for task in repairs.api.tasks(repairs.rejected)}
    assert repairs.api.state(repairs.rejected) == "failed"
    assert (states["approve"], states["repair"]) == ("failed", "upstream_failed")
    assert "approver rejected the repair" in repairs.log(repairs.rejected, "approve")
