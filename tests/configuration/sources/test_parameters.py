"""Parameter Store as a source: what is exported, read again only when changed, and put back.

The stand-in (moto) changes a parameter's type and tier in place, takes away what a request leaves
out, and makes a parameter anew at once. What AWS wants instead is shown by what is asked of it.
"""

from dataclasses import replace
from typing import Any

import pytest

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Known, Source
from ledgerkeep.configuration.sources.parameters import Parameters
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]


@pytest.fixture
def account(aws: None) -> Account:
    account = open_account(policy_with(parameters={"paths": ["/loan/"]}))
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/loan/url", Value="https://loans", Type="String", Description="Where")
    ssm.put_parameter(
        Name="/loan/db/password",
        Value="s3cret-value",
        Type="SecureString",
        Tags=[{"Key": "owner", "Value": "lending"}],
    )
    ssm.put_parameter(Name="/other/url", Value="elsewhere", Type="String")
    return account


@pytest.fixture
def source(account: Account) -> Source:
    return open_source("parameters", account.access, account.policy)


def test_everything_below_the_paths_is_exported_with_secure_strings_as_secrets(
    source: Source,
) -> None:
    found = {one.key: one for one in source.export({}) if isinstance(one, Found)}
    assert sorted(found) == ["/loan/db/password", "/loan/url"]
    assert found["/loan/url"].content["value"] == "https://loans"
    assert found["/loan/db/password"].content["value"] == Secret("s3cret-value")
    assert found["/loan/db/password"].content["tags"] == {"owner": "lending"}


def test_what_has_its_stored_version_is_not_read_again(account: Account, source: Source) -> None:
    known = {one.key: one.mark for one in source.export({}) if isinstance(one, Found)}
    account.client("ssm").put_parameter(
        Name="/loan/url", Value="https://new", Type="String", Overwrite=True
    )
    again = list(source.export(known))
    assert [one.key for one in again if isinstance(one, Known)] == ["/loan/db/password"]
    assert [one.key for one in again if isinstance(one, Found)] == ["/loan/url"]


def test_an_unchanged_source_gets_no_new_version(account: Account, source: Source) -> None:
    first = account.back_up(source)
    again = account.back_up(source)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.version.id == first.version.id
    assert again.read_items == 0


def test_a_version_holds_no_secret_in_the_clear_and_opens_again(
    account: Account, source: Source
) -> None:
    version = account.back_up(source).version
    assert all(b"s3cret-value" not in one.body for one in account.store.objects.values())
    assert account.versions.values(version) == {"/loan/db/password": {"/value": "s3cret-value"}}


def test_secrets_that_were_not_read_again_are_taken_over(account: Account, source: Source) -> None:
    account.back_up(source)
    account.client("ssm").put_parameter(
        Name="/loan/url", Value="https://new", Type="String", Overwrite=True
    )
    version = account.back_up(source).version
    assert version.updated == 1
    assert account.versions.values(version) == {"/loan/db/password": {"/value": "s3cret-value"}}


def test_changes_are_put_back_as_they_were(account: Account, source: Source) -> None:
    version = account.back_up(source).version
    before = {one.key: one.content for one in source.export({}) if isinstance(one, Found)}
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/loan/url", Value="https://evil", Type="String", Overwrite=True)
    ssm.add_tags_to_resource(
        ResourceType="Parameter",
        ResourceId="/loan/db/password",
        Tags=[{"Key": "owner", "Value": "nobody"}, {"Key": "more", "Value": "1"}],
    )
    ssm.delete_parameter(Name="/loan/url")
    live = {one.key: one.content for one in source.export({}) if isinstance(one, Found)}
    for key in ("/loan/db/password", "/loan/url"):
        source.apply(Change("update", key, live.get(key), before[key]))
    assert {one.key: one.content for one in source.export({}) if isinstance(one, Found)} == before
    assert account.back_up(source, reread=True).version.id == version.id


def test_a_parameter_of_another_type_is_replaced(account: Account, source: Source) -> None:
    before = {one.key: one.content for one in source.export({}) if isinstance(one, Found)}
    ssm = account.client("ssm")
    ssm.delete_parameter(Name="/loan/db/password")
    ssm.put_parameter(Name="/loan/db/password", Value="clear", Type="String")
    live = {one.key: one.content for one in source.export({}) if isinstance(one, Found)}
    key = "/loan/db/password"
    waited: list[float] = []
    assert isinstance(source, Parameters)
    replace(source, sleep=waited.append).apply(Change("update", key, live[key], before[key]))
    assert waited == [30]
    assert {one.key: one.content for one in source.export({}) if isinstance(one, Found)} == before


