"""Repositories as a source: every ref with its objects, put back where it was, and never elsewhere.

Git is real, over files and over its own HTTP backend. What GitHub says of protection is in
`test_repositories_protection`.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Source
from ledgerkeep.errors import (
    ConfigurationError,
    ServiceRefused,
    ServiceUnavailable,
    SourceChanged,
    WorkerError,
)
from tests.support.configuration import Account, aws, open_account, policy_with
from tests.support.repositories import (
    Origin,
    empty_origin,
    git,
    git_over_http,
    stocked_origin,
)

__all__ = ["aws"]
pytestmark = pytest.mark.integration

CODE = "infrastructure"


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories of this test are."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return stocked_origin(tmp_path)


def account_with(*origins: Origin, **settings: Any) -> Account:
    repositories = [{"name": one.bare.stem, "url": one.url} for one in origins]
    return open_account(
        policy_with(repositories={"repositories": repositories, **settings}),
        {"git": Login("https://api.example", password="t0ken-value")},
    )


@pytest.fixture
def account(aws: None, origin: Origin) -> Account:
    return account_with(origin)


@pytest.fixture
def source(account: Account) -> Source:
    return open_source("repositories", account.access, account.policy)


def contents(source: Source) -> dict[str, Mapping[str, Any]]:
    return {one.key: one.content for one in source.export({}) if isinstance(one, Found)}


def put_back(account: Account, source: Source, stored: dict[str, Item], version: Any) -> list[str]:
    """Everything that differs, in the source's order, as a recovery does it."""
    live = {key: dict(one) for key, one in contents(source).items()}
    items = {key: Item(key=key, content=one) for key, one in live.items()}
    told = []
    for planned in source.order(compare(items, stored)):
        by_hand = source.by_hand(planned)
        if by_hand:
            told.append(by_hand)
            continue
        key, after = planned.key, planned.after
        source.apply(
            Change(
                planned.action,
                key,
                live.get(key),
                dict(after.content) if after else None,
                (lambda key=key: account.versions.attachment(version, key)) if after else None,
            )
        )
        told.append(f"{planned.action} {key}")
    return told


# -- reading


def test_a_repository_is_its_default_branch_and_every_ref(source: Source, origin: Origin) -> None:
    found, refs = contents(source), origin.refs()
    assert sorted(found) == sorted([CODE, *(f"{CODE}/{ref}" for ref in refs)])
    assert found[CODE] == {"url": origin.url, "default_branch": "main"}
    assert found[f"{CODE}/refs/heads/feature/queues"] == {
        "object": refs["refs/heads/feature/queues"]
    }
    assert found[f"{CODE}/refs/tags/v1.0.0"] == {
        "object": refs["refs/tags/v1.0.0"],
        "annotated": True,
        "target": git(origin.bare, "rev-parse", "v1.0.0^{}"),
        "tagger": "Ann <ann@lender.example>",
        "signed": False,
    }
    assert found[f"{CODE}/refs/tags/nightly"]["annotated"] is False


def test_a_signed_tag_is_told_from_one_that_is_not(
    source: Source, origin: Origin, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}")
    git(origin.work, *settings, "tag", "-s", "v2.0.0", "-m", "Signed release")
    origin.push("--tags")
    assert contents(source)[f"{CODE}/refs/tags/v2.0.0"]["signed"] is True


def test_the_bundle_holds_every_ref_and_the_copy_is_gone_afterwards(
    account: Account, source: Source, origin: Origin, tmp_path: Path, scratch: Path
) -> None:
    version = account.back_up(source).version
    assert list(scratch.iterdir()) == []
    assert len({one.key for one in version.attachments.values()}) == 1
    assert sorted(version.attachments) == sorted(account.versions.items(version))
    bundle = tmp_path / "stored.bundle"
    bundle.write_bytes(b"".join(account.versions.attachment(version, CODE)))
    git(tmp_path, "clone", "-q", "--mirror", str(bundle), "again.git")
    lines = git(tmp_path / "again.git", "for-each-ref", "--format=%(refname) %(objectname)")
    assert dict(line.split(" ") for line in lines.splitlines()) == origin.refs()
    git(tmp_path / "again.git", "fsck", "--full", "--strict")


