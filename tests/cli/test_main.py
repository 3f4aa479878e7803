"""The command as a shell sees it: what it prints, where, and the code it ends with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.objectstore import ObjectStoreServer, admin_client
from ledgerkeep.catalog import keys
from ledgerkeep.cli.main import main
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.programs import server_account
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.evidence.verification.verify import verify_readability
from ledgerkeep.model import utc_now
from ledgerkeep.worker import worker_settings
from tests.cli.conftest import Protected
from tests.conftest import ROOT
from tests.evidence.support import record

ENVIRONMENT = ("--environment", "production")


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    """What a program reads from standard output."""
    assert main([*words, *ENVIRONMENT, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    """What a program reads from standard error."""
    assert main([*words, "--json"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    return json.loads(told.err)["error"]


@pytest.mark.integration
def test_list_names_every_recovery_point(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(capsys, "list")
    assert told["environment"] == "production"
    assert told["location"] == shell.catalog.store.location
    points = {point["id"]: point for point in told["recovery_points"]}
    assert set(points) == {shell.backup_id, shell.wal_id}
    backup, wal = points[shell.backup_id], points[shell.wal_id]
    assert (backup["kind"], backup["level"]) == ("base_backup", "intact")
    assert backup["stored_bytes"] < backup["raw_bytes"]
    assert (wal["kind"], wal["level"]) == ("wal", None)


@pytest.mark.integration
def test_list_for_people_folds_wal_into_one_line(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", *ENVIRONMENT]) == 0
    told = capsys.readouterr().out
    assert shell.backup_id in told
    assert "intact" in told
    assert shell.wal_id not in told
    assert "WAL of cluster" in told
    assert main(["list", "--wal", *ENVIRONMENT]) == 0
    assert shell.wal_id in capsys.readouterr().out


@pytest.mark.integration
def test_show_gives_the_record_and_its_proofs(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(capsys, "show", shell.backup_id)
    assert told["recovery_point"] == json.loads(
        shell.catalog.find_backup(shell.backup_id).to_json()
    )
    assert told["level"] == "intact"
    assert told["proofs"][0]["run"] == "backup/1"
    assert main(["show", shell.wal_id, *ENVIRONMENT]) == 0
    assert "segments" in capsys.readouterr().out


@pytest.mark.integration
def test_unknown_id_is_refused_with_what_to_do(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    location = shell.catalog.store.location
    assert refusal(capsys, "show", "nothing", *ENVIRONMENT) == {
        "kind": "RecoveryPointMissing",
        "message": f"no recovery point nothing in {location}/production",
        "hint": "list what exists: ledgerkeep list --wal --environment production",
        "retryable": False,
    }


@pytest.mark.integration
def test_verify_reads_every_backup_back(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(capsys, "verify", "--all")
    assert told == {"verified": [{"id": shell.backup_id, "intact": True, "problem": ""}]}
    proofs = answer(capsys, "show", shell.backup_id)["proofs"]
    assert proofs[-1]["run"] == "cli"


@contextmanager
def one_byte_flipped(s3: ObjectStoreServer, bucket: str, key: str) -> Iterator[None]:
    """A newer version with one other byte, which Object Lock cannot prevent; then gone again."""
    client = admin_client(s3)
    body = bytearray(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    body[len(body) // 2] ^= 1
    version = client.put_object(Bucket=bucket, Key=key, Body=bytes(body))["VersionId"]
    yield
    client.delete_object(Bucket=bucket, Key=key, VersionId=version)


@pytest.mark.integration
def test_verify_names_a_damaged_backup_and_ends_with_1(
    shell: Protected, s3: ObjectStoreServer, capsys: pytest.CaptureFixture[str]
) -> None:
    key = shell.catalog.find_backup(shell.backup_id).archives[0].volumes[0].key
    with one_byte_flipped(s3, shell.catalog.policy.storage.bucket, key):
        assert main(["verify", shell.backup_id, *ENVIRONMENT, "--json"]) == 1
    out, err = capsys.readouterr()
    (result,) = json.loads(out)["verified"]
    assert not result["intact"]
    assert key in result["problem"]
    assert json.loads(err)["error"]["kind"] == "ObjectCorrupt"


@pytest.mark.integration
def test_verify_reads_back_what_is_due_and_names_what_is_damaged(
    shell: Protected,
    s3: ObjectStoreServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (shell.policies / "production.yaml").read_text()
    impatient = text.replace('"0 7 * * *"  ', "null").replace(
        "reread_within: 30d", "reread_within: 1s"
    )
    (tmp_path / "production.yaml").write_text(impatient)
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    # The tests before may have read everything within the last second.
    assert verify_readability.__kwdefaults__
    monkeypatch.setitem(
        verify_readability.__kwdefaults__, "clock", lambda: utc_now() + timedelta(seconds=2)
    )
    told = answer(capsys, "verify", "--due")
    assert [one["severity"] for one in told["findings"]] == ["warning"]
    assert told["measurements"]["reread_objects"] == told["measurements"]["stored_objects"]

    system_identifier = shell.catalog.find_backup(shell.backup_id).system_identifier
    first = shell.wal_id[:24]
    key = keys.wal_segment("production", system_identifier, first)
    with one_byte_flipped(s3, shell.catalog.policy.storage.bucket, key):
        assert main(["verify", "--due", *ENVIRONMENT]) == 1
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "critical: " in line]
    assert said.startswith(
        f"critical: WAL stretch {shell.wal_id} has lost a segment, first {first}"
    )


@pytest.mark.integration
def test_plan_says_what_a_restore_would_do(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(capsys, "plan", "--latest")
    assert told["backup_id"] == shell.backup_id
    assert told["segment_count"] >= 1
    assert main(["plan", "--latest", *ENVIRONMENT]) == 0
    assert "target:        the latest position" in capsys.readouterr().out


@pytest.mark.integration
def test_unreachable_target_is_refused(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal(capsys, "plan", "--target-lsn", "FFF/0", *ENVIRONMENT)
    assert told["kind"] == "TargetUnreachable"
    assert told["hint"]


@pytest.mark.integration
def test_moment_without_offset_is_refused(
    shell: Protected, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--target-time", "2026-03-01T14:30:00", *ENVIRONMENT]) == 1
    assert capsys.readouterr().err == (
        "error: the recovery target '2026-03-01T14:30:00' has no offset from UTC\n"
        "Hint: say which clock is meant: 2026-03-01T14:30:00+00:00 if it is UTC\n"
    )


@contextmanager
def started(handover: dict[str, Any], directory: Path) -> Iterator[ServerAddress]:
    """The copy's server, started with the very command that was told."""
    account = server_account(worker_settings())
    assert handover["account"] == account.name

    def run(command: list[str]) -> None:
        subprocess.run(account.command(command), check=True, capture_output=True, cwd=directory)

    run(handover["start"])
    try:
        yield ServerAddress(host=handover["socket_directory"])
    finally:
        run([handover["start"][0], "-D", str(directory / "data"), "-m", "fast", "stop"])


