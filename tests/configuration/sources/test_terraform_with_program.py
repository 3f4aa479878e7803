"""Terraform itself as the judge: it takes a restored state for its own, and its locks hold us out.

The lock table is moto's, in this process and over HTTP; the bucket is a real object store's.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Source
from ledgerkeep.configuration.sources.terraform_state import States
from ledgerkeep.configuration.sources.terraform_state.locks import locked, our_lock
from ledgerkeep.errors import StateLocked
from tests.support.configuration import aws
from tests.support.terraform import TABLE, Infrastructure, infrastructure, needs_terraform

__all__ = ["aws", "infrastructure"]
pytestmark = [pytest.mark.integration, needs_terraform]

KEY = "loans/terraform.tfstate"
FIRST = """
resource "terraform_data" "database" { input = "pa55word-first" }
resource "terraform_data" "queue" {
  count = 2
  input = { name = "queue-${count.index}" }
}
output "address" { value = "db.internal" }
output "password" {
  value = terraform_data.database.output
  sensitive = true
}
"""
SECOND = FIRST.replace("pa55word-first", "pa55word-second").replace("count = 2", "count = 1")


def found(source: Source) -> dict[str, Found]:
    return {one.key: one for one in source.export({}) if isinstance(one, Found)}


def restored(source: Source, before: dict[str, Found]) -> None:
    live = found(source)
    source.apply(Change("update", KEY, live[KEY].content, before[KEY].content))


@pytest.mark.parametrize(
    ("settings", "locks"),
    [
        pytest.param({"lock_table": TABLE}, [f'dynamodb_table = "{TABLE}"'], id="lock table"),
        pytest.param({"lock_file": True}, ["use_lockfile = true"], id="lock file"),
        pytest.param(
            {"lock_table": TABLE, "lock_file": True},
            [f'dynamodb_table = "{TABLE}"', "use_lockfile = true"],
            id="both",
        ),
    ],
)
def test_terraform_takes_a_restored_state_for_its_own(
    infrastructure: Infrastructure,
    settings: dict[str, object],
    locks: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = infrastructure.code(KEY, *locks)
    for name in ("HOME", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, code.environment[name])
    plan = {"key": KEY, "directory": str(code.directory)}
    account = infrastructure.account(prefixes=["loans/"], plans=[plan], **settings)
    source = open_source("terraform_state", account.access, account.policy)
    code.write(FIRST)
    code.run("init", "-input=false")
    code.apply(FIRST)
    before = found(source)
    assert source.settled([KEY]) == []
    code.apply(SECOND)
    serial = json.loads(infrastructure.get(KEY))["serial"]

    restored(source, before)

    assert json.loads(infrastructure.get(KEY))["serial"] == serial + 1
    assert found(source)[KEY].content == before[KEY].content
    assert source.settled([KEY]) == [
        f"terraform plan of {KEY} would change terraform_data.database, destroy "
        "terraform_data.queue[1]; look at it before anybody applies it"
    ]
    code.write(FIRST)
    assert source.settled([KEY]) == []
    assert "No changes" in code.run("plan", "-input=false", "-no-color")
    code.apply(SECOND)  # it goes on from the restored state
    assert not [one for one in infrastructure.locked_items() if not one.endswith("-md5")]


def test_a_plan_of_code_with_another_state_verifies_nothing(
    infrastructure: Infrastructure, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = infrastructure.code("other/terraform.tfstate")
    for name in ("HOME", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, code.environment[name])
    code.write(FIRST)
    plan = {"key": KEY, "directory": str(code.directory)}
    account = infrastructure.account(keys=[KEY], plans=[plan])
    source = open_source("terraform_state", account.access, account.policy)
    assert source.settled([KEY]) == [
        f"not verified: {KEY}: the code in {code.directory} keeps its state in "
        f"{infrastructure.bucket}/other/terraform.tfstate"
    ]
    assert sorted(path.name for path in code.directory.iterdir()) == ["backend.tf", "main.tf"]


def test_code_that_is_wrong_is_not_verified_and_says_no_value(
    infrastructure: Infrastructure, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = infrastructure.code(KEY)
    for name in ("HOME", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, code.environment[name])
    code.write('resource "terraform_data" "a" { input = nothing.at_all }')
    plan = {"key": KEY, "directory": str(code.directory)}
    account = infrastructure.account(keys=[KEY], plans=[plan])
    source = open_source("terraform_state", account.access, account.policy)
    assert source.settled([KEY]) == [
        f"not verified: {KEY}: terraform plan failed: Reference to undeclared resource"
    ]


@pytest.mark.parametrize(
    ("settings", "locks"),
    [
        pytest.param({"lock_table": TABLE}, [f'dynamodb_table = "{TABLE}"'], id="lock table"),
        pytest.param({"lock_file": True}, ["use_lockfile = true"], id="lock file"),
    ],
)
def test_what_terraform_holds_is_not_written_and_what_we_hold_terraform_does_not_write(
    infrastructure: Infrastructure, settings: dict[str, object], locks: list[str], tmp_path: Path
) -> None:
    code = infrastructure.code(KEY, *locks)
    account = infrastructure.account(keys=[KEY], **settings)
    source = open_source("terraform_state", account.access, account.policy)
    code.write(FIRST)
    code.run("init", "-input=false")
    code.apply(FIRST)
    before = found(source)
    waits = tmp_path / "waits"
    os.mkfifo(waits)
    code.write(
        SECOND
        + 'resource "terraform_data" "slow" {\n provisioner "local-exec" {\n'
        + f'  command = "cat {waits}"\n }}\n}}\n'
    )
    running = subprocess.Popen(
        ["terraform", "apply", "-auto-approve", "-input=false", "-no-color"],
        cwd=code.directory,
        env=code.environment,
        stdout=subprocess.DEVNULL,
    )
    with waits.open("w") as gate:  # opens when terraform is in the middle, and holds the lock
        held = infrastructure.get(KEY)
        with pytest.raises(StateLocked) as caught:
            restored(source, before)
        gate.write("go on")
    assert caught.value.message.startswith(f"the state {infrastructure.bucket}/{KEY} is locked by ")
    assert caught.value.message.endswith("(OperationTypeApply)")
    assert "terraform force-unlock" in caught.value.hint
    assert running.wait(60) == 0
    assert json.loads(held)["lineage"] == before[KEY].content["lineage"]

    live = found(source)
    assert isinstance(source, States)
    info = our_lock("production", source.store.path(KEY))
    with locked(source.store.locks(KEY), info):
        said = code.run("apply", "-auto-approve", "-input=false", "-no-color", fails=True)
    assert "Error acquiring the state lock" in said
    assert info.id in said
    assert "LedgerkeepRecovery" in said
    source.apply(Change("update", KEY, live[KEY].content, before[KEY].content))
    assert found(source)[KEY].content == before[KEY].content


_KILLED = """
import json, os, sys
import boto3
from ledgerkeep.configuration.sources.terraform_state.locks import locked, our_lock
from ledgerkeep.configuration.sources.terraform_state.store import StateStore
from ledgerkeep.policy.configuration_sources import TerraformState

