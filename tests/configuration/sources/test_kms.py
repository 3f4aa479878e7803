"""KMS as a source: keys' settings by id, put back as far as a program can, copies removed again.

moto drops the rotation period, takes any policy, sets what is scheduled for deletion, pages
nothing, and has no grants of services. `Kms`, our own recorder in front of it, keeps the period
and shows what was asked; the rest is stubbed, or asked of the pure `reach`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pytest
from botocore.stub import Stubber

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Planned, Source
from ledgerkeep.configuration.sources.kms.reach import left_over, within_reach
from ledgerkeep.errors import AwsRefused, AwsUnavailable, ConfigurationError
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]

PROJECT = {"Project": "LoanManagementSystem"}
SETTINGS = {"aliases": ["alias/loan"], "tags": PROJECT}


@dataclass
class Kms:
    """A client that remembers what it was asked, and the rotation periods that moto drops."""

    client: Any
    written: list[str] = field(default_factory=list)
    days: dict[str, int] = field(default_factory=dict)
    bypassed: list[Any] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if not callable(found) or name in ("get_paginator", "get_waiter", "can_paginate"):
            return found

        def send(**request: Any) -> Any:
            if not name.startswith(("get_", "list_", "describe_")):
                self.written.append(name)
            if "BypassPolicyLockoutSafetyCheck" in request:
                self.bypassed.append(request["BypassPolicyLockoutSafetyCheck"])
            return found(**request)

        return send

    def enable_key_rotation(self, **request: Any) -> Any:
        self.written.append("enable_key_rotation")
        self.days[request["KeyId"]] = request.get("RotationPeriodInDays", 365)
        return self.client.enable_key_rotation(**request)

    def get_key_rotation_status(self, **request: Any) -> Any:
        days = self.days.get(request["KeyId"], 365)
        return {**self.client.get_key_rotation_status(**request), "RotationPeriodInDays": days}


@dataclass
class Stock:
    """Three keys of the lender, and one of somebody else."""

    account: Account
    kms: Kms
    documents: str
    database: str
    unnamed: str
    other: str

    def source_with(self, **settings: Any) -> Source:
        policy = policy_with(kms=settings)
        return open_source("kms", self.account.access, policy)

    @cached_property
    def source(self) -> Source:
        return self.source_with(**SETTINGS)


def _policy(*actions: str) -> dict[str, Any]:
    account = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    app = {
        "Effect": "Allow",
        "Principal": {"AWS": ["arn:aws:iam::123456789012:role/app"]},
        "Action": list(actions),
        "Resource": "*",
    }
    return {"Version": "2012-10-17", "Statement": [account, app]}


@pytest.fixture
def stock(aws: None) -> Stock:
    account = open_account(policy_with(kms=SETTINGS))
    kms = Kms(account.client("kms"))

    def key(description: str, *aliases: str, tags: Mapping[str, str] = {}) -> str:
        made = kms.client.create_key(
            Description=description,
            Policy=json.dumps(_policy("kms:Decrypt", "kms:Encrypt")),
            Tags=[{"TagKey": name, "TagValue": value} for name, value in tags.items()],
        )["KeyMetadata"]["KeyId"]
        for alias in aliases:
            kms.client.create_alias(AliasName=alias, TargetKeyId=made)
        return str(made)

    documents = key(
        "Documents", "alias/loan-documents", "alias/loan-files", tags={"owner": "lending"}
    )
    kms.enable_key_rotation(KeyId=documents, RotationPeriodInDays=180)
    kms.client.create_grant(
        KeyId=documents,
        GranteePrincipal="arn:aws:iam::123456789012:role/app",
        Operations=["Encrypt", "Decrypt"],
        Name="app",
    )
    database = key("Database", "alias/loan-database")
    kms.client.disable_key(KeyId=database)
    unnamed = key("Without a name", tags=PROJECT)
    other = key("Of somebody else", "alias/other")
    kms.written.clear()

    def client(service: str, connection: str, region: str) -> Any:
        return kms if service == "kms" else account.access.client(service, connection, region)

    own = replace(account, access=replace(account.access, client=client))
    return Stock(own, kms, documents, database, unnamed, other)


def _live(source: Source) -> dict[str, Any]:
    return {one.key: one.content for one in source.export({}) if isinstance(one, Found)}


def _items(contents: Mapping[str, Any]) -> dict[str, Item]:
    return {key: Item(key=key, content=content) for key, content in contents.items()}


def _plan(source: Source, wanted: Mapping[str, Any]) -> list[Planned]:
    return source.order(compare(_items(_live(source)), _items(wanted)))


def _apply(source: Source, plan: list[Planned]) -> None:
    for one in plan:
        before = one.before.content if one.before else None
        after = one.after.content if one.after else None
        source.apply(Change(one.action, one.key, before, after))


# -- exporting


def test_the_settings_of_a_key_are_exported_and_never_its_material(stock: Stock) -> None:
    found = _live(stock.source)
    assert found[stock.documents] == {
        "description": "Documents",
        "usage": "ENCRYPT_DECRYPT",
        "spec": "SYMMETRIC_DEFAULT",
        "origin": "AWS_KMS",
        "key_store": "",
        "multi_region": {},
        "state": "Enabled",
        "policy": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": ["arn:aws:iam::123456789012:root"]},
                    "Action": ["kms:*"],
                    "Resource": ["*"],
                },
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": ["arn:aws:iam::123456789012:role/app"]},
                    "Action": ["kms:Decrypt", "kms:Encrypt"],
                    "Resource": ["*"],
                },
            ],
        },
        "rotation": {"enabled": True, "days": 180},
        "tags": {"owner": "lending"},
        "aliases": ["alias/loan-documents", "alias/loan-files"],
        "grants": [
            {
                "name": "app",
                "grantee": "arn:aws:iam::123456789012:role/app",
                "retiring": "",
                "operations": ["Decrypt", "Encrypt"],
                "constraints": {},
            }
        ],
    }
    assert (found[stock.database]["state"], found[stock.database]["rotation"]) == (
        "Disabled",
        {"enabled": False},
    )


def test_keys_are_meant_by_an_alias_or_by_tags(stock: Stock) -> None:
    assert set(_live(stock.source)) == {stock.documents, stock.database, stock.unnamed}
    assert set(_live(stock.source_with(tags=PROJECT))) == {stock.unnamed}
    everything = set(_live(stock.source_with()))
    assert everything > {stock.documents, stock.database, stock.unnamed, stock.other}


def test_a_policy_that_says_the_same_in_other_words_is_the_same(stock: Stock) -> None:
    before = _live(stock.source)
    policy = _policy("kms:Encrypt", "kms:Decrypt")
    policy["Statement"][1]["Principal"]["AWS"] = "arn:aws:iam::123456789012:role/app"
    stock.kms.client.put_key_policy(
        KeyId=stock.documents, PolicyName="default", Policy=json.dumps(policy)
    )
    assert _live(stock.source) == before


def test_an_unchanged_source_gets_no_new_version(stock: Stock) -> None:
    first = stock.account.back_up(stock.source)
    again = stock.account.back_up(stock.source)
    assert (first.is_new, again.is_new) == (True, False)


def _stubbed(stub: Stubber, grants: list[list[dict[str, Any]]], **metadata: Any) -> None:
    """What KMS answers about one key, in two pages each; moto has one page of everything."""
    aliases = [{"AliasName": f"alias/{name}", "TargetKeyId": "1"} for name in ("b", "a")]
    managed = {"AliasName": "alias/aws/s3", "TargetKeyId": "2"}
    stub.add_response(
        "list_aliases", {"Aliases": aliases[:1], "Truncated": True, "NextMarker": "m"}
    )
    stub.add_response("list_aliases", {"Aliases": [*aliases[1:], managed], "Truncated": False})
    keys = [{"KeyId": one} for one in ("2", "1", "3", "4")]
    stub.add_response("list_keys", {"Keys": keys[:2], "Truncated": True, "NextMarker": "m"})
    stub.add_response("list_keys", {"Keys": keys[2:], "Truncated": False})
    told = {
        "KeyId": "1",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "Origin": "AWS_KMS",
        "KeyState": "Enabled",
        "KeyManager": "CUSTOMER",
        **metadata,
    }
    stub.add_response("describe_key", {"KeyMetadata": told})
    stub.add_response(
        "list_resource_tags",
        {"Tags": [{"TagKey": "a", "TagValue": "1"}], "Truncated": True, "NextMarker": "m"},
    )
    stub.add_response(
        "list_resource_tags", {"Tags": [{"TagKey": "aws:x", "TagValue": "1"}], "Truncated": False}
    )
    stub.add_response("get_key_policy", {"Policy": json.dumps(_policy("kms:Decrypt"))})
    if told["Origin"] == "AWS_KMS":
        stub.add_response(
            "get_key_rotation_status", {"KeyRotationEnabled": True, "RotationPeriodInDays": 90}
        )
    for at, page in enumerate(grants):
        is_last = at == len(grants) - 1
        more = {} if is_last else {"NextMarker": "m"}
        stub.add_response("list_grants", {"Grants": page, "Truncated": not is_last, **more})
    stub.add_response("describe_key", {"KeyMetadata": {**told, "KeyId": "3", "KeyManager": "AWS"}})
    stub.add_client_error("describe_key", "NotFoundException")


def _grant(grantee: str) -> dict[str, Any]:
    return {"KeyId": "1", "GrantId": "g", "GranteePrincipal": grantee, "Operations": ["Decrypt"]}


def _with_client(account: Account, kms: Any) -> Source:
    def client(service: str, connection: str, region: str) -> Any:
        return kms if service == "kms" else account.access.client(service, connection, region)

    return open_source("kms", replace(account.access, client=client), account.policy)


def test_all_pages_are_read_and_what_services_made_is_left_out(aws: None) -> None:
    """Keys of AWS by their alias or manager, grants of volumes and databases, reserved tags."""
    account = open_account(policy_with(kms={}))
    kms = account.client("kms")
    app = "arn:aws:iam::123456789012:role/app"
    of_services = (
        "rds.eu-central-1.amazonaws.com",
        "arn:aws:sts::123456789012:assumed-role/aws:ec2-infrastructure/i-1",
    )
    with Stubber(kms) as stub:
        _stubbed(stub, [[_grant(one) for one in of_services], [_grant(app)]])
        found = _live(_with_client(account, kms))
        stub.assert_no_pending_responses()
    assert list(found) == ["1"]
    assert found["1"]["aliases"] == ["alias/a", "alias/b"]
    assert found["1"]["tags"] == {"a": "1"}
    assert found["1"]["rotation"] == {"enabled": True, "days": 90}
    assert [one["grantee"] for one in found["1"]["grants"]] == [app]


def test_a_key_of_several_regions_says_where_and_imported_material_has_no_rotation(
    aws: None,
) -> None:
    account = open_account(policy_with(kms={}))
    kms = account.client("kms")
    regions = {
        "MultiRegionKeyType": "PRIMARY",
        "PrimaryKey": {"Region": "eu-central-1"},
        "ReplicaKeys": [{"Region": "eu-west-1"}, {"Region": "eu-north-1"}],
    }
    with Stubber(kms) as stub:
        _stubbed(stub, [[]], Origin="EXTERNAL", MultiRegionConfiguration=regions)
        found = _live(_with_client(account, kms))["1"]
    assert found["multi_region"] == {
        "type": "PRIMARY",
        "primary": "eu-central-1",
        "replicas": ["eu-north-1", "eu-west-1"],
    }
    assert found["rotation"] == {}


def test_a_missing_permission_is_named(aws: None) -> None:
    account = open_account(policy_with(kms={}))
    kms = account.client("kms")
    with Stubber(kms) as stub:
        stub.add_client_error("list_aliases", "AccessDeniedException")
        with pytest.raises(AwsRefused) as refused:
            list(_with_client(account, kms).export({}))
    assert refused.value.message == "aws refused to list aliases (AccessDeniedException)"
    assert refused.value.hint == (
        "allow kms:ListKeys, kms:ListAliases, kms:DescribeKey, kms:GetKeyPolicy, "
        "kms:GetKeyRotationStatus, kms:ListResourceTags and kms:ListGrants, and for a recovery "
        "kms:PutKeyPolicy, kms:EnableKey, kms:DisableKey, kms:CancelKeyDeletion, "
        "kms:EnableKeyRotation, kms:DisableKeyRotation, kms:UpdateKeyDescription, "
        "kms:TagResource, kms:UntagResource, kms:CreateAlias, kms:UpdateAlias, kms:DeleteAlias "
        "and kms:CreateGrant, to the identity of the connection, in its own policy and in the "
        "policy of each key"
    )


def test_a_key_that_is_not_meant_is_not_looked_at(stock: Stock) -> None:
    """Its own policy may let nobody see it; the stand-in always does, so an event hook looks."""
    source, asked = stock.source_with(aliases=["alias/loan"]), list[str]()
    stock.kms.client.meta.events.register(
        "provide-client-params.kms.DescribeKey", lambda params, **_: asked.append(params["KeyId"])
    )
    assert set(_live(source)) == {stock.documents, stock.database}
    assert sorted(asked) == sorted([stock.documents, stock.database])


def test_a_throttled_export_is_tried_again_later(aws: None) -> None:
    account = open_account(policy_with(kms={}))
    kms = account.client("kms")
    with Stubber(kms) as stub:
        stub.add_client_error("list_aliases", "ThrottlingException")
        with pytest.raises(AwsUnavailable) as busy:
            list(_with_client(account, kms).export({}))
    assert busy.value.message == "aws was too busy to list aliases (ThrottlingException)"


# -- putting back


def _damage(stock: Stock) -> None:
    kms = stock.kms.client
    stolen = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    policy = _policy("kms:Encrypt")
    policy["Statement"].append(stolen)
    kms.put_key_policy(KeyId=stock.unnamed, PolicyName="default", Policy=json.dumps(policy))
    kms.disable_key_rotation(KeyId=stock.documents)
    kms.update_key_description(KeyId=stock.documents, Description="Whatever")
    kms.tag_resource(
        KeyId=stock.documents, Tags=[{"TagKey": name, "TagValue": "x"} for name in ("owner", "new")]
    )
    grant = kms.list_grants(KeyId=stock.documents)["Grants"][0]["GrantId"]
    kms.revoke_grant(KeyId=stock.documents, GrantId=grant)
    kms.delete_alias(AliasName="alias/loan-files")
    kms.update_alias(AliasName="alias/loan-documents", TargetKeyId=stock.database)
    kms.create_alias(AliasName="alias/loan-new", TargetKeyId=stock.database)
    kms.enable_key(KeyId=stock.database)


def test_what_was_damaged_is_named_and_put_back(stock: Stock) -> None:
    source, wanted = stock.source, _live(stock.source)
    _damage(stock)
    stock.kms.client.create_alias(AliasName="alias/loan-other", TargetKeyId=stock.other)
    plan = [one for one in _plan(source, wanted) if one.key != stock.other]
    # Without an alias of the lender, the documents' key is no longer one that the policy means.
    assert {(one.action, one.key) for one in plan} == {
        ("create", stock.documents),
        ("update", stock.database),
        ("update", stock.unnamed),
    }
    assert [source.by_hand(one) for one in plan] == ["", "", ""]
    _apply(source, plan)
    stock.kms.client.delete_alias(AliasName="alias/loan-other")
    assert _live(source) == wanted


def test_putting_back_again_changes_nothing(stock: Stock) -> None:
    source, wanted = stock.source, _live(stock.source)
    _damage(stock)
    plan = _plan(source, wanted)
    _apply(source, plan)
    stock.kms.written.clear()
    _apply(source, plan)
    assert stock.kms.written == []


def test_the_check_against_locking_out_is_never_bypassed(stock: Stock) -> None:
    source, wanted = stock.source, _live(stock.source)
    _damage(stock)
    _apply(source, _plan(source, wanted))
    beside = source.beside("run-1")
    assert beside is not None
    _apply(beside, _plan(beside, wanted))
    beside.clear()
    assert stock.kms.bypassed
    assert set(stock.kms.bypassed) == {False}


def test_a_policy_that_kms_refuses_is_told_with_what_to_do(stock: Stock) -> None:
    """moto takes any policy, so the refusal is stubbed."""
    source, wanted = stock.source, _live(stock.source)
    wanted[stock.unnamed] = {
        **wanted[stock.unnamed],
        "policy": {"Version": "2012-10-17", "Statement": []},
    }
    (change,) = _plan(source, wanted)
    real = stock.kms.client
    stock.kms.client = Refusing(real)
    with pytest.raises(AwsRefused) as refused:
        _apply(source, [change])
    assert refused.value.message == (
        f"aws refused to set the policy of {stock.unnamed} (MalformedPolicyDocumentException)"
    )
    assert refused.value.hint == (
        "KMS takes no policy that names somebody who is gone, nor one that would shut out whoever "
        "sets it: correct the policy by hand, and store a new version"
    )


@dataclass
class Refusing:
    """A client that takes no policy, as KMS does with one that would shut its setter out."""

    client: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def put_key_policy(self, **_: Any) -> Any:
        error = {"Error": {"Code": "MalformedPolicyDocumentException", "Message": "no"}}
        raise self.client.exceptions.ClientError(error, "PutKeyPolicy")


def test_an_alias_is_moved_to_its_key_before_another_lets_it_go(stock: Stock) -> None:
    """So that it leads to a key at every moment."""
    source, wanted = stock.source, _live(stock.source)
    stock.kms.client.update_alias(AliasName="alias/loan-files", TargetKeyId=stock.database)
    plan = _plan(source, wanted)
    assert [one.key for one in plan] == [stock.documents, stock.database]
    _apply(source, plan)
    assert stock.kms.written == ["update_alias"]
    assert _live(source) == wanted


def test_a_scheduled_deletion_is_cancelled_and_the_key_is_as_it_was(stock: Stock) -> None:
    source, wanted = stock.source, _live(stock.source)
    for key in (stock.documents, stock.database):
        stock.kms.client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    plan = _plan(source, wanted)
    assert [source.by_hand(one) for one in plan] == ["", ""]
    _apply(source, plan)
    assert _live(source) == wanted
    assert stock.kms.written.count("enable_key") == 1


def test_a_key_that_is_gone_cannot_be_made_again(stock: Stock) -> None:
    content = _live(stock.source)[stock.documents]
    key = "11111111-2222-3333-4444-555555555555"
    words = (
        f"{key} is gone: KMS gives no key material out, so it cannot be made again, and what was "
        "encrypted with it is lost unless it is stored elsewhere too. Make another key with these "
        "settings, move the aliases alias/loan-documents, alias/loan-files to it, and store a new "
        "version"
    )
    change = Planned("create", key, None, Item(key=key, content=content))
    assert stock.source.by_hand(change) == words
    with pytest.raises(ConfigurationError) as told:
        stock.source.apply(Change("create", key, None, content))
    assert (told.value.message, told.value.hint) == (f"the key {key} is gone", words)


def test_a_key_is_never_deleted(stock: Stock) -> None:
    content = _live(stock.source)[stock.documents]
    key = stock.documents
    words = (
        f"schedule the deletion of {key} by hand if nothing is encrypted with it any more "
        "(CloudTrail tells its last use): a recovery never does, since all that it encrypted would "
        "be lost"
    )
    assert (
        stock.source.by_hand(Planned("delete", key, Item(key=key, content=content), None)) == words
    )
    with pytest.raises(ConfigurationError) as told:
        stock.source.apply(Change("delete", key, content, None))
    assert (told.value.message, told.value.hint) == (f"no program deletes the key {key}", words)
    assert _live(stock.source)[key] == content


def test_a_grant_too_many_is_left_to_a_person_and_the_rest_is_done(stock: Stock) -> None:
    source, wanted = stock.source, _live(stock.source)
    thief = "arn:aws:iam::123456789012:role/thief"
    stock.kms.client.create_grant(
        KeyId=stock.documents, GranteePrincipal=thief, Operations=["Decrypt"]
    )
    stock.kms.client.update_key_description(KeyId=stock.documents, Description="Whatever")
    (change,) = _plan(source, wanted)
    words = (
        f"{stock.documents}: revoke the grant without a name to {thief}, when nothing runs with it"
    )
    assert source.by_hand(change) == ""
    with pytest.raises(ConfigurationError) as told:
        _apply(source, [change])
    assert (
        told.value.message == f"not all of the key {stock.documents} can be put back by a program"
    )
    assert told.value.hint == words
    (left,) = _plan(source, wanted)
    assert source.by_hand(left) == words


REPLICA = {"type": "REPLICA", "primary": "eu-west-1", "replicas": ["eu-central-1"]}


def _content(**changed: Any) -> dict[str, Any]:
    found = {
        "usage": "ENCRYPT_DECRYPT",
        "spec": "SYMMETRIC_DEFAULT",
        "origin": "AWS_KMS",
        "key_store": "",
        "multi_region": {},
        "state": "Enabled",
        "rotation": {},
        "grants": [],
        "description": "",
    }
    return {**found, **changed}


@pytest.mark.parametrize(
    ("live", "wanted", "told"),
    [
        (
            {"spec": "RSA_2048"},
            {},
            "its spec cannot be changed: it is RSA_2048 and was SYMMETRIC_DEFAULT",
        ),
        ({"key_store": "cks-1"}, {}, "its key store cannot be changed: it is cks-1 and was none"),
        (
            {},
            {"multi_region": {"replicas": ["eu-west-1"]}},
            "make or remove replicas so that it has replicas in eu-west-1",
        ),
        (
            {},
            {"state": "PendingDeletion"},
            "its deletion was scheduled: schedule it by hand if that is still meant",
        ),
        (
            {"multi_region": REPLICA, "rotation": {"enabled": False}},
            {"multi_region": REPLICA, "rotation": {"enabled": True, "days": 365}},
            "set its rotation in eu-west-1, where its primary key is",
        ),
        ({"state": "PendingImport"}, {}, "import its key material again: KMS has none"),
        (
            {"state": "Unavailable"},
            {},
            "it is Unavailable and was Enabled: see the key's page in the KMS console",
        ),
    ],
)
def test_what_no_program_can_set_is_told(live: Any, wanted: Any, told: str) -> None:
    before, after = _content(**live), _content(**wanted, description="new")
    assert left_over("k", before, after) == [f"k: {told}"]
    assert within_reach(before, after) == {**before, "description": "new"}


# -- copies


def test_copies_stand_beside_the_originals_and_are_scheduled_for_deletion(stock: Stock) -> None:
    source, wanted = stock.source, _live(stock.source)
    beside = source.beside("run-1")
    assert beside is not None
    _apply(beside, _plan(beside, wanted))
    assert _live(beside) == wanted
    assert _plan(beside, wanted) == []
    copies = _keys(stock) - set(_live(stock.source_with())) - {stock.other}
    assert len(copies) == 3
    assert _live(source) == wanted
    beside.clear()
    assert _live(beside) == {}
    states = {stock.kms.client.describe_key(KeyId=one)["KeyMetadata"]["KeyState"] for one in copies}
    assert states == {"PendingDeletion"}
    assert _live(source) == wanted
    assert copies.isdisjoint(_live(stock.source_with()))
    stock.kms.written.clear()
    beside.clear()
    assert stock.kms.written == []


def _keys(stock: Stock) -> set[str]:
    return {one["KeyId"] for one in stock.kms.client.list_keys()["Keys"]}


def test_a_copy_that_was_made_and_not_named_is_removed_too(stock: Stock) -> None:
    """A kill may come in between."""
    tags = [{"TagKey": "ledgerkeep-restore-test", "TagValue": "run-1"}]
    lost = stock.kms.client.create_key(Tags=tags)["KeyMetadata"]["KeyId"]
    beside = stock.source.beside("run-1")
    assert beside is not None
    beside.clear()
    assert stock.kms.client.describe_key(KeyId=lost)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_test_makes_no_more_copies_than_the_policy_says(stock: Stock) -> None:
    wanted = _live(stock.source)
    beside = stock.source_with(**SETTINGS, test_keys=2).beside("run-1")
    assert beside is not None
    first, second, third = sorted(wanted)
    for key in (first, second, first):
        beside.apply(Change("create", key, None, wanted[key]))
    with pytest.raises(ConfigurationError) as told:
        beside.apply(Change("create", third, None, wanted[third]))
    assert (
        told.value.message == f"a restore test makes no more than 2 keys, and {third} is one more"
    )
    assert (
        told.value.hint
        == "raise configuration.sources.kms.test_keys; keys cost while the test runs"
    )


def test_without_keys_for_tests_there_is_no_place_and_it_is_said_why(stock: Stock) -> None:
    source = stock.source_with(**SETTINGS, test_keys=0)
    assert source.beside("run-1") is None
    assert source.why_no_place == (
        "the policy lets a restore test make no key (configuration.sources.kms.test_keys is 0)"
    )


def test_keys_that_a_copy_could_not_be_like_have_none(stock: Stock) -> None:
    beside = stock.source.beside("run-1")
    assert beside is not None
    told = {
        "has key material from elsewhere, which a copy would not have": {"origin": "EXTERNAL"},
        "is of several regions: a copy would need replicas in each of them": {
            "multi_region": {"type": "PRIMARY"}
        },
        "is PendingDeletion: a copy would need to be so too": {"state": "PendingDeletion"},
    }
    for words, changed in told.items():
        item = Item(key="k", content=_content(**changed))
        assert beside.by_hand(Planned("create", "k", None, item)) == f"k {words}"


def test_only_an_isolated_place_can_be_cleared(stock: Stock) -> None:
    with pytest.raises(NotImplementedError):
        stock.source.clear()
    assert set(_live(stock.source)) == {stock.documents, stock.database, stock.unnamed}
