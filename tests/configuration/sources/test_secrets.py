"""Secrets Manager as a source: values sealed; labels, policies, replicas, rotation put back.

The stand-in (moto) forgets custom labels when a new value becomes current, tells nothing of a
changed policy in a listing, and rotates only with a function of its own. So what is read anew is
asked for where that matters, and rotation is shown on `RotatingManager`, a small fake of our own
around the stand-in, which does what AWS documents of rotation.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item, Secret, revealed
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Known, Planned
from ledgerkeep.configuration.sources.secrets import Secrets
from ledgerkeep.errors import AwsRefused, AwsUnavailable
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]

LAMBDA = "arn:aws:lambda:eu-central-1:123456789012:function:rotate"
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*"}]}'


@pytest.fixture
def account(aws: None) -> Account:
    account = open_account(policy_with(secrets={"prefixes": ["loan/"]}))
    manager = account.client("secretsmanager")
    manager.create_secret(
        Name="loan/database",
        SecretString="first-s3cret",
        Description="Of the application",
        KmsKeyId="alias/loans",
        Tags=[{"Key": "owner", "Value": "lending"}],
        AddReplicaRegions=[{"Region": "eu-west-1"}],
    )
    manager.put_secret_value(SecretId="loan/database", SecretString="second-s3cret")
    manager.put_secret_value(
        SecretId="loan/database", SecretString="canary-s3cret", VersionStages=["canary"]
    )
    manager.put_resource_policy(SecretId="loan/database", ResourcePolicy=POLICY)
    manager.create_secret(Name="loan/certificate", SecretBinary=b"\x00binary-s3cret\xff")
    manager.create_secret(Name="loan/empty")
    manager.create_secret(Name="other/password", SecretString="somebody-else's")
    return account


@pytest.fixture
def source(account: Account) -> Secrets:
    source = open_source("secrets", account.access, account.policy)
    assert isinstance(source, Secrets)
    return source


def contents(source: Secrets) -> dict[str, Mapping[str, Any]]:
    return {one.key: one.content for one in source.export({}) if isinstance(one, Found)}


def put_back(source: Secrets, wanted: dict[str, Mapping[str, Any]]) -> None:
    """Everything that differs, in the source's own order."""
    live = contents(source)
    changes = [
        Planned(
            "create" if key not in live else "update" if key in wanted else "delete",
            key,
            Item(key=key, content={}) if key in live else None,
            Item(key=key, content={}) if key in wanted else None,
        )
        for key in sorted(live.keys() | wanted.keys())
        if live.get(key) != wanted.get(key)
    ]
    for one in source.order(changes):
        source.apply(Change(one.action, one.key, live.get(one.key), wanted.get(one.key)))


def test_every_value_is_a_secret_by_its_label(source: Secrets) -> None:
    found = contents(source)
    assert sorted(found) == ["loan/certificate", "loan/database", "loan/empty"]
    assert found["loan/database"] == {
        "type": "",
        "description": "Of the application",
        "key_id": "alias/loans",
        "tags": {"owner": "lending"},
        "policy": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "*"}],
        },
        "rotation": {},
        "replicas": {"eu-west-1": ""},
        "owning_service": "",
        "versions": {
            "AWSCURRENT": {"string": Secret("second-s3cret")},
            "AWSPREVIOUS": {"string": Secret("first-s3cret")},
            "canary": {"string": Secret("canary-s3cret")},
        },
    }
    assert found["loan/certificate"]["versions"] == {
        "AWSCURRENT": {"binary": Secret("AGJpbmFyeS1zM2NyZXT/")}
    }
    assert found["loan/empty"]["versions"] == {}


def test_a_version_holds_no_value_in_the_clear_and_opens_again(
    account: Account, source: Secrets
) -> None:
    version = account.back_up(source).version
    bodies = b"".join(one.body for one in account.store.objects.values())
    assert b"s3cret" not in bodies
    assert b"AGJpbmFyeS1zM2NyZXT" not in bodies
    assert version.secret_count == 4
    values = account.versions.values(version)
    restored = {
        key: revealed(item, values.get(key, {}))
        for key, item in account.versions.items(version).items()
    }
    assert restored == contents(source)


