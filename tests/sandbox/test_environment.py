"""The environment that the sandbox gives to Airflow and to a person's shell."""

import json
import subprocess
from pathlib import Path

import pytest

from include.sandbox import environment
from include.sandbox.lender.account import account_id
from include.sandbox.lender.infrastructure import place_policies
from include.sandbox.place import Place
from include.sandbox.state import State
from ledgerkeep.database.postgres.programs import Account, Programs
from ledgerkeep.policy.load import load_environment, load_policies

POLICIES = load_policies(environment.POLICIES)
PROMISED = [
    "SANDBOX_DATABASE_URL",
    "SANDBOX_DOCUMENTS_BUCKET",
    "SANDBOX_REPLICA_BUCKET",
    "SANDBOX_REPLICA_URL",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "LEDGERKEEP_BUCKET",
    "AIRFLOW_API_URL",
    "AIRFLOW_USERNAME",
    "AIRFLOW_PASSWORD",
    "AIRFLOW_APPROVER_USERNAME",
    "AIRFLOW_APPROVER_PASSWORD",
]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Names only; one with a blank and a quote in it."""
    odd = tmp_path / "it's here"
    return Place(servers=odd, programs=Programs(odd / "bin", 18), account=Account("me", 1, 1))


def test_a_shell_that_sources_the_file_has_every_promised_variable(
    place: Place, tmp_path: Path
) -> None:
    state = State()
    file = tmp_path / "env"
    file.write_text(environment.shell_lines(state, place, POLICIES))
    said = subprocess.run(
        ["/bin/sh", "-c", '. "$1" && env', "sh", str(file)],
        env={"PATH": "/usr/bin:/bin", "AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "mine"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = dict(line.split("=", 1) for line in said.splitlines())
    assert [name for name in PROMISED if not found.get(name)] == []
    assert found["LEDGERKEEP_BUCKET"] == "loan-management-backups-production"
    assert found["SANDBOX_DOCUMENTS_BUCKET"] == "loan-management-documents-production"
    assert found["SANDBOX_REPLICA_BUCKET"] == "loan-management-documents-production-replica"
    assert found["LEDGERKEEP_ROOMS"] == str(place.rooms)
    assert found["AIRFLOW_PASSWORD"] == state.secrets.airflow_admin
    assert found["AIRFLOW_APPROVER_PASSWORD"] == state.secrets.airflow_approver
    assert "AWS_PROFILE" not in found
    assert "AWS_SESSION_TOKEN" not in found


def test_every_connection_that_a_policy_names_leads_to_the_sandbox() -> None:
    state = State()
    found = environment.connections(state, POLICIES)
    for policy in POLICIES:
        wanted = (
            policy.storage.connection_id,
            policy.database.connection_id,
            policy.reports.airflow_connection_id,
        )
        store, database, airflow = (
            json.loads(found[f"AIRFLOW_CONN_{name.upper()}"]) for name in wanted
        )
        endpoint = store["extra"]["service_config"]["s3"]["endpoint_url"]
        assert endpoint == f"http://127.0.0.1:{state.ports.store}"
        assert (database["host"], database["port"]) == ("127.0.0.1", state.ports.database)
        assert (airflow["login"], airflow["port"]) == ("viewer", state.ports.airflow)


def test_documents_are_in_one_region_and_their_replica_in_the_other() -> None:
    state = State()
    found = environment.connections(state, POLICIES)
    regions = {}
    for name in ("DOCUMENTS", "REPLICA"):
        extra = json.loads(found[f"AIRFLOW_CONN_LEDGERKEEP_STAGING_{name}"])["extra"]
        endpoint = extra["service_config"]["s3"]["endpoint_url"]
        regions[name] = (extra["region_name"], endpoint)
    assert regions == {
        "DOCUMENTS": ("eu-central-1", f"http://127.0.0.1:{state.ports.store}"),
        "REPLICA": ("eu-west-1", f"http://127.0.0.1:{state.ports.replica}"),
    }
    assert "AIRFLOW_CONN_LEDGERKEEP_DEVELOPMENT_DOCUMENTS" in found
    assert "AIRFLOW_CONN_LEDGERKEEP_DEVELOPMENT_REPLICA" not in found


def test_vault_is_reached_with_credentials_of_its_own() -> None:
    state = State()
    found = environment.connections(state, POLICIES)
    vault = json.loads(found["AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_VAULT"])
    assert (vault["login"], vault["password"]) == (
        state.secrets.vault_key,
        state.secrets.vault_secret,
    )
    assert vault["extra"]["region_name"] == "eu-west-1"
    store = json.loads(found["AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STORAGE"])
    assert store["login"] != vault["login"]
    assert store["extra"]["service_config"] == vault["extra"]["service_config"]
    assert environment.vault_buckets(POLICIES) == ("loan-management-compliance-vault",)
    assert not set(environment.vault_buckets(POLICIES)) & set(environment.own_buckets(POLICIES))


def test_airflow_runs_nothing_unasked_and_tells_nobody(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "True")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    found = environment.airflow_variables(State(), tmp_path, place, POLICIES)
    assert found["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "True"
    assert found["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert found["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert found["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert "AWS_PROFILE" not in found


def test_configuration_is_read_in_the_environments_own_account() -> None:
    state = State()
    found = environment.connections(state, POLICIES)
    roles = set()
    for policy in POLICIES:
        name = f"AIRFLOW_CONN_LEDGERKEEP_{policy.environment.upper()}_CONFIGURATION"
        extra = json.loads(found[name])["extra"]
        assert extra["endpoint_url"] == f"http://127.0.0.1:{state.ports.aws}"
        assert account_id(policy.environment) in extra["role_arn"]
        roles.add(extra["role_arn"])
    assert len(roles) == len(POLICIES)


def test_tenants_and_repositories_lead_to_their_stand_in() -> None:
    state = State()
    found = environment.connections(state, POLICIES)
    for service in ("AUTH0", "AUTH0_TEST", "DOCUSIGN", "SENDGRID", "REPOSITORIES"):
        connection = json.loads(found[f"AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_{service}"])
        assert (connection["schema"], connection["port"]) == ("http", state.ports.saas), service
        assert connection["password"], service


def test_policies_are_run_with_the_places_of_this_machine(tmp_path: Path) -> None:
    """All else is as it is shipped."""
    placed = place_policies(environment.POLICIES, tmp_path, POLICIES)
    for shipped in POLICIES:
        here = load_environment(shipped.environment, placed)
        assert here.configuration is not None
        sources = here.configuration.sources
        for repository in sources.repositories.repositories if sources.repositories else []:
            assert repository.url.startswith(f"file://{tmp_path}/infrastructure/")
        for plan in sources.terraform_state.plans if sources.terraform_state else []:
            assert plan.directory.is_relative_to(tmp_path)
        assert here.database == shipped.database
        assert here.documents == shipped.documents
