"""Removing versions: record first, nothing locked, nothing that anybody may still be writing.

Against the store in memory and, for locks, against the real one.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.back_up import Asked, back_up
from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.removal import RemovedVersions, plan_source, remove_versions
from ledgerkeep.configuration.source import Attachment, Change, Found, Known, Scope, Source
from ledgerkeep.configuration.versions import ConfigurationVersion, StoredVersions, Versions
from ledgerkeep.model import utc_now
from ledgerkeep.policy.configuration import ConfigurationRetention
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectStore, Retention
from tests.storage.conftest import open_bucket, store  # noqa: F401 - fixtures
from tests.support.configuration import Account, aws, open_account, policy_with
from tests.support.memory_store import MemoryStore

__all__ = ["aws"]

LATER = timedelta(days=2)


class Repository(Source):
    """One thing with bytes that belong to it."""

    name = "parameters"

    def __init__(self) -> None:
        self.state = 0

    def scope(self) -> Scope:
        return Scope(environment="production", account="1")

    def export(self, known: Any) -> Iterator[Found | Known]:
        content: dict[str, Content] = {"state": self.state}
        body = f"bundle {self.state}".encode()
        yield Found("main", content, attachment=Attachment(lambda: iter([body])))

    def apply(self, change: Change) -> None:
        raise NotImplementedError


def keeping_one(policy: Policy) -> Policy:
    assert policy.configuration is not None
    retention = ConfigurationRetention(versions=1, major=timedelta(0))
    configuration = policy.configuration.model_copy(update={"retention": retention})
    return policy.model_copy(update={"configuration": configuration})


@pytest.fixture
def account(aws: None) -> Account:
    return open_account(keeping_one(policy_with(parameters={"paths": ["/loan/"]})))


def store_versions(account: Account, count: int) -> list[ConfigurationVersion]:
    """Versions that all differ, each with an attachment."""
    source, made = Repository(), []
    for state in range(count):
        source.state = state
        made.append(account.back_up(source).version)
    return made


def apply(versions: StoredVersions, *, now: datetime | None = None) -> RemovedVersions:
    at = now or utc_now()
    decisions = plan_source(versions, "parameters", now=at)
    return remove_versions(versions, "parameters", decisions, now=at)


def directory(version: ConfigurationVersion) -> str:
    return keys.configuration_version("production", "parameters", version.id)


def test_versions_go_with_what_belongs_to_them_alone(account: Account) -> None:
    made = store_versions(account, 3)
    done = apply(account.versions, now=utc_now() + LATER)
    assert [one.version.id for one in done.removed] == [one.id for one in made[:2]]
    assert done.attachments == 2
    assert account.versions.ids("parameters") == [made[2].id]
    assert list(account.versions.attachment(made[2], "main")) == [b"bundle 2"]
    assert apply(account.versions, now=utc_now() + LATER) == RemovedVersions("parameters")


def test_attachment_of_today_may_be_of_a_version_that_is_being_written(account: Account) -> None:
    store_versions(account, 2)
    assert apply(account.versions).attachments == 0
    assert apply(account.versions, now=utc_now() + LATER).attachments == 1


def test_attachment_that_two_versions_share_stays_with_the_second(account: Account) -> None:
    source = Repository()
    account.back_up(source)
    newest = account.back_up(source, major="release").version
    done = apply(account.versions, now=utc_now() + LATER)
    assert (len(done.removed), done.attachments) == (1, 0)
    assert list(account.versions.attachment(newest, "main")) == [b"bundle 0"]


class Dying(MemoryStore):
    """A store whose user is killed after the first removal."""

    def delete_prefix(self, prefix: str, *, older_than: datetime | None = None) -> int:
        """Remove, then die."""
        super().delete_prefix(prefix, older_than=older_than)
        raise KeyboardInterrupt


def test_record_goes_first_and_what_a_kill_leaves_goes_a_day_later(account: Account) -> None:
    made = store_versions(account, 2)
    dying = Dying()
    dying.objects = account.store.objects
    with pytest.raises(KeyboardInterrupt):
        apply(StoredVersions(dying, account.policy))
    assert [one.id for one in account.versions.all("parameters")] == [made[1].id]
    assert f"{directory(made[0])}items.zst" in account.store.objects
    assert apply(account.versions).left_behind == 0
    assert apply(account.versions, now=utc_now() + LATER).left_behind == 1
    assert account.versions.ids("parameters") == [made[1].id]


def test_what_an_interrupted_export_left_goes_a_day_later(account: Account) -> None:
    store_versions(account, 1)
    begun = keys.configuration_version("production", "parameters", "20200101T000000000000Z-abcdef")
    account.store.put(f"{begun}items.zst", b"begun")
    assert apply(account.versions).left_behind == 0
    assert apply(account.versions, now=utc_now() + LATER).left_behind == 1


def test_version_that_was_recorded_after_the_plan_stays(account: Account) -> None:
    store_versions(account, 1)
    now = utc_now() + LATER
    decisions = plan_source(account.versions, "parameters", now=now)
    source = Repository()
    source.state = 7
    newer = account.back_up(source).version
    done = remove_versions(account.versions, "parameters", decisions, now=now)
    assert done.left_behind == 0
    assert account.versions.newest("parameters") == newer


def test_other_sources_are_not_touched(account: Account) -> None:
    store_versions(account, 2)
    other = keys.configuration_version("production", "secrets", "v1")
    account.store.put(f"{other}items.zst", b"x")
    apply(account.versions, now=utc_now() + LATER)
    assert f"{other}items.zst" in account.store.objects


def test_version_of_which_anything_is_locked_stays_whole(account: Account) -> None:
    made = store_versions(account, 2)
    until = utc_now() + timedelta(days=30)
    lock = Retention(mode="COMPLIANCE", until=until)
    account.store.retain(f"{directory(made[0])}items.zst", lock)
    done = apply(account.versions)
    assert [one.words for one in done.locked] == [
        f"parameters/{made[0].id} stays under Object Lock until {until:%Y-%m-%d}"
    ]
    assert [one.id for one in account.versions.all("parameters")] == [one.id for one in made]


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_lock_is_respected_in_memory_and_in_the_real_store(
    account: Account,
    store: ObjectStore,  # noqa: F811
    mode: Literal["COMPLIANCE", "GOVERNANCE"],
) -> None:
    versions = Versions(store, account.policy, account.versions.sealer)
    source, made = Repository(), []
    for state in range(3):
        source.state = state
        made.append(back_up(source, versions, account.marker, Asked(run="test")).version)
    until = utc_now().replace(microsecond=0) + timedelta(days=3)
    store.retain(made[1].items.key, Retention(mode=mode, until=until))
    done = apply(versions)
    assert [one.version.id for one in done.removed] == [made[0].id]
    assert [(one.version.id, one.until) for one in done.locked] == [(made[1].id, until)]
    assert [one.id for one in versions.all("parameters")] == [made[1].id, made[2].id]
    assert list(store.list(directory(made[0]))) == []
    assert versions.items(made[1])["main"].content == {"state": 1}