told = json.loads(sys.stdin.readline())
s3 = boto3.client("s3", "eu-central-1", endpoint_url=told["endpoint"],
                  aws_access_key_id=told["key"], aws_secret_access_key=told["secret"])
dynamodb = boto3.client("dynamodb", "eu-central-1", endpoint_url=told["table_address"],
                        aws_access_key_id="testing", aws_secret_access_key="testing")
settings = TerraformState(bucket=told["bucket"], keys=[told["state"]], lock_table=told["table"],
                          lock_file=True)
store = StateStore(settings, s3, dynamodb)
with locked(store.locks(told["state"]), our_lock("production", store.path(told["state"]))):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_a_lock_that_a_killed_task_left_is_taken_over_and_released(
    infrastructure: Infrastructure,
) -> None:
    code = infrastructure.code(KEY, f'dynamodb_table = "{TABLE}"', "use_lockfile = true")
    account = infrastructure.account(keys=[KEY], lock_table=TABLE, lock_file=True)
    source = open_source("terraform_state", account.access, account.policy)
    code.write(FIRST)
    code.run("init", "-input=false")
    code.apply(FIRST)
    before = found(source)
    code.apply(SECOND)
    _kill_while_locked(infrastructure)
    said = code.run("apply", "-auto-approve", "-input=false", "-no-color", fails=True)
    assert "Error acquiring the state lock" in said

    restored(source, before)

    assert found(source)[KEY].content == before[KEY].content
    code.apply(FIRST)


def _kill_while_locked(there: Infrastructure) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdin
    assert child.stdout
    told = {
        "endpoint": there.server.endpoint,
        "key": there.server.user.access_key,
        "secret": there.server.user.secret_key,
        "table_address": there.table_address,
        "bucket": there.bucket,
        "state": KEY,
        "table": TABLE,
    }
    child.stdin.write(json.dumps(told) + "\n")
    child.stdin.flush()
    assert child.stdout.readline() == "locked\n"
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdin.close()
    child.stdout.close()


def test_terraform_dies_with_the_task_that_asked_it(
    infrastructure: Infrastructure, tmp_path: Path
) -> None:
    code = infrastructure.code(KEY)
    waits = tmp_path / "waits"
    os.mkfifo(waits)
    code.write(
        'data "terraform_remote_state" "slow" {\n backend = "local"\n'
        f' config = {{ path = "{waits}" }}\n}}\n'
    )
    code.run("init", "-input=false")
    script = (
        "import sys\nfrom datetime import timedelta\nfrom pathlib import Path\n"
        "from ledgerkeep.configuration.children import Program\n"
        f"p = Program({shutil.which('terraform')!r}, "
        f"{code.environment!r}, timedelta(minutes=5))\n"
        f"p.run('plan', '-input=false', '-lock=false', directory=Path({str(code.directory)!r}))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    writer = os.open(waits, os.O_WRONLY)  # returns when terraform reads
    try:
        assert _terraforms(code.directory)
        parent.kill()
        parent.wait(10)
        deadline = time.monotonic() + 6  # at 10 s it says that it still reads, and nobody listens
        while _terraforms(code.directory) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _terraforms(code.directory)
    finally:
        os.close(writer)


def _terraforms(directory: Path) -> list[str]:
    """Processes whose working directory it is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == directory:
                found.append(process.name)
        except OSError:
            continue
    return found