@pytest.mark.integration
def test_restore_leaves_a_copy_and_a_second_one_does_not_take_its_place(
    shell: Protected, room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = str(room / "copy")
    told = answer(capsys, "restore", "--latest", "--destination", destination)
    assert told["backup_id"] == shell.backup_id
    assert told["room"] == destination
    assert told["segments_replayed"] >= 1
    with started(told["handover"], Path(destination)) as address, connect(address) as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        assert connection.execute("SHOW archive_mode").fetchone() == ("off",)
        connection.execute("CREATE TABLE written_after_the_handover AS SELECT 1 AS one")
    again = refusal(capsys, "restore", "--latest", "--destination", destination, *ENVIRONMENT)
    assert again["kind"] == "PreflightFailed"
    assert Path(destination).is_dir()


@pytest.mark.integration
def test_evidence_is_verified(shell: Protected, capsys: pytest.CaptureFixture[str]) -> None:
    """Against the real store: the links are created only if nobody else has the number."""
    log = EvidenceLog(shell.catalog.store, shell.catalog.policy)
    links = [log.append(record(number, environment="production")) for number in range(3)]
    assert log.append(record(1, environment="production")) == links[1]
    told = answer(capsys, "evidence", "verify")
    assert told == {"environment": "production", "sequence": 3, "sha256": links[2].digest()}


@pytest.mark.integration
def test_wrong_credentials_are_named(
    shell: Protected, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert refusal(capsys, "list", *ENVIRONMENT)["kind"] == "StoreAccessDenied"


def test_unknown_environment_is_named_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = refusal(capsys, "list", "--environment", "prod")
    assert told["message"].startswith("there is no policy for 'prod' in ")
    assert told["hint"] == "the environments are development, production, staging"


def test_broken_policy_is_shown_with_line_and_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "staging.yaml"
    path.write_text("environment: staging\nowner: 3\n")
    assert main(["policy", "check", str(path)]) == 1
    assert "line 2: owner: found 3; allowed: text" in capsys.readouterr().err
    assert main(["policy", "check", "--json", str(path)]) == 1
    faults = json.loads(capsys.readouterr().out)["policies"][0]["faults"]
    assert {"line": 2, "field": "owner", "found": "3", "allowed": "text"} in faults


def test_shipped_policies_pass_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "check"]) == 0
    assert capsys.readouterr().out.count("sound") == 3


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["list"],
        ["plan", *ENVIRONMENT],
        ["plan", "--latest", "--target-xid", "7", *ENVIRONMENT],
        ["restore", "--latest", *ENVIRONMENT],
        ["verify", *ENVIRONMENT],
    ],
    ids=" ".join,
)
def test_misused_command_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage: ledgerkeep" in capsys.readouterr().err


def test_list_starts_without_what_it_does_not_need() -> None:
    """Airflow, matplotlib and Great Expectations take seconds to import."""
    script = (
        "import sys\nfrom ledgerkeep.cli.main import main\n"
        "main(['list', '--environment', 'prod'])\n"
        "import ledgerkeep.cli.points, ledgerkeep.cli.session, ledgerkeep.storage.open\n"
        "heavy = {'airflow', 'matplotlib', 'great_expectations', 'pandas', 'psycopg'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2] / "plugins",
    )
    assert done.stdout.strip() == "[]"


def test_interpreter_is_not_taken_down_at_the_end() -> None:
    """Exit hooks run and what was written arrives; then nothing of ours is torn from a thread."""
    script = (
        "import atexit, os, sys\nfrom ledgerkeep.cli.main import command\n"
        "class Late:\n    def __del__(self):\n        os.write(1, b'taken down')\n"
        "late = Late()\n"
        "atexit.register(print, 'hooks')\n"
        "sys.argv = ['ledgerkeep', '--version']\n"
        "command()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["hooks"])


def test_reader_that_has_enough_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    policy = str(ROOT / "include" / "policies" / "staging.yaml")
    command = [sys.executable, "-m", "ledgerkeep.cli.main", "policy", "check", policy]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
