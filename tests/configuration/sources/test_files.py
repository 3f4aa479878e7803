"""Configuration files as a source: in a bucket (moto's) and in a directory on this machine."""

import os
from pathlib import Path
from typing import Any

import pytest

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Known, Source
from ledgerkeep.errors import AwsRefused, ConfigurationError
from tests.support.configuration import REGION, Account, aws, open_account, policy_with

__all__ = ["aws"]

BUCKET = "loan-configuration"
PLACES = {
    "in_buckets": [{"name": "app", "bucket": BUCKET, "prefix": "config/"}],
    "largest_kib": 1,
}


def with_directory(directory: Path, **settings: Any) -> dict[str, Any]:
    return {**PLACES, "in_directories": [{"name": "etc", "directory": str(directory)}], **settings}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "etc"
    (made / "sub").mkdir(parents=True)
    (made / "loans.conf").write_text("workers = 4\n")
    (made / "loans.conf").chmod(0o640)
    (made / "sub" / "logo").write_bytes(b"\xff\x00\xfe")
    (made / "tls.key").write_text("s3cret-key")
    return made


def open_files(account: Account) -> Source:
    return open_source("files", account.access, account.policy)


@pytest.fixture
def account(aws: None, directory: Path) -> Account:
    account = open_account(policy_with(files=with_directory(directory)))
    account.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    put(account, "config/app.yaml", b"interest: act/360\n", ContentType="application/yaml")
    put(account, "config/jobs/worker.env", b"PASSWORD=s3cret-value", Metadata={"owner": "ops"})
    put(account, "elsewhere/app.yaml", b"x")
    return account


@pytest.fixture
def source(account: Account) -> Source:
    return open_files(account)


def put(account: Account, key: str, body: bytes, **more: Any) -> None:
    account.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body, **more)


def contents(source: Source) -> dict[str, Any]:
    return {one.key: one.content for one in source.export({}) if isinstance(one, Found)}


def put_back(source: Source, wanted: dict[str, Any], deleting: bool = True) -> None:
    """Apply whatever makes the source what it was."""
    live = contents(source)
    for key in sorted(wanted.keys() | (live.keys() if deleting else set())):
        if live.get(key) != wanted.get(key):
            action: Any = "delete" if key not in wanted else "update" if key in live else "create"
            source.apply(Change(action, key, live.get(key), wanted.get(key)))


def refusal(source: Source) -> tuple[str, str]:
    with pytest.raises(ConfigurationError) as refused:
        list(source.export({}))
    return refused.value.message, refused.value.hint


# -- export


def test_files_are_exported_as_text_or_base64_and_marked_ones_as_secrets(source: Source) -> None:
    assert contents(source) == {
        "app/app.yaml": {
            "encoding": "utf-8",
            "content": "interest: act/360\n",
            "content_type": "application/yaml",
            "metadata": {},
        },
        "app/jobs/worker.env": {
            "encoding": "utf-8",
            "content": Secret("PASSWORD=s3cret-value"),
            "content_type": "binary/octet-stream",
            "metadata": {"owner": "ops"},
        },
        "etc/loans.conf": {"encoding": "utf-8", "content": "workers = 4\n", "mode": "0640"},
        "etc/sub/logo": {"encoding": "base64", "content": "/wD+", "mode": "0644"},
        "etc/tls.key": {"encoding": "utf-8", "content": Secret("s3cret-key"), "mode": "0644"},
    }


def test_what_has_not_changed_is_not_read_again(
    account: Account, source: Source, directory: Path
) -> None:
    known = {one.key: one.mark for one in source.export({}) if isinstance(one, Found)}
    assert all(isinstance(one, Known) for one in source.export(known))
    (directory / "loans.conf").chmod(0o600)
    put(account, "config/app.yaml", b"interest: 30/360\n")
    again = [one.key for one in source.export(known) if isinstance(one, Found)]
    assert again == ["app/app.yaml", "etc/loans.conf"]


