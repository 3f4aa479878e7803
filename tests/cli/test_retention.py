"""`ledgerkeep retention` and `ledgerkeep hold` as a shell sees them."""

import getpass
import json

import pytest

from ledgerkeep.cli.main import main
from tests.cli.conftest import Protected
from tests.cli.test_main import ENVIRONMENT, answer, refusal
from tests.conftest import Cluster

pytestmark = pytest.mark.integration


@pytest.fixture
def server(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server to take the lock in; its password is no part of the address."""
    monkeypatch.setenv("PGPASSWORD", "sandbox-password")
    return f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres"


def test_plan_says_of_everything_why_it_stays(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    (plan,) = answer(capsys, "retention", "plan")["plans"]
    decisions = {one["id"]: one for one in plan["decisions"]}
    assert set(decisions) == {shell.backup_id, shell.wal_id}
    assert "not older than 1w" in decisions[shell.backup_id]["keep"]
    assert decisions[shell.wal_id]["keep"] == [
        "the WAL window of 1w needs it",
        "WAL shipping goes on from it",
    ]
    assert [one["remove"] for one in plan["decisions"]] == [None, None]


def test_plan_for_people_counts_the_reasons(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retention", "plan", *ENVIRONMENT]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith("2 stay, 0 go (0 B)")
    assert "  keep 1 full backup: recent" in told


def test_apply_removes_nothing_that_has_a_reason_to_stay(
    shell: Protected, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (applied,) = answer(capsys, "retention", "apply", "--server", server)["applied"]
    assert (applied["removed"], applied["locked"], applied["stopped"]) == ([], [], False)
    assert main(["retention", "apply", "--server-is-gone", *ENVIRONMENT]) == 0
    assert ": 0 removed, 0 locked, 2 stay" in capsys.readouterr().out
    assert len(answer(capsys, "list")["recovery_points"]) == 2


def test_apply_wants_to_know_about_the_server(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retention", "apply", *ENVIRONMENT]) == 2
    assert "one of the arguments --server --server-is-gone is required" in capsys.readouterr().err


def test_a_password_in_the_address_is_refused(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql://postgres:secret@127.0.0.1/postgres"
    told = refusal(capsys, "retention", "apply", "--server", url, *ENVIRONMENT)
    assert told["message"] == (
        "the address of the server has a password in it, which every process can read"
    )
    assert told["hint"] == "leave it out, and set PGPASSWORD or use ~/.pgpass"


def test_a_server_that_does_not_answer_stops_it(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql://postgres@127.0.0.1:1/postgres"
    told = refusal(capsys, "retention", "apply", "--server", url, *ENVIRONMENT)
    assert (told["kind"], told["retryable"]) == ("DatabaseUnavailable", True)


def test_a_hold_is_placed_listed_and_released(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    placed = answer(capsys, "hold", "place", shell.backup_id, "--reason", "case 7")
    assert (placed["recovery_point_id"], placed["placed_by"]) == (
        shell.backup_id,
        getpass.getuser(),
    )
    assert answer(capsys, "hold", "list") == {"holds": [placed]}
    (plan,) = answer(capsys, "retention", "plan")["plans"]
    assert f"legal hold {placed['id']}: case 7" in json.dumps(plan)
    assert main(["hold", "list", *ENVIRONMENT]) == 0
    assert placed["id"] in capsys.readouterr().out

    released = answer(capsys, "hold", "release", placed["id"], "--reason", "closed")
    assert released["hold_id"] == placed["id"]
    assert answer(capsys, "hold", "list") == {"holds": []}
    assert main(["hold", "list", *ENVIRONMENT]) == 0
    assert capsys.readouterr().out.startswith("no hold in s3://")


def test_a_hold_for_people_says_what_it_does(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hold", "place", shell.wal_id, "--reason", "case 8", *ENVIRONMENT]) == 0
    words = capsys.readouterr().out.split()
    assert f"keeps {shell.wal_id} until it is released" in " ".join(words)
    assert main(["hold", "release", words[2], "--reason", "closed", *ENVIRONMENT]) == 0
    assert capsys.readouterr().out == (
        f"legal hold {words[2]} is released; retention decides from now on\n"
    )
