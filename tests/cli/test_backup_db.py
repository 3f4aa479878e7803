"""The procedures' backup script: what it refuses before it asks Airflow for anything.

That it starts, follows and judges a run is shown against a real Airflow, in tests/end_to_end.
"""

from pathlib import Path

import pytest

from ledgerkeep.cli.backup_db import disagreements, main
from ledgerkeep.policy.load import load_policy

POLICY = load_policy(Path(__file__).parents[2] / "include" / "policies" / "production.yaml")
FULL = ["--type", "full", "--environment", "production"]


@pytest.fixture(autouse=True)
def _no_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW_API_URL", "AIRFLOW_USERNAME", "AIRFLOW_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def test_what_the_command_says_otherwise_than_the_policy_is_named() -> None:
    """Each of them, so that an old script is corrected once."""
    said = {
        "database": "payroll",
        "bucket": "backups-bucket",
        "region": "us-east-1",
        "prefix": "staging/daily",
        "retention": 14,
    }
    assert disagreements(said, POLICY) == [
        "the policy backs up loan_management, not payroll",
        "the policy's bucket is loan-management-backups-production, not backups-bucket",
        "the policy's region is eu-central-1, not us-east-1",
        "backups of production lie below production/",
        "the policy keeps backups 30d, not 14d",
    ]


def test_what_the_command_says_as_the_policy_does_is_fine() -> None:
    """The examples of the procedures work as they stand, but for host, user and password."""
    said = {
        "database": "loan_management",
        "bucket": "loan-management-backups-production",
        "region": None,
        "prefix": "production/manual",
        "retention": 30,
    }
    assert disagreements(said, POLICY) == []


def test_a_contradiction_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, the sentence and the hint."""
    assert main([*FULL, "--bucket", "mine"]) == 1
    assert capsys.readouterr().err == (
        "error: the policy's bucket is loan-management-backups-production, not mine\n"
        "Hint: nothing was started; leave the option out, or change the policy\n"
    )


def test_without_an_address_nothing_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """It says which variables are missing."""
    assert main(FULL) == 1
    assert capsys.readouterr().err == (
        "error: it is not said where Airflow is, or who asks: "
        "AIRFLOW_API_URL, AIRFLOW_USERNAME, AIRFLOW_PASSWORD not set\n"
        "Hint: export them (the sandbox writes them to .sandbox/env)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*FULL, "--password", "hunter2"], "--password: a password is never an argument"),
        ([*FULL, "--password"], "--password: a password is never an argument"),
        ([*FULL, "--host", "db.example.com"], "--host: host, user, port and credentials are the"),
        ([*FULL, "--aws-profile", "x"], "--aws-profile: host, user, port and credentials are"),
        (["-t", "logical", "-e", "production"], "argument -t/--type: invalid choice: 'logical'"),
        (["-t", "full"], "the following arguments are required: -e/--environment"),
        (["-t", "pre_deployment", "-e", "production"], "--deployment belongs to --type pre_dep"),
        ([*FULL, "--deployment", "r1"], "--deployment belongs to --type pre_deployment"),
        ([*FULL, "--retention", "long"], "argument -k/--retention: invalid int value: 'long'"),
    ],
)
def test_a_command_that_cannot_be_meant_is_a_usage_error(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; and the password that was given is not repeated."""
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert says in told
    assert "hunter2" not in told


def test_an_environment_without_a_policy_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a stack trace."""
    assert main(["-t", "full", "-e", "moon"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