def test_a_run_in_which_nothing_moved_lists_the_refs_once_and_copies_nothing(
    account: Account, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.back_up(source)
    asked: list[str] = []
    from ledgerkeep.configuration.children import Program

    run = Program.run
    monkeypatch.setattr(
        Program,
        "run",
        lambda self, *args, **more: (asked.append(args[0]), run(self, *args, **more))[1],
    )
    again = account.back_up(source)
    assert (again.is_new, again.read_items) == (False, 0)
    assert asked == ["ls-remote"]


def test_a_commit_is_a_change_of_its_branch_alone_and_brings_a_bundle(
    account: Account, source: Source, origin: Origin
) -> None:
    first = account.back_up(source).version
    commit = origin.commit("main.tf", "# changed\n")
    done = account.back_up(source)
    assert [(one.action, one.key) for one in done.changes] == [
        ("update", f"{CODE}/refs/heads/main")
    ]
    assert done.changes[0].after is not None
    assert done.changes[0].after.content == {"object": commit}
    assert done.version.attachments[CODE] != first.attachments[CODE]
    assert not account.back_up(source).is_new


def test_an_empty_repository_is_exported_without_a_bundle(aws: None, tmp_path: Path) -> None:
    account = account_with(empty_origin(tmp_path))
    source = open_source("repositories", account.access, account.policy)
    version = account.back_up(source).version
    assert version.attachments == {}
    assert account.versions.items(version)[CODE].content["default_branch"] == ""
    assert account.back_up(source).read_items == 0


# -- restoring


def test_every_damage_is_named_and_undone_and_undoing_it_again_changes_nothing(
    account: Account, source: Source, origin: Origin
) -> None:
    version = account.back_up(source).version
    stored, before = account.versions.items(version), origin.refs()
    origin.push("--force", "feature/queues~1:refs/heads/feature/queues")
    origin.push("v1.0.0^{}:refs/heads/unknown", ":refs/tags/v1.0.0")
    git(origin.work, "tag", "-f", "-a", "v1.1.0", "-m", "Moved", "v1.0.0^{}")
    origin.push("--force", "refs/tags/v1.1.0")
    git(origin.bare, "symbolic-ref", "HEAD", "refs/heads/feature/queues")
    told = put_back(account, source, stored, version)
    assert told == [
        f"update {CODE}/refs/heads/feature/queues",
        f"create {CODE}/refs/tags/v1.0.0",
        f"update {CODE}/refs/tags/v1.1.0",
        f"update {CODE}",
        f"delete {CODE}/refs/heads/unknown",
    ]
    assert origin.refs() == before
    assert git(origin.bare, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert put_back(account, source, stored, version) == []
    assert source.settled(stored) == []
    assert not account.back_up(source).is_new


def test_a_repository_that_is_gone_comes_back_into_an_empty_one(
    account: Account, source: Source, origin: Origin
) -> None:
    version = account.back_up(source).version
    stored, before = account.versions.items(version), origin.refs()
    subprocess.run(["rm", "-r", str(origin.bare)], check=True)
    with pytest.raises(ServiceRefused) as caught:
        list(source.export({}))
    assert caught.value.message.startswith(f"git could not list the refs of {CODE}: fatal: ")
    assert caught.value.hint == (
        "correct its url in the policy; if the repository is gone, make an empty one in its place, "
        "then recover it; if it is hidden from us, name a connection_id for it in the policy, "
        "whose token may read it"
    )
    git(origin.work, "init", "-q", "--bare", "-b", "trunk", str(origin.bare))
    put_back(account, source, stored, version)
    assert origin.refs() == before
    assert git(origin.bare, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_a_ref_that_somebody_moved_since_the_plan_is_left_alone(
    account: Account, source: Source, origin: Origin
) -> None:
    version = account.back_up(source).version
    key = f"{CODE}/refs/heads/main"
    before = contents(source)[key]
    origin.commit("main.tf", "# planned\n")
    seen = contents(source)[key]
    meanwhile = origin.commit("main.tf", "# meanwhile\n")
    with pytest.raises(SourceChanged) as caught:
        source.apply(
            Change("update", key, seen, before, lambda: account.versions.attachment(version, key))
        )
    assert caught.value.message == (
        f"refs/heads/main of {CODE} was moved by somebody since it was looked at"
    )
    assert caught.value.hint == "compare again, and see whether it still has to be restored"
    assert origin.refs()["refs/heads/main"] == meanwhile


@pytest.mark.parametrize("action", ["update", "create"])
def test_whoever_pushes_in_the_last_moment_is_not_pushed_over(
    account: Account,
    source: Source,
    origin: Origin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    action: Any,
) -> None:
    """A git that lets somebody else push first."""
    version = account.back_up(source).version
    ref = "refs/heads/main" if action == "update" else "refs/heads/late"
    before = contents(source)[f"{CODE}/refs/heads/main"]
    seen = {"object": origin.commit("main.tf", "# damage\n")} if action == "update" else None
    (origin.work / "main.tf").write_text("# late\n")
    git(origin.work, "commit", "-q", "-a", "-m", "Late")
    late = git(origin.work, "rev-parse", "HEAD")
    programs, real = tmp_path / "programs", shutil.which("git")
    programs.mkdir()
    (programs / "git").write_text(
        f'#!/bin/sh\n[ "$1" = push ] && {real} -C {origin.work} push -q origin HEAD:{ref}\n'
        f'exec {real} "$@"\n'
    )
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    bundle = f"{CODE}/refs/heads/main"
    with pytest.raises(SourceChanged) as caught:
        source.apply(
            Change(
                action,
                f"{CODE}/{ref}",
                seen,
                before,
                lambda: account.versions.attachment(version, bundle),
            )
        )
    assert caught.value.message == f"{ref} of {CODE} was moved by somebody since it was looked at"
    assert origin.refs()[ref] == late


def test_a_bundle_that_lacks_the_object_is_refused(
    account: Account, source: Source, origin: Origin
) -> None:
    version = account.back_up(source).version
    key = f"{CODE}/refs/heads/main"
    wanted = {"object": "1" * 40}
    with pytest.raises(ConfigurationError) as caught:
        source.apply(
            Change(
                "update",
                key,
                contents(source)[key],
                wanted,
                lambda: account.versions.attachment(version, key),
            )
        )
    assert caught.value.message == f"the stored bundle of {CODE} does not hold 111111111111"
    assert caught.value.hint == "use another version"


def test_no_repository_is_removed_and_none_that_the_policy_does_not_name_is_touched(
    source: Source,
) -> None:
    item = Item(key=CODE, content={"url": "u", "default_branch": "main"})
    assert source.by_hand(Planned("delete", CODE, item, None)) == (
        f"no repository is removed by a program: remove {CODE} at its host if it may go"
    )
    assert source.by_hand(Planned("create", "other/refs/heads/main", None, item)) == (
        "the policy names no repository other: add it there, then recover it"
    )
    with pytest.raises(ConfigurationError) as caught:
        source.apply(Change("create", "other/refs/heads/main", None, {"object": "1" * 40}))
    assert caught.value.message == "the policy names no repository other"
    assert source.by_hand(Planned("update", CODE, item, item)) == (
        f"the version of {CODE} is of u: correct its url in the policy, if it moved"
    )


# -- an isolated place


def test_an_isolated_place_holds_every_ref_and_is_removed_whole(
    account: Account, source: Source, origin: Origin, scratch: Path
) -> None:
    version = account.back_up(source).version
    stored = account.versions.items(version)
    beside, refs = source.beside("run-1"), origin.refs()
    assert beside is not None
    assert contents(beside) == {}
    put_back(account, beside, stored, version)
    assert contents(beside) == {key: one.content for key, one in stored.items()}
    assert beside.settled(stored) == []
    assert origin.refs() == refs
    again = source.beside("run-1")  # another attempt finds it, and removes it
    assert again is not None
    again.clear()
    again.clear()
    assert contents(beside) == {}
    assert [path.name for path in scratch.iterdir() if "restore-test" in path.name] == []


def test_damage_in_an_isolated_place_is_found_by_fsck(
    account: Account, source: Source, origin: Origin, scratch: Path
) -> None:
    version = account.back_up(source).version
    beside = source.beside("run-2")
    assert beside is not None
    put_back(account, beside, account.versions.items(version), version)
    commit = origin.refs()["refs/heads/main"]
    place = scratch / "ledgerkeep-restore-test-run-2" / f"{CODE}.git"
    (place / "objects" / commit[:2] / commit[2:]).unlink()
    assert any(one.startswith(f"git fsck says of {CODE}: ") for one in beside.settled([CODE]))


def test_only_an_isolated_place_can_be_cleared(source: Source) -> None:
    with pytest.raises(NotImplementedError):
        source.clear()


# -- credentials


def test_a_token_opens_a_repository_and_stands_in_no_argument_file_or_message(
    aws: None, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for in every argument of every process that is started meanwhile."""
    token, arguments = "t0ken-value", []
    started = subprocess.Popen.__init__

    def noted(self: Any, args: Any, *rest: Any, **more: Any) -> None:
        arguments.append(" ".join(map(str, args)))
        started(self, args, *rest, **more)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    with git_over_http(tmp_path, token) as (address, seen):
        settings = {"name": CODE, "url": f"{address}/acme/infrastructure.git"}
        policy = policy_with(repositories={"repositories": [settings], "connection_id": "git"})
        account = open_account(policy, {"git": Login("https://api.example", password=token)})
        source = open_source("repositories", account.access, account.policy)
        version = account.back_up(source).version
        stored, before = account.versions.items(version), origin.refs()
        origin.push(":refs/tags/v1.0.0")
        put_back(account, source, stored, version)
        assert origin.refs() == before
        wrong = replace(account.access, login=lambda _: Login("https://a", password="no-token"))
        with pytest.raises(ServiceRefused) as caught:
            list(open_source("repositories", wrong, policy).export({}))
    assert len(seen) > 3
    assert arguments
    assert not [one for one in arguments if token in one]
    assert not [one for one in account.store.objects.values() if token.encode() in one.body]
    assert "no-token" not in str(caught.value)
    assert caught.value.message.startswith(f"git could not list the refs of {CODE}: ")
    assert caught.value.hint == (
        "give the token of the connection git the permission Contents: read (for a recovery: "
        "write), or its SSH key access"
    )


def test_an_ssh_key_is_named_by_its_path_and_no_shell_reads_it(
    aws: None, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ssh that runs on this machine what it should on the other."""
    programs, key = tmp_path / "programs", "/keys/of $(touch hacked) us"
    programs.mkdir()
    (programs / "ssh").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\n'
        'while [ $# -gt 1 ]; do shift; done\nexec sh -c "$1"\n'
    )
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    settings = {"name": CODE, "url": f"ssh://git@host{origin.bare}"}
    policy = policy_with(repositories={"repositories": [settings], "connection_id": "git"})
    login = Login("https://api.example", password="t0ken-value", extra={"key_file": key})
    account = open_account(policy, {"git": login})
    found = contents(open_source("repositories", account.access, policy))
    assert len(found) == len(origin.refs()) + 1
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[:2] == ["-i", key]
    assert "BatchMode=yes" in asked
    assert "StrictHostKeyChecking=yes" in asked


def test_a_host_that_does_not_answer_may_answer_later(aws: None) -> None:
    settings = {"name": CODE, "url": "http://127.0.0.1:1/acme/code.git"}
    account = open_account(policy_with(repositories={"repositories": [settings]}))
    with pytest.raises(ServiceUnavailable) as caught:
        list(open_source("repositories", account.access, account.policy).export({}))
    assert caught.value.retryable
    assert caught.value.hint == (
        "check the network between the worker and http://127.0.0.1:1/acme/code.git"
    )


def test_git_reads_no_configuration_of_the_worker(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text('[url "file:///nowhere/"]\n insteadOf = "file:///"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert CODE in contents(source)


def test_without_git_the_worker_is_at_fault(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkerError) as caught:
        list(source.export({}))
    assert caught.value.message == "git is not on this worker's PATH"
    assert caught.value.hint == ("install git on the workers, or take its source out of the policy")


def test_what_takes_too_long_is_ended_and_told(
    aws: None, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git that only waits."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").write_text("#!/bin/sh\nsleep 1000 &\nwait\n")
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    account = account_with(origin, patience="1s")
    began = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        list(open_source("repositories", account.access, account.policy).export({}))
    assert time.monotonic() - began < 30
    assert caught.value.message == "git ls-remote took longer than 1s and was ended"
    assert caught.value.hint == (
        "find out what it waits for, or raise the source's patience in the policy"
    )


_EXPORT = """
import sys
from datetime import timedelta
from ledgerkeep.configuration.sources.repositories.git import Remote, environment_of
remote = Remote("code", sys.argv[1], "", timedelta(minutes=5), environment_of("", None))
remote.copied()
"""


def test_git_and_all_it_started_die_with_the_task_and_the_next_one_removes_the_copy(
    source: Source, origin: Origin, tmp_path: Path, scratch: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    marker = f"{1_000_000 + os.getpid()}"
    (programs / "git").write_text(f"#!/bin/sh\nsleep {marker} &\necho up > {tmp_path}/up\nwait\n")
    (programs / "git").chmod(0o755)
    task = subprocess.Popen(
        [sys.executable, "-c", _EXPORT, origin.url],
        env={
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TMPDIR": str(scratch),
        },
    )
    _wait(lambda: (tmp_path / "up").exists())
    assert _running(marker)
    assert len(list(scratch.iterdir())) == 1
    task.send_signal(signal.SIGKILL)
    task.wait(10)
    _wait(lambda: not _running(marker))
    contents(source)
    assert list(scratch.iterdir()) == []


def _running(marker: str) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def _wait(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_unchanged_refs_are_known(source: Source) -> None:
    marks = {one.key: one.mark for one in source.export({}) if isinstance(one, Found)}
    assert all(isinstance(one, Known) for one in source.export(marks))