def test_symbolic_links_are_not_followed(source: Source, directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "shadow").write_text("x")
    (directory / "link").symlink_to(outside / "shadow")
    (directory / "links").symlink_to(outside)
    assert not [key for key in contents(source) if "link" in key]


def test_only_what_is_included_is_exported(aws: None, directory: Path) -> None:
    settings = {"in_directories": [{"name": "etc", "directory": str(directory)}]}
    account = open_account(policy_with(files={**settings, "include": ["*.conf", "sub/*"]}))
    assert sorted(contents(open_files(account))) == ["etc/loans.conf", "etc/sub/logo"]


def test_file_that_is_too_large_is_refused_and_not_left_out(
    account: Account, source: Source
) -> None:
    put(account, "config/dump.sql", b"x" * 1025)
    assert refusal(source) == (
        "the file app/dump.sql has 1025 bytes, and configuration.sources.files.largest_kib is 1",
        "leave it out by configuration.sources.files.include, or allow its size",
    )


def test_directory_that_is_not_there_is_no_deletion_of_its_files(
    source: Source, directory: Path
) -> None:
    directory.rename(directory.with_name("gone"))
    assert refusal(source) == (
        f"the directory {directory} is not on this worker",
        "let the export run where it is, or correct configuration.sources.files.in_directories",
    )


def test_file_whose_name_is_no_text_is_refused(source: Source, directory: Path) -> None:
    Path(os.fsdecode(os.fsencode(directory) + b"/\xff")).write_text("x")
    message, hint = refusal(source)
    assert message.startswith("the name of b'")
    assert message.endswith("\\xff' is no UTF-8")
    assert hint == "rename it, or leave its directory out of the place"


def test_bucket_that_is_not_there_is_named(account: Account, source: Source) -> None:
    for key in ("config/app.yaml", "config/jobs/worker.env", "elsewhere/app.yaml"):
        account.client("s3").delete_object(Bucket=BUCKET, Key=key)
    account.client("s3").delete_bucket(Bucket=BUCKET)
    with pytest.raises(AwsRefused) as refused:
        list(source.export({}))
    assert refused.value.message == (f"aws refused to list s3://{BUCKET}/config/ (NoSuchBucket)")
    assert refused.value.hint == "correct configuration.sources.files.in_buckets in the policy"


def test_more_files_than_a_page_holds_are_all_exported(account: Account, source: Source) -> None:
    for number in range(1005):
        put(account, f"config/many/{number:04}", b"")
    listed = source.export({"app/jobs/worker.env": ""})
    assert sum(one.key.startswith("app/many/") for one in listed) == 1005


def test_no_secret_is_stored_in_the_clear(account: Account, source: Source) -> None:
    version = account.back_up(source).version
    for stored in account.store.objects.values():
        assert b"s3cret-" not in stored.body
    assert account.versions.values(version) == {
        "app/jobs/worker.env": {"/content": "PASSWORD=s3cret-value"},
        "etc/tls.key": {"/content": "s3cret-key"},
    }


# -- restore


def test_damage_is_named_and_put_back(account: Account, source: Source, directory: Path) -> None:
    """Changed, deleted and added, in both places; done again it changes nothing."""
    before = contents(source)
    stored = account.versions.items(account.back_up(source).version)
    put(account, "config/app.yaml", b"interest: none\n")
    put(account, "config/new.yaml", b"x")
    account.client("s3").delete_object(Bucket=BUCKET, Key="config/jobs/worker.env")
    (directory / "loans.conf").chmod(0o666)
    (directory / "tls.key").unlink()
    (directory / "sub" / "logo").unlink()
    (directory / "sub").rmdir()
    (directory / "new").write_text("x")
    live = account.versions.items(account.back_up(source, reread=True).version)
    changes = compare(live, stored)
    assert [(one.action, one.key) for one in changes] == [
        ("update", "app/app.yaml"),
        ("create", "app/jobs/worker.env"),
        ("delete", "app/new.yaml"),
        ("update", "etc/loans.conf"),
        ("delete", "etc/new"),
        ("create", "etc/sub/logo"),
        ("create", "etc/tls.key"),
    ]
    for _ in range(2):
        for one in source.order(changes):
            source.apply(Change(one.action, one.key, None, before.get(one.key)))
        assert contents(source) == before
    assert sorted(path.name for path in directory.iterdir()) == ["loans.conf", "sub", "tls.key"]