def test_what_has_its_stored_mark_is_not_read_again(account: Account, source: Secrets) -> None:
    account.back_up(source)
    assert account.back_up(source).read_items == 0
    account.client("secretsmanager").put_secret_value(SecretId="loan/database", SecretString="new")
    again = account.back_up(source)
    assert (again.read_items, again.version.updated) == (1, 1)
    known = {one.key: one.mark for one in source.export({}) if isinstance(one, Found)}
    assert all(isinstance(one, Known) for one in source.export(known))


def test_all_damage_is_named_and_put_back(account: Account, source: Secrets) -> None:
    before = contents(source)
    version = account.back_up(source).version
    manager = account.client("secretsmanager")
    manager.put_secret_value(SecretId="loan/database", SecretString="evil")
    manager.put_secret_value(SecretId="loan/database", SecretString="x", VersionStages=["beta"])
    manager.update_secret(SecretId="loan/database", Description="changed", KmsKeyId="alias/evil")
    manager.tag_resource(SecretId="loan/database", Tags=[{"Key": "more", "Value": "1"}])
    manager.delete_resource_policy(SecretId="loan/database")
    manager.remove_regions_from_replication(
        SecretId="loan/database", RemoveReplicaRegions=["eu-west-1"]
    )
    manager.replicate_secret_to_regions(
        SecretId="loan/database", AddReplicaRegions=[{"Region": "us-east-1"}]
    )
    manager.delete_secret(SecretId="loan/certificate", RecoveryWindowInDays=7)
    manager.delete_secret(SecretId="loan/empty", ForceDeleteWithoutRecovery=True)
    manager.create_secret(Name="loan/new", SecretString="x")

    damaged = account.back_up(source, reread=True)
    assert [(one.action, one.key) for one in damaged.changes] == [
        ("delete", "loan/certificate"),
        ("update", "loan/database"),
        ("delete", "loan/empty"),
        ("create", "loan/new"),
    ]
    put_back(source, before)
    assert contents(source) == before
    again = account.back_up(source, reread=True).version
    assert again.content_sha256 == version.content_sha256
    assert compare(account.versions.items(version), account.versions.items(again)) == []
    put_back(source, before)
    assert contents(source) == before


def test_applying_again_makes_no_new_version(account: Account, source: Secrets) -> None:
    before = contents(source)
    manager = account.client("secretsmanager")
    manager.put_secret_value(SecretId="loan/database", SecretString="evil")
    change = Change("update", "loan/database", None, before["loan/database"])
    source.apply(change)
    stages = manager.describe_secret(SecretId="loan/database")["VersionIdsToStages"]
    source.apply(change)
    assert manager.describe_secret(SecretId="loan/database")["VersionIdsToStages"] == stages


def test_what_is_deleted_is_only_scheduled_for_the_policys_window(
    account: Account, source: Secrets
) -> None:
    manager = account.client("secretsmanager")
    before = contents(source)
    change = Change("delete", "loan/database", before["loan/database"], None)
    source.apply(change)
    described = manager.describe_secret(SecretId="loan/database")
    days = (described["DeletedDate"] - described["CreatedDate"]).days
    assert 29 <= days <= 30
    assert sorted(contents(source)) == ["loan/certificate", "loan/empty"]
    source.apply(change)
    source.apply(Change("delete", "loan/never", None, None))


def test_a_secret_scheduled_for_deletion_is_brought_back_first(
    account: Account, source: Secrets
) -> None:
    before = contents(source)
    manager = account.client("secretsmanager")
    manager.delete_secret(SecretId="loan/certificate", RecoveryWindowInDays=7)
    source.apply(Change("create", "loan/certificate", None, before["loan/certificate"]))
    assert "DeletedDate" not in manager.describe_secret(SecretId="loan/certificate")
    assert contents(source) == before


