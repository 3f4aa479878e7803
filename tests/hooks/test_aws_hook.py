"""The Amazon provider's hook, as ours uses it."""

import json

import pytest

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from ledgerkeep.hooks.aws_hook import AwsHook


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> AwsHook:
    connection = {"conn_type": "aws", "login": "key", "password": "secret"}
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNT", json.dumps(connection))
    return AwsHook(aws_conn_id="account", client_type="sqs", region_name="eu-west-1")


def test_account_is_told_who_calls(hook: AwsHook) -> None:
    """It is in the trail of the account, with each request."""
    client = hook.get_client_type(region_name="eu-west-1")
    assert "Caller/Ledgerkeep" in client.meta.config.user_agent_extra


def test_sessions_share_what_is_known_of_services(hook: AwsHook) -> None:
    one, other = (hook.get_session(region_name="eu-west-1") for _ in range(2))
    loaders = [session._session.get_component("data_loader") for session in (one, other)]
    assert one is not other
    assert loaders[0] is loaders[1]
    assert one.get_credentials().access_key == "key"