ADVANCED: dict[str, Any] = {
    "type": "String",
    "value": "1",
    "key_id": "",
    "description": "What",
    "allowed_pattern": "^[0-9]$",
    "tier": "Advanced",
    "data_type": "text",
    "policies": [{"Type": "NoChangeNotification", "Version": "1.0", "Attributes": {"After": "1"}}],
    "tags": {},
}


def asked_of(source: Source, change: Change) -> list[tuple[str, dict[str, Any]]]:
    """The writing requests of a change, from an event hook."""
    assert isinstance(source, Parameters)
    asked: list[tuple[str, dict[str, Any]]] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        asked.append((model.name, dict(params)))

    for operation in ("PutParameter", "DeleteParameters"):
        source.ssm.meta.events.register(f"provide-client-params.ssm.{operation}", note)
    replace(source, sleep=lambda _: None).apply(change)
    return asked


def test_what_a_parameter_shall_no_longer_have_is_taken_away_by_name(source: Source) -> None:
    wanted = {**ADVANCED, "description": "", "allowed_pattern": "", "policies": []}
    ((operation, request),) = asked_of(source, Change("update", "/loan/n", ADVANCED, wanted))
    assert operation == "PutParameter"
    told = {name: request[name] for name in ("Description", "AllowedPattern", "Policies")}
    assert told == {"Description": "", "AllowedPattern": "", "Policies": "[{}]"}


def test_what_a_parameter_never_had_is_not_said(source: Source) -> None:
    wanted = {**ADVANCED, "description": "", "allowed_pattern": "", "policies": []}
    ((_, request),) = asked_of(source, Change("create", "/loan/n", None, wanted))
    assert {"Description", "AllowedPattern", "Policies"}.isdisjoint(request)


def test_an_advanced_parameter_becomes_a_standard_one_by_being_made_anew(source: Source) -> None:
    wanted = {**ADVANCED, "tier": "Standard", "policies": []}
    asked = asked_of(source, Change("update", "/loan/n", ADVANCED, wanted))
    assert [name for name, _ in asked] == ["DeleteParameters", "PutParameter"]
    assert "Policies" not in asked[1][1]


def test_tags_of_aws_itself_are_left_out(source: Source) -> None:
    """The stand-in lets nobody see such tags; an event hook does."""

    def tagged(parsed: dict[str, Any], **_: Any) -> None:
        parsed["TagList"].append({"Key": "aws:cloudformation:stack-name", "Value": "loans"})

    assert isinstance(source, Parameters)
    source.ssm.meta.events.register("after-call.ssm.ListTagsForResource", tagged)
    found = {one.key: one for one in source.export({}) if isinstance(one, Found)}
    assert found["/loan/db/password"].content["tags"] == {"owner": "lending"}


def test_copies_of_restore_tests_are_in_no_export_of_everything(
    account: Account, source: Source
) -> None:
    assert isinstance(source, Parameters)
    everything = replace(source, paths=("/",))
    names = [one.key for one in everything.export({})]
    beside = source.beside("run-1")
    assert beside is not None
    beside.apply(Change("create", "/loan/n", None, ADVANCED))
    assert [one.key for one in everything.export({})] == names


def test_an_isolated_place_holds_copies_and_is_removed_whole(
    account: Account, source: Source
) -> None:
    original = {one.key: one.content for one in source.export({}) if isinstance(one, Found)}
    beside = source.beside("run-1")
    assert beside is not None
    for key, content in original.items():
        beside.apply(Change("create", key, None, content))
    assert {one.key: one.content for one in beside.export({}) if isinstance(one, Found)} == original
    beside.clear()
    assert list(beside.export({})) == []
    assert {one.key: one.content for one in source.export({}) if isinstance(one, Found)} == original


def test_only_an_isolated_place_can_be_cleared(source: Source) -> None:
    with pytest.raises(NotImplementedError):
        source.clear()


def test_compare_names_what_differs_by_key(account: Account, source: Source) -> None:
    stored = account.versions.items(account.back_up(source).version)
    account.client("ssm").delete_parameter(Name="/loan/url")
    account.client("ssm").put_parameter(Name="/loan/new", Value="1", Type="String")
    newer = account.versions.items(account.back_up(source).version)
    found = [(one.action, one.key) for one in compare(stored, newer)]
    assert found == [("create", "/loan/new"), ("delete", "/loan/url")]
