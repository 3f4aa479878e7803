"""Which cluster is meant when the server cannot say so itself."""

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.errors import DatabaseUnavailable
from ledgerkeep.operators.base import LedgerkeepOperator
from ledgerkeep.operators.scenario import StateScenarioOperator
from tests.operators.conftest import Protected, database_connection

pytestmark = pytest.mark.integration

DATABASE = "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DATABASE"


@pytest.fixture
def lost(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> Protected:
    """The protected server does not answer."""
    monkeypatch.setenv(DATABASE, database_connection(protected.cluster, port=1))
    return protected


def remember(protected: Protected, *system_identifiers: str) -> None:
    """Something is stored of these clusters."""
    for name in system_identifiers:
        protected.catalog.store.put(f"production/database/{name}/backups/b/x", b"")


def operator() -> LedgerkeepOperator:
    return LedgerkeepOperator(task_id="any", environment="production")


def test_server_that_answers_says_which_cluster_it_is(protected: Protected) -> None:
    remember(protected, "7000000000000000001")
    ((itself,),) = protected.cluster.execute(
        "SELECT system_identifier::text FROM pg_control_system()"
    )
    assert operator().protected_cluster() == itself


def test_lost_server_is_the_one_cluster_of_the_catalog(lost: Protected) -> None:
    remember(lost, "7000000000000000001")
    assert operator().protected_cluster() == "7000000000000000001"


@pytest.mark.parametrize("known", [[], ["7000000000000000001", "7000000000000000002"]])
def test_lost_server_is_not_guessed(lost: Protected, known: list[str]) -> None:
    remember(lost, *known)
    with pytest.raises(DatabaseUnavailable):
        operator().protected_cluster()


def test_wrong_password_does_not_make_a_server_lost(
    protected: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(protected, "7000000000000000001")
    monkeypatch.setenv(DATABASE, database_connection(protected.cluster, password="wrong"))
    task = StateScenarioOperator(
        task_id="scenario", environment="production", scenario="x", objective="database_failure"
    )
    with pytest.raises(AirflowFailException, match="password authentication failed"):
        Run("r").do(task)


def test_connections_may_be_named(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other connections than the policy's, say for a second worker."""
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", database_connection(protected.cluster, login="other"))
    task = LedgerkeepOperator(task_id="any", environment="production", postgres_conn_id="other")
    assert task.address.user == "other"
