"""The pages in the Airflow UI: who may see them, and that nothing stored can act in them."""

import json
import secrets
from pathlib import Path

import pytest

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from include.sandbox import objectstore
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.console.app import create_app
from ledgerkeep.hooks.connections import open_policy_store
from ledgerkeep.policy.load import load_policies
from ledgerkeep_plugin import LedgerkeepPlugin
from tests.conftest import ROOT

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


def client_of(role: str | None) -> TestClient:
    """The console as a user with that role sees it; Airflow's own rules decide."""
    create_auth_manager()
    app = create_app()
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="x", role=role)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def stored(
    s3: objectstore.ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Catalog]:
    """Two environments' catalogs, empty, behind their connections."""
    for name in ("development", "production"):
        bucket = f"b-{secrets.token_hex(6)}"
        objectstore.make_bucket(s3, bucket)
        text = (ROOT / "include" / "policies" / f"{name}.yaml").read_text()
        text = text.replace(f"loan-management-backups-{name}", bucket)
        (tmp_path / f"{name}.yaml").write_text(text)
        connection = {
            "conn_type": "aws",
            "login": s3.user.access_key,
            "password": s3.user.secret_key,
            "extra": {"endpoint_url": s3.endpoint},
        }
        variable = f"AIRFLOW_CONN_LEDGERKEEP_{name.upper()}_STORAGE"
        monkeypatch.setenv(variable, json.dumps(connection))
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    monkeypatch.setenv("LEDGERKEEP_STORE_ENCRYPTION", "none")
    monkeypatch.setenv("LEDGERKEEP_STORE_PATIENCE", "5")
    return {
        policy.environment: Catalog(open_policy_store(policy), policy) for policy in load_policies()
    }


# -- who may see it


@pytest.mark.parametrize("path", ["/", "/reports/production/2026/11/x.html", "/nothing"])
def test_without_a_token_nothing_is_shown(path: str) -> None:
    create_auth_manager()
    seen = TestClient(create_app()).get(path)
    assert seen.status_code == (404 if path == "/nothing" else 401)
    assert "recovery point" not in seen.text


def test_token_that_airflow_did_not_sign_is_refused() -> None:
    create_auth_manager()
    seen = TestClient(create_app()).get("/", headers={"Authorization": "Bearer e30.e30.x"})
    assert seen.status_code in (401, 403)


def test_user_without_a_role_is_refused() -> None:
    assert client_of(None).get("/").status_code == 403


def test_no_description_of_the_app_is_served() -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client_of("admin").get(path).status_code == 404


def test_pages_are_for_reading_only() -> None:
    for path in ("/", "/reports/production/2026/11/x.html"):
        assert client_of("admin").post(path).status_code == 405


# -- what is shown


@pytest.mark.integration
def test_viewer_sees_each_environment(stored: dict[str, Catalog]) -> None:
    seen = client_of("viewer").get("/")
    assert seen.status_code == 200
    assert seen.headers["content-security-policy"] == POLICY
    assert seen.headers["x-content-type-options"] == "nosniff"
    assert seen.headers["cache-control"] == "no-store"
    assert "<h2>development</h2><p>Nothing is stored yet.</p>" in seen.text
    assert "<h2>production</h2><p>Nothing is stored yet.</p>" in seen.text


@pytest.mark.integration
def test_report_is_served_as_it_was_stored(stored: dict[str, Catalog]) -> None:
    body = b"<!doctype html><title>r</title>"
    name = "2026/11/compliance-20261122T080000Z.html"
    stored["production"].store.put(f"{keys.reports('production')}{name}", body)
    client = client_of("viewer")
    assert f"<a href='reports/production/{name}'>{name}</a>" in client.get("/").text
    seen = client.get(f"/reports/production/{name}")
    assert seen.content == body
    assert seen.headers["content-security-policy"] == POLICY
    assert seen.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.integration
@pytest.mark.parametrize(
    "path",
    [
        "/reports/production/2026/11/there-is-none.html",
        "/reports/nowhere/2026/11/x.html",
        "/reports/production/2026/11/x.json",
        "/reports/production/2026/11/..%2f..%2fx.html",
        "/reports/production/..%2f..%2fsecret/2026/11/x.html",
        "/reports/production/%2e%2e/%2e%2e/x.html",
        "/reports/..%2fproduction/2026/11/x.html",
        "/reports/production/2026/11/x.html%0a",
    ],
)
def test_whatever_is_no_report_is_not_found(stored: dict[str, Catalog], path: str) -> None:
    """Also where an object of such a name is stored."""
    stored["production"].store.put("production/secret/2026/11/x.html", b"secret")
    stored["production"].store.put("production/reports/2026/11/x.json", b"secret")
    seen = client_of("admin").get(path)
    assert seen.status_code == 404
    assert "secret" not in seen.text


@pytest.mark.integration
def test_store_that_fails_hides_only_its_environment(
    stored: dict[str, Catalog], tmp_path: Path
) -> None:
    bucket = stored["production"].policy.storage.bucket
    policy = tmp_path / "production.yaml"
    policy.write_text(policy.read_text().replace(bucket, "gone-bucket"))
    seen = client_of("viewer").get("/").text
    assert "<h2>development</h2><p>Nothing is stored yet.</p>" in seen
    assert "gone-bucket" in seen


@pytest.mark.integration
def test_names_that_are_markup_are_shown_as_text(
    stored: dict[str, Catalog], tmp_path: Path
) -> None:
    stored["development"].store.put("development/reports/2026/11/<img src=x>.html", b"x")
    bucket = stored["production"].policy.storage.bucket
    policy = tmp_path / "production.yaml"
    policy.write_text(policy.read_text().replace(bucket, "<script>gone"))
    seen = client_of("viewer").get("/")
    assert seen.status_code == 200
    assert "<img" not in seen.text
    assert "<script>" not in seen.text
    assert "&lt;script&gt;gone" in seen.text


# -- the plugin


def test_plugin_builds_its_app_at_the_first_request() -> None:
    (registered,) = LedgerkeepPlugin.fastapi_apps
    app = registered["app"]
    assert app._app is None
    create_auth_manager()
    assert TestClient(app).get("/").status_code == 401
    assert app._app is not None
