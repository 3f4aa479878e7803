"""The replicas through a real scheduler: copied and compared in mapped tasks, both environments."""

import pytest

from include.sandbox import environment
from include.sandbox.sandbox import Sandbox
from ledgerkeep.cli.airflow_api import AirflowApi
from tests.end_to_end.waiting import finish, standing

pytestmark = pytest.mark.end_to_end

REPLICATION = "staging_documents_replication"


@pytest.mark.parametrize("name", ["staging", "production"])
def test_replica_is_compared_and_the_verdict_is_good(ours: Sandbox, name: str) -> None:
    state = ours.state()
    api = AirflowApi(environment.airflow_url(state.ports), "admin", state.secrets.airflow_admin)
    check = f"{name}_documents_replica_consistency"
    dags = [REPLICATION, check] if name == "staging" else [check]
    api.wait_for_dags(dags)
    for dag_id in dags:
        api.switch(dag_id, on=True)
        run = api.trigger(dag_id)
        finish(api, run)
        assert api.state(run) == "success", standing(api, run)
        api.switch(dag_id, on=False)
    compared = api.returned(run, "sum_up")["tally"]
    assert compared["source_versions"] > 0
    # Copies that a repair made have ids of their own, which harms nothing.
    assert set(compared["counts"]) <= {"other_id"}
    (line,) = [
        text
        for task in api.tasks(run)
        if task.task_id == "compare"
        for text in api.log(run, task)
        if "shard 1 of" in text
    ]
    assert "; differences: " in line
