"""`backup-db` against a real Airflow: it starts the run, follows it, and says what came out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.sandbox import environment
from include.sandbox.sandbox import Sandbox
from ledgerkeep.cli.airflow_api import AirflowApi

pytestmark = pytest.mark.end_to_end

SCRIPT = Path(sys.executable).with_name("backup-db")
WAL_SHIPPING = "production_database_wal_shipping"
FULL_BACKUP = "production_database_full_backup"


def _run(ours: Sandbox, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    state = ours.state()
    return subprocess.run(
        [SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        env={
            "PATH": os.environ["PATH"],
            "AIRFLOW_API_URL": environment.airflow_url(state.ports),
            "AIRFLOW_USERNAME": "admin",
            "AIRFLOW_PASSWORD": password or state.secrets.airflow_admin,
        },
    )


def _api(ours: Sandbox) -> AirflowApi:
    state = ours.state()
    return AirflowApi(environment.airflow_url(state.ports), "admin", state.secrets.airflow_admin)


def test_a_run_is_followed_and_its_recovery_point_printed(ours: Sandbox) -> None:
    """And a DAG that is switched off is refused instead of waited for."""
    api = _api(ours)
    api.wait_for_dags([FULL_BACKUP, WAL_SHIPPING])
    was_on = api.switch(FULL_BACKUP, on=True)
    try:
        done = _run(ours, "-t", "full", "-e", "production", "-d", "loan_management", "--json")
    finally:
        api.switch(FULL_BACKUP, on=was_on)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["run"].startswith(f"{FULL_BACKUP}/backup-db__")
    assert len(said["recovery_points"]) == 1
    assert said["measurements"]["stored_bytes"] > 0
    assert said["evidence"].startswith("production/evidence/")

    was_on = api.switch(FULL_BACKUP, on=False)
    try:
        off = _run(ours, "-t", "full", "-e", "production")
    finally:
        api.switch(FULL_BACKUP, on=was_on)
    assert off.returncode == 1
    assert off.stderr == (
        f"error: the DAG {FULL_BACKUP} is switched off, so a run would wait for ever\n"
        "Hint: nothing was started; switch it on in Airflow first\n"
    )


def test_a_wrong_password_is_said_as_such(ours: Sandbox) -> None:
    """Without repeating it."""
    done = _run(ours, "-t", "full", "-e", "production", password="not-the-password")
    assert done.returncode == 1
    assert "airflow refused POST /auth/token: 401" in done.stderr
    assert "Hint: the user or the password is wrong: AIRFLOW_USERNAME" in done.stderr
    assert "not-the-password" not in done.stderr