def test_all_pages_and_all_batches_are_read(account: Account, source: Secrets) -> None:
    manager = account.client("secretsmanager")
    for number in range(120):
        manager.create_secret(Name=f"loan/many/{number:03}", SecretString=f"value {number}")
    found = contents(replace(source, prefixes=("loan/many/", "loan/many/1")))
    assert len(found) == 120
    assert found["loan/many/119"]["versions"] == {"AWSCURRENT": {"string": Secret("value 119")}}


def test_what_a_batch_does_not_bring_is_read_by_itself(account: Account, source: Secrets) -> None:
    """AWS reports what it could not read among the errors of a batch, and may cut its answer."""
    before = contents(source)

    class Refusing:
        """A fake of our own: batches that bring nothing."""

        def __getattr__(self, name: str) -> Any:
            return getattr(account.client("secretsmanager"), name)

        def batch_get_secret_value(self, **_: Any) -> Any:
            error = {"SecretId": "loan/database", "ErrorCode": "DecryptionFailure", "Message": ""}
            return {"SecretValues": [], "Errors": [error]}

    assert contents(replace(source, manager=Refusing())) == before  # type: ignore[arg-type]


def test_replicas_of_other_regions_and_copies_of_restore_tests_are_left_out(
    account: Account, source: Secrets
) -> None:
    manager = account.client("secretsmanager")
    manager.create_secret(Name="ledgerkeep-restore-test/x/loan/a", SecretString="x")
    everything = replace(source, prefixes=("l",))
    assert sorted(contents(everything)) == ["loan/certificate", "loan/database", "loan/empty"]
    elsewhere = replace(
        source,
        manager=account.access.client("secretsmanager", "aws", "eu-west-1"),
        owner=source.owner.model_copy(update={"region": "eu-west-1"}),
    )
    assert contents(elsewhere) == {}


# -- rotation


