"""Versions: described last, found by id or moment, and refused when they were changed."""

from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.hash_key import hash_key
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Source
from ledgerkeep.errors import ObjectCorrupt, SealBroken, VersionMissing
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]


@pytest.fixture
def account(aws: None) -> Account:
    account = open_account(policy_with(parameters={"paths": ["/loan/"]}))
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/loan/password", Value="open sesame", Type="SecureString")
    ssm.put_parameter(Name="/loan/url", Value="https://loans", Type="String")
    return account


@pytest.fixture
def source(account: Account) -> Source:
    return open_source("parameters", account.access, account.policy)


def test_a_version_reads_back_as_it_was_written(account: Account, source: Source) -> None:
    version = account.back_up(source).version
    assert account.versions.get("parameters", version.id) == version
    assert sorted(account.versions.items(version)) == ["/loan/password", "/loan/url"]
    assert account.versions.values(version) == {"/loan/password": {"/value": "open sesame"}}
    assert (version.item_count, version.secret_count, version.created) == (2, 1, 2)


def test_without_its_record_a_version_does_not_exist(account: Account, source: Source) -> None:
    version = account.back_up(source).version
    prefix = keys.configuration_version("production", "parameters", version.id)
    del account.store.objects[f"{prefix}{keys.RECOVERY_POINT}"]
    assert account.versions.newest("parameters") is None
    again = account.back_up(source)
    assert again.is_new
    assert account.versions.newest("parameters") == again.version


def test_a_version_that_does_not_exist_is_refused_with_those_that_do(
    account: Account, source: Source
) -> None:
    version = account.back_up(source).version
    with pytest.raises(VersionMissing) as caught:
        account.versions.get("parameters", "20200101T000000000000Z-abcdef")
    assert caught.value.message == "parameters has no version 20200101T000000000000Z-abcdef"
    assert caught.value.hint == f"the nearest of 1 stored: {version.id}"


def test_the_nearest_versions_lie_around_the_one_that_is_missing(
    account: Account, source: Source
) -> None:
    first = account.back_up(source).version
    second = account.back_up(source, major="release 2").version
    third = account.back_up(source, major="release 3").version
    between = f"{second.created_at:%Y%m%dT%H%M%S%fZ}-zzzzzz"
    with pytest.raises(VersionMissing) as caught:
        account.versions.get("parameters", between)
    assert caught.value.hint == f"the nearest of 3 stored: {second.id} and {third.id}"
    with pytest.raises(VersionMissing) as caught:
        account.versions.at("parameters", first.created_at - timedelta(days=1))
    assert caught.value.hint == f"the nearest of 3 stored: {first.id}"


def test_a_source_that_was_never_exported_says_so(account: Account) -> None:
    with pytest.raises(VersionMissing) as caught:
        account.versions.get("iam", "1")
    assert caught.value.hint == "configuration_backup has never exported iam; let it run"


def test_the_version_of_a_moment_is_the_newest_before_it(account: Account, source: Source) -> None:
    first = account.back_up(source).version
    account.client("ssm").put_parameter(
        Name="/loan/url", Value="https://new", Type="String", Overwrite=True
    )
    second = account.back_up(source).version
    just_before = second.created_at - timedelta(microseconds=1)
    assert account.versions.at("parameters", just_before) == first
    assert account.versions.at("parameters", second.created_at) == second
    with pytest.raises(VersionMissing, match="had no version yet at"):
        account.versions.at("parameters", first.created_at - timedelta(seconds=1))


def test_items_that_were_changed_in_the_store_are_refused(account: Account, source: Source) -> None:
    version = account.back_up(source).version
    account.store.objects[version.items.key].body = b"something else"
    with pytest.raises(ObjectCorrupt):
        account.versions.items(version)


def test_secrets_moved_from_another_version_do_not_open(account: Account, source: Source) -> None:
    first = account.back_up(source).version
    account.client("ssm").put_parameter(
        Name="/loan/password", Value="rotated", Type="SecureString", Overwrite=True
    )
    second = account.back_up(source).version
    assert second.sealed is not None
    with pytest.raises(SealBroken, match="sealed for something else"):
        account.versions.values(first.model_copy(update={"sealed": second.sealed}))


def test_what_is_stored_is_locked_as_the_policy_says(account: Account, source: Source) -> None:
    lock = account.policy.storage.object_lock
    assert lock is not None
    policy = account.policy.model_copy(
        update={
            "storage": account.policy.storage.model_copy(
                update={"object_lock": lock.model_copy(update={"configuration": timedelta(days=7)})}
            )
        }
    )
    versions = type(account.versions)(account.store, policy, account.versions.sealer)
    locked = Account(policy, account.access, account.store, versions, account.marker)
    version = locked.back_up(source).version
    prefix = keys.configuration_version("production", "parameters", version.id)
    names = ["items.zst", "sealed", keys.RECOVERY_POINT]
    found = [account.store.objects[prefix + name].retention for name in names]
    assert all(one is not None and one.mode == "COMPLIANCE" for one in found)


def test_the_key_of_the_marks_stays_the_same_and_is_stored_only_sealed(account: Account) -> None:
    made = hash_key(account.store, account.policy, account.versions.sealer)
    assert hash_key(account.store, account.policy, account.versions.sealer) == made
    stored = account.store.objects[keys.configuration_hash_key("production")].body
    assert made not in stored