def test_reader_sees_the_old_file_or_the_new_one(source: Source, directory: Path) -> None:
    """It is another file that takes the name."""
    before = contents(source)
    with (directory / "loans.conf").open() as reader:
        (directory / "loans.conf").write_text("workers = 9\n")
        wanted = {**before["etc/loans.conf"]}
        source.apply(Change("update", "etc/loans.conf", None, wanted))
        assert reader.read() == "workers = 9\n"
    assert (directory / "loans.conf").read_text() == "workers = 4\n"


def test_what_a_killed_write_left_is_no_file_and_is_written_over(
    source: Source, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(source)

    def die(_path: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    change = Change("update", "etc/tls.key", None, before["etc/tls.key"])
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            source.apply(change)
    (left,) = [one for one in directory.iterdir() if one.name.startswith(".ledgerkeep-writing-")]
    assert contents(source) == before
    source.apply(change)
    assert not left.exists()


@pytest.mark.parametrize("path", ["../evil", "sub/../../evil", "links/evil", "/evil", ""])
def test_file_is_never_written_outside_its_directory(
    source: Source, directory: Path, tmp_path: Path, path: str
) -> None:
    (tmp_path / "outside").mkdir()
    (directory / "links").symlink_to(tmp_path / "outside")
    wanted = {"encoding": "utf-8", "content": "x", "mode": "0644"}
    for change in ("create", "delete"):
        with pytest.raises(ConfigurationError) as refused:
            source.apply(
                Change(change, f"etc/{path}", None, wanted if change == "create" else None)  # type: ignore[arg-type]
            )
        assert refused.value.message == (
            f"{path} leads out of {directory}, by .. or a symbolic link"
        )
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_file_of_a_place_that_the_policy_lacks_is_refused(source: Source) -> None:
    with pytest.raises(ConfigurationError) as refused:
        source.apply(Change("create", "old/app.yaml", None, {}))
    assert refused.value.message == (
        "old/app.yaml belongs to no place of configuration.sources.files"
    )
    assert refused.value.hint == "add a place old to the policy, or leave that file out"


def test_worker_that_may_not_write_is_told_which_file(source: Source, directory: Path) -> None:
    (directory / "loans.conf.d").write_text("a file")
    with pytest.raises(ConfigurationError) as refused:
        source.apply(
            Change(
                "create",
                "etc/loans.conf.d/a",
                None,
                {"encoding": "utf-8", "content": "x", "mode": "0644"},
            )
        )
    assert refused.value.message == (
        f"the worker cannot write {directory}/loans.conf.d/a: File exists"
    )


# -- isolated


def test_isolated_corner_holds_copies_and_is_removed_whole(
    account: Account, source: Source, directory: Path
) -> None:
    original = contents(source)
    beside = source.beside("run-1")
    assert beside is not None
    put_back(beside, original)
    assert contents(beside) == original
    assert contents(source) == original
    beside.clear()
    beside.clear()
    assert contents(source) == original
    assert not [one for one in directory.iterdir() if one.name.startswith(".")]
    listed = account.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [one["Key"] for one in listed] == [
        "config/app.yaml",
        "config/jobs/worker.env",
        "elsewhere/app.yaml",
    ]


def test_only_an_isolated_corner_can_be_cleared(source: Source) -> None:
    with pytest.raises(NotImplementedError):
        source.clear()