class RotatingManager:
    """A fake of our own: the stand-in, with rotation as AWS documents it, and what was asked."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self.rotation: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("put", "update", "rotate", "cancel", "create", "tag")):
            self.asked.append(name)
        return getattr(self.manager, name)

    def rotate_secret(self, SecretId: str, RotateImmediately: bool, **rotation: Any) -> None:
        assert RotateImmediately is False
        self.asked.append("rotate_secret")
        self.rotation[SecretId] = rotation

    def cancel_rotate_secret(self, SecretId: str) -> None:
        self.asked.append("cancel_rotate_secret")
        del self.rotation[SecretId]

    def describe_secret(self, SecretId: str) -> dict[str, Any]:
        found: dict[str, Any] = self.manager.describe_secret(SecretId=SecretId)
        rotation = self.rotation.get(SecretId)
        return {**found, "RotationEnabled": True, **rotation} if rotation else found


@pytest.fixture
def rotating(account: Account, source: Secrets) -> tuple[Secrets, RotatingManager]:
    manager = RotatingManager(account.client("secretsmanager"))
    manager.rotation["loan/database"] = {
        "RotationLambdaARN": LAMBDA,
        "RotationRules": {"ScheduleExpression": "rate(10 days)", "Duration": "2h"},
    }
    return replace(source, manager=manager), manager  # type: ignore[arg-type]


def test_rotation_is_switched_on_after_the_value_and_not_at_once(
    rotating: tuple[Secrets, RotatingManager],
) -> None:
    source, manager = rotating
    before = contents(source)
    assert before["loan/database"]["rotation"] == {
        "RotationLambdaARN": LAMBDA,
        "RotationRules": {"ScheduleExpression": "rate(10 days)", "Duration": "2h"},
    }
    manager.cancel_rotate_secret("loan/database")
    manager.manager.put_secret_value(SecretId="loan/database", SecretString="evil")
    manager.asked.clear()
    put_back(source, before)
    assert contents(source) == before
    assert manager.asked[0] == "put_secret_value"
    assert manager.asked[-1] == "rotate_secret"


def test_rotation_that_the_version_does_not_have_is_cancelled_before_the_value(
    rotating: tuple[Secrets, RotatingManager],
) -> None:
    source, manager = rotating
    before = contents(source)
    wanted = {**before, "loan/database": {**before["loan/database"], "rotation": {}}}
    manager.manager.put_secret_value(SecretId="loan/database", SecretString="evil")
    manager.asked.clear()
    put_back(source, wanted)
    assert contents(source) == wanted
    assert manager.asked[0] == "cancel_rotate_secret"
    assert "rotate_secret" not in manager.asked


# -- what only a person can do


def item(**content: Any) -> Item:
    return Item(key="loan/x", content=content)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"versions": {}}, {"versions": {"AWSCURRENT": {}}}, ""),
        (
            {"owning_service": "rds"},
            {"owning_service": "rds"},
            "the secret loan/x is managed by rds: change it there",
        ),
        (
            {"versions": {"AWSCURRENT": {}}},
            {"versions": {}},
            "the secret loan/x had no value then, and none can be taken away: delete it, then "
            "restore it",
        ),
    ],
)
def test_what_only_a_person_can_do_is_said(
    source: Secrets, before: dict[str, Any], after: dict[str, Any], words: str
) -> None:
    assert source.by_hand(Planned("update", "loan/x", item(**before), item(**after))) == words


# -- an isolated place


def test_an_isolated_place_holds_copies_that_neither_rotate_nor_replicate(
    account: Account, rotating: tuple[Secrets, RotatingManager]
) -> None:
    source, manager = rotating
    original = contents(source)
    beside = source.beside("run-1")
    for key, content in original.items():
        beside.apply(Change("create", key, None, content))
    assert contents(beside) == original
    copy = manager.describe_secret("ledgerkeep-restore-test/run-1/loan/database")
    assert "ReplicationStatus" not in copy
    assert "rotate_secret" not in manager.asked
    for key, content in original.items():
        beside.apply(Change("update", key, None, content))
    assert contents(beside) == original
    beside.apply(Change("delete", "loan/empty", None, None))
    beside.clear()
    left = account.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    assert [one["Name"] for one in left if one["Name"].startswith("ledgerkeep")] == []
    assert contents(source) == original


def test_only_an_isolated_place_can_be_cleared(source: Secrets) -> None:
    with pytest.raises(NotImplementedError):
        source.clear()
    assert len(contents(source)) == 3


def test_what_no_listing_tells_of_yet_is_read_and_cleared_by_name(
    account: Account, source: Secrets
) -> None:
    """ListSecrets is up to five minutes late, which the stand-in is not: an event hook is."""
    original = contents(source)

    def nothing_new(parsed: dict[str, Any], **_: Any) -> None:
        parsed["SecretList"] = [
            one for one in parsed["SecretList"] if one["Name"].startswith("loan/")
        ]

    source.manager.meta.events.register("after-call.secrets-manager.ListSecrets", nothing_new)
    beside = source.beside("run-1")
    for key, content in original.items():
        beside.apply(Change("create", key, None, content))
    assert contents(beside) == {}
    expecting = beside.looking_for([*original, "loan/never-made"])
    assert contents(expecting) == original
    expecting.clear()
    assert contents(expecting) == {}
    assert contents(source) == original


class Slow:
    """A fake of our own: the stand-in, which does not know what was made for some requests."""

    def __init__(self, manager: Any, looks: int) -> None:
        self.manager = manager
        self.looks = looks
        self.made = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.manager, name)

    def create_secret(self, **request: Any) -> Any:
        self.made = True
        return self.manager.create_secret(**request)

    def describe_secret(self, SecretId: str) -> Any:
        if self.made and self.looks:
            self.looks -= 1
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeSecret")
        return self.manager.describe_secret(SecretId=SecretId)


def test_a_secret_just_made_is_waited_for(account: Account, source: Secrets) -> None:
    wanted = contents(source)["loan/database"]
    waited: list[float] = []
    slow: Any = Slow(account.client("secretsmanager"), 2)
    replace(source, manager=slow, sleep=waited.append).apply(
        Change("create", "loan/new", None, wanted)
    )
    assert waited == [0.5, 1.0]
    assert contents(source)["loan/new"] == wanted
    never: Any = Slow(account.client("secretsmanager"), 99)
    with pytest.raises(AwsRefused) as caught:
        replace(source, manager=never, sleep=waited.append).apply(
            Change("create", "loan/newer", None, wanted)
        )
    assert caught.value.message == (
        "the secret loan/newer is gone again right after it was made or restored"
    )


def test_days_calculated_from_a_schedule_are_no_part_of_it(
    rotating: tuple[Secrets, RotatingManager],
) -> None:
    """RotateSecret takes a schedule or days, and DescribeSecret tells both of a schedule."""
    source, manager = rotating
    before = contents(source)["loan/database"]
    rules = manager.rotation["loan/database"]["RotationRules"]
    manager.rotation["loan/database"]["RotationRules"] = {**rules, "AutomaticallyAfterDays": 10}
    assert contents(source)["loan/database"] == before


# -- refusals


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (
            "AccessDeniedException",
            AwsRefused,
            "aws refused to list the secrets below loan/ (AccessDeniedException)\n"
            "Hint: allow secretsmanager:ListSecrets, secretsmanager:BatchGetSecretValue, and on "
            "the secrets secretsmanager:DescribeSecret, secretsmanager:GetSecretValue and "
            "secretsmanager:GetResourcePolicy, kms:Decrypt on their keys, and for a recovery "
            "secretsmanager:CreateSecret, UpdateSecret, PutSecretValue, "
            "UpdateSecretVersionStage, TagResource, UntagResource, PutResourcePolicy, "
            "DeleteResourcePolicy, ReplicateSecretToRegions, RemoveRegionsFromReplication, "
            "RotateSecret, CancelRotateSecret, RestoreSecret and DeleteSecret, to the identity "
            "of the connection",
        ),
        (
            "ThrottlingException",
            AwsUnavailable,
            "aws was too busy to list the secrets below loan/ (ThrottlingException)\n"
            "Hint: nothing was changed; it is tried again",
        ),
    ],
)
def test_refusals_name_what_to_allow_and_whether_waiting_helps(
    account: Account, source: Secrets, code: str, kind: type[AwsRefused], message: str
) -> None:
    manager = account.client("secretsmanager")
    with Stubber(manager) as stub:
        stub.add_client_error("list_secrets", code)
        with pytest.raises(kind) as caught:
            list(replace(source, manager=manager).export({}))
    assert str(caught.value) == message
    assert caught.value.retryable is (kind is AwsUnavailable)


def test_a_secret_that_vanishes_while_it_is_listed_is_not_exported(
    account: Account, source: Secrets
) -> None:
    class Vanishing:
        """A fake of our own: what was listed is gone when it is described."""

        def __getattr__(self, name: str) -> Any:
            return getattr(account.client("secretsmanager"), name)

        def describe_secret(self, SecretId: str) -> Any:
            error = {"Error": {"Code": "ResourceNotFoundException", "Message": SecretId}}
            raise ClientError(error, "DescribeSecret")

    assert contents(replace(source, manager=Vanishing())) == {}  # type: ignore[arg-type]


def test_a_failure_tells_no_value(account: Account, source: Secrets) -> None:
    before = contents(source)
    manager = account.client("secretsmanager")
    manager.put_secret_value(SecretId="loan/database", SecretString="evil")

    class Denying:
        """A fake of our own: nothing may be written."""

        def __getattr__(self, name: str) -> Any:
            return getattr(manager, name)

        def put_secret_value(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutSecretValue")

    change = Change("update", "loan/database", None, before["loan/database"])
    with pytest.raises(AwsRefused) as caught:
        replace(source, manager=Denying()).apply(change)  # type: ignore[arg-type]
    assert caught.value.message == (
        "aws refused to put secret value of loan/database (AccessDeniedException)"
    )
    assert "s3cret" not in f"{change} {before} {caught.value!r}"
