"""States as a source: compared resource by resource, written only over what was seen.

The bucket is a real object store's; the lock table is moto's, which holds conditions as DynamoDB
does. What Terraform makes of it is in `test_terraform_with_program`.
"""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto.core import set_initial_no_auth_action_count

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.difference import describe
from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Source
from ledgerkeep.configuration.sources.terraform_state.state import (
    content_of,
    read_state,
    with_serial,
)
from ledgerkeep.errors import AwsRefused, ConfigurationError, SourceChanged, StateLocked
from tests.support.configuration import REGION, Account, aws, open_account, policy_with
from tests.support.terraform import TABLE, Infrastructure, infrastructure

__all__ = ["aws", "infrastructure"]
pytestmark = pytest.mark.integration

KEYS = ("app/a.tfstate", "app/b.tfstate", "env:/staging/app/a.tfstate")


def state(
    *, serial: int = 3, lineage: str = "lineage-a", password: str = "pa55word", **more: Any
) -> str:
    """As Terraform writes one."""
    document = {
        "version": 4,
        "terraform_version": "1.11.4",
        "serial": serial,
        "lineage": lineage,
        "outputs": {
            "address": {"value": "db.internal", "type": "string"},
            "password": {"value": password, "type": "string", "sensitive": True},
        },
        "resources": [
            {
                "module": "module.data",
                "mode": "managed",
                "type": "aws_db_instance",
                "name": "main",
                "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
                "instances": [
                    {
                        "index_key": "eu",
                        "schema_version": 1,
                        "attributes": {"id": "db-1", "password": password, "ports": [1, 5432]},
                    }
                ],
            },
            {
                "mode": "data",
                "type": "aws_caller_identity",
                "name": "me",
                "provider": "p",
                "instances": [{"attributes": {"id": "1"}}],
            },
        ],
        "check_results": None,
        **more,
    }
    return json.dumps(document, indent=2) + "\n"


EMPTY = state(resources=[], outputs={})


@pytest.fixture
def account(infrastructure: Infrastructure) -> Account:
    for key in KEYS:
        infrastructure.put(key, state(lineage=f"lineage of {key}"))
    infrastructure.put("app/readme.txt", "no state")
    infrastructure.put("app/a.tfstate.tflock", "{}")
    infrastructure.put("app/empty.tfstate", "")
    infrastructure.s3.delete_object(Bucket=infrastructure.bucket, Key="app/a.tfstate.tflock")
    return infrastructure.account(
        prefixes=["app/"], keys=[KEYS[2]], lock_table=TABLE, lock_file=True
    )


@pytest.fixture
def source(account: Account) -> Source:
    return open_source("terraform_state", account.access, account.policy)


def found(source: Source) -> dict[str, Found]:
    return {one.key: one for one in source.export({}) if isinstance(one, Found)}


def contents(source: Source) -> dict[str, Any]:
    return {key: one.content for key, one in found(source).items()}


# -- reading


def test_a_state_is_its_resources_by_address_with_every_value_a_secret() -> None:
    content = content_of(read_state(state(), "b/k"))
    assert content["resources"] == {
        'module.data.aws_db_instance.main["eu"]': {
            "type": "aws_db_instance",
            "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
            "status": "",
            "attributes": {
                "id": Secret('"db-1"'),
                "password": Secret('"pa55word"'),
                "ports": Secret("[1, 5432]"),
            },
        },
        "data.aws_caller_identity.me": {
            "type": "aws_caller_identity",
            "provider": "p",
            "status": "",
            "attributes": {"id": Secret('"1"')},
        },
    }
    assert content["outputs"] == {
        "address": {"sensitive": False, "type": '"string"', "value": "db.internal"},
        "password": {"sensitive": True, "type": '"string"', "value": Secret('"pa55word"')},
    }
    assert content["lineage"] == "lineage-a"


@pytest.mark.parametrize(
    "text",
    [
        state(serial=41),
        json.dumps(json.loads(state(serial=41)), separators=(",", ":")),
        '{"a": {"serial": 1}, "b": "\\"serial\\": 2",\n "serial" :\t41 , "z": [{"serial": 3}]}',
    ],
    ids=["as terraform writes it", "without space", "with other serials in it"],
)
def test_only_the_serial_is_another_and_every_other_byte_the_same(text: str) -> None:
    assert json.loads(with_serial(text, 7)) == {**json.loads(text), "serial": 7}
    assert with_serial(with_serial(text, 0), 41) == text


def test_resources_that_are_deposed_tainted_or_counted_have_places_of_their_own() -> None:
    instances = [
        {"index_key": 0, "attributes": {}},
        {"index_key": 1, "attributes": {}, "status": "tainted"},
        {"index_key": 1, "deposed": "0a1b", "attributes_flat": {"id": "x"}},
    ]
    resource = {"mode": "managed", "type": "t", "name": "n", "instances": instances}
    resources = content_of(read_state(state(resources=[resource]), "b/k"))["resources"]
    assert isinstance(resources, dict)
    assert sorted(resources) == ["t.n[0]", "t.n[1]", "t.n[1] (deposed 0a1b)"]
    assert resources["t.n[1]"]["status"] == "tainted"  # type: ignore[index, call-overload]


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"version": 4}'])
def test_what_is_no_state_is_named_and_not_quoted(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_state(text, "states/app/a.tfstate")
    assert caught.value.message == "states/app/a.tfstate is no terraform state"
    assert caught.value.hint == (
        "look at what wrote it; restore an earlier version of the object, or take it out of "
        "configuration.sources.terraform_state"
    )


def test_a_state_of_an_old_format_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_state(state(version=3), "states/old.tfstate")
    assert caught.value.message == "the state states/old.tfstate has format 3, not 4"


def test_states_below_the_prefixes_and_at_the_keys_are_exported_and_nothing_else(
    source: Source,
) -> None:
    assert sorted(found(source)) == sorted(KEYS)


def test_a_state_with_its_stored_etag_is_not_read_again(
    source: Source, infrastructure: Infrastructure
) -> None:
    known = {key: one.mark for key, one in found(source).items()}
    infrastructure.put(KEYS[1], state(serial=4, lineage=f"lineage of {KEYS[1]}", password="new"))
    again = list(source.export(known))
    assert [one.key for one in again if isinstance(one, Known)] == [KEYS[0], KEYS[2]]
    assert [one.key for one in again if isinstance(one, Found)] == [KEYS[1]]


def test_states_are_listed_page_by_page(
    infrastructure: Infrastructure, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source("terraform_state", account.access, account.policy)
    pages = []

    def two_at_a_time(params: dict[str, Any], **_: Any) -> None:
        pages.append(params)
        params["MaxKeys"] = 2

    infrastructure.s3.meta.events.register("provide-client-params.s3.ListObjectsV2", two_at_a_time)
    assert sorted(found(source)) == sorted(KEYS)
    assert len(pages) > 1


# -- storing


def test_no_value_is_stored_in_the_clear_and_the_text_comes_back_whole(
    account: Account, source: Source
) -> None:
    version = account.back_up(source).version
    stored = account.versions.items(version)
    assert all("pa55word" not in one.to_json().decode() for one in stored.values())
    assert all("db-1" not in one.to_json().decode() for one in stored.values())
    assert all(b"pa55word" not in one.body for one in account.store.objects.values())
    values = account.versions.values(version)
    assert values[KEYS[0]]["/text"] == state(serial=0, lineage=f"lineage of {KEYS[0]}")


def test_an_apply_that_changes_nothing_but_the_serial_is_no_new_version(
    account: Account, source: Source, infrastructure: Infrastructure
) -> None:
    account.back_up(source)
    infrastructure.put(KEYS[0], state(serial=9, lineage=f"lineage of {KEYS[0]}"))
    assert not account.back_up(source).is_new


def test_a_difference_names_resources_and_attributes_and_no_value(
    account: Account, source: Source, infrastructure: Infrastructure
) -> None:
    before = account.versions.items(account.back_up(source).version)
    infrastructure.put(
        KEYS[0], state(serial=4, lineage=f"lineage of {KEYS[0]}", password="an0ther")
    )
    after = account.versions.items(account.back_up(source).version)
    lines = [line for change in compare(after, before) for line in describe(change)]
    assert lines == [
        "app/a.tfstate differs, and would be changed",
        "  - /outputs/password/value: *** (secret)",
        "  + /outputs/password/value: *** (secret)",
        '  - /resources/module.data.aws_db_instance.main["eu"]/attributes/password: *** (secret)',
        '  + /resources/module.data.aws_db_instance.main["eu"]/attributes/password: *** (secret)',
        "  - /text: *** (secret)",
        "  + /text: *** (secret)",
    ]


# -- restoring


def test_every_damage_is_named_and_undone_and_undoing_it_again_changes_nothing(
    account: Account, source: Source, infrastructure: Infrastructure
) -> None:
    stored = account.versions.items(account.back_up(source).version)
    before = contents(source)
    changed, gone, unknown = KEYS[0], KEYS[1], "app/new.tfstate"
    infrastructure.put(changed, state(serial=8, lineage=f"lineage of {changed}", password="x"))
    infrastructure.s3.delete_object(Bucket=infrastructure.bucket, Key=gone)
    infrastructure.put(unknown, EMPTY)
    live = contents(source)
    damaged = account.versions.items(account.back_up(source).version)
    planned = source.order(compare(damaged, stored))
    assert [(one.action, one.key) for one in planned] == [
        ("update", changed),
        ("create", gone),
        ("delete", unknown),
    ]
    changes = [
        Change(one.action, one.key, live.get(one.key), before.get(one.key)) for one in planned
    ]
    for change in changes:
        assert source.by_hand(next(one for one in planned if one.key == change.key)) == ""
        source.apply(change)
    assert contents(source) == before
    assert infrastructure.get(changed) == state(serial=9, lineage=f"lineage of {changed}")
    assert infrastructure.get(gone) == state(serial=4, lineage=f"lineage of {gone}")
    etags = {key: one.mark for key, one in found(source).items()}
    for change in changes:
        source.apply(change)
    assert {key: one.mark for key, one in found(source).items()} == etags
    assert sorted(infrastructure.locked_items()) == [
        f"{infrastructure.bucket}/{key}-md5" for key in (changed, gone)
    ]
    assert not [
        one
        for one in infrastructure.s3.list_objects_v2(Bucket=infrastructure.bucket)["Contents"]
        if one["Key"].endswith(".tflock")
    ]


def test_a_digest_that_a_killed_task_did_not_write_is_written_the_next_time(
    source: Source, infrastructure: Infrastructure
) -> None:
    before, key = contents(source), KEYS[0]
    infrastructure.dynamodb.put_item(
        TableName=TABLE,
        Item={
            "LockID": {"S": f"{infrastructure.bucket}/{key}-md5"},
            "Digest": {"S": "0" * 32},
        },
    )
    wrong = (
        f"the lock table has another digest than that of the state {infrastructure.bucket}/{key}"
    )
    assert wrong in source.settled([key])
    source.apply(Change("update", key, before[key], before[key]))
    assert source.settled([key]) == [
        f"not verified: {key}: the policy names no directory of its code"
    ]


def test_a_state_of_another_lineage_is_left_to_a_person(
    account: Account, source: Source, infrastructure: Infrastructure
) -> None:
    stored = account.versions.items(account.back_up(source).version)
    before = contents(source)
    infrastructure.put(KEYS[0], state(lineage="another"))
    now = account.versions.items(account.back_up(source).version)
    (change,) = compare(now, stored)
    assert source.by_hand(change) == (
        f"the state {KEYS[0]} has the lineage another, the version's has lineage of {KEYS[0]}: "
        "they describe two infrastructures; find out which is meant, and move the live state away "
        "before the other one is restored"
    )
    with pytest.raises(ConfigurationError) as caught:
        source.apply(Change("update", KEYS[0], contents(source)[KEYS[0]], before[KEYS[0]]))
    assert caught.value.message == (
        f"the state {infrastructure.bucket}/{KEYS[0]} has the lineage another, the version's has "
        f"lineage of {KEYS[0]}"
    )
    assert caught.value.hint == "they describe two infrastructures; nothing was written"
    assert infrastructure.get(KEYS[0]) == state(lineage="another")


def test_a_state_that_still_describes_resources_is_not_removed(
    account: Account, source: Source, infrastructure: Infrastructure
) -> None:
    item = account.versions.items(account.back_up(source).version)[KEYS[0]]
    hint = (
        f"let terraform destroy the resources that the state {KEYS[0]} describes, then remove it; "
        "without a state nobody would know of them"
    )
    assert source.by_hand(Planned("delete", KEYS[0], item, None)) == hint
    with pytest.raises(ConfigurationError) as caught:
        source.apply(Change("delete", KEYS[0], contents(source)[KEYS[0]], None))
    assert caught.value.message == (
        f"the state {infrastructure.bucket}/{KEYS[0]} still describes resources"
    )
    assert caught.value.hint == hint


@pytest.mark.parametrize("action", ["update", "create"])
def test_what_somebody_wrote_since_the_plan_is_not_written_over(
    source: Source, infrastructure: Infrastructure, action: Any
) -> None:
    before, key = contents(source), KEYS[0]
    infrastructure.put(key, state(serial=4, lineage=f"lineage of {key}", password="planned"))
    seen = contents(source)[key] if action == "update" else None
    infrastructure.put(key, state(serial=5, lineage=f"lineage of {key}", password="meanwhile"))
    with pytest.raises(SourceChanged) as caught:
        source.apply(Change(action, key, seen, before[key]))
    assert caught.value.message == (
        f"the state {infrastructure.bucket}/{key} was written by somebody since it was looked at"
    )
    assert caught.value.hint == "compare again, and see whether it still has to be restored"
    assert "meanwhile" in infrastructure.get(key)


def test_whoever_writes_without_a_lock_in_the_last_moment_is_not_written_over(
    source: Source, infrastructure: Infrastructure
) -> None:
    before, key = contents(source), KEYS[0]
    infrastructure.put(key, state(serial=4, lineage=f"lineage of {key}", password="planned"))
    seen = contents(source)[key]
    late = state(serial=5, lineage=f"lineage of {key}", password="late")

    def right_before(params: dict[str, Any], **_: Any) -> None:
        if params["Key"] == key and "IfMatch" in params:
            infrastructure.put(key, late)

    infrastructure.s3.meta.events.register("provide-client-params.s3.PutObject", right_before)
    with pytest.raises(SourceChanged):
        source.apply(Change("update", key, seen, before[key]))
    assert infrastructure.get(key) == late


@pytest.mark.parametrize(
    ("status", "code"), [(409, "ConditionalRequestConflict"), (404, "NoSuchKey")]
)
def test_whoever_writes_or_removes_at_the_same_moment_is_not_written_over(
    source: Source, infrastructure: Infrastructure, status: int, code: str
) -> None:
    """As S3 answers it (conditional requests), which a store here never does: an event hook."""
    before, key = contents(source), KEYS[0]
    infrastructure.put(key, state(serial=4, lineage=f"lineage of {key}", password="planned"))
    seen = contents(source)[key]

    def conflict(params: dict[str, Any], **_: Any) -> Any:
        if "If-Match" not in params["headers"]:
            return None
        refusal = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return AWSResponse(params["url"], status, {}, None), refusal

    source.store.s3.meta.events.register("before-call.s3.PutObject", conflict)  # type: ignore[attr-defined]
    with pytest.raises(SourceChanged):
        source.apply(Change("update", key, seen, before[key]))


HELD = {
    "ID": "11111111-2222-3333-4444-555555555555",
    "Operation": "OperationTypeApply",
    "Who": "ann@laptop",
    "Created": "2026-11-22T10:00:00Z",
}


@pytest.mark.parametrize("where", ["table", "file"])
def test_a_lock_of_somebody_else_is_told_with_who_since_when_and_what_for(
    source: Source, infrastructure: Infrastructure, where: str
) -> None:
    key, path = KEYS[0], f"{infrastructure.bucket}/{KEYS[0]}"
    before = contents(source)
    if where == "table":
        infrastructure.dynamodb.put_item(
            TableName=TABLE, Item={"LockID": {"S": path}, "Info": {"S": json.dumps(HELD)}}
        )
    else:
        infrastructure.put(f"{key}.tflock", json.dumps(HELD))
    with pytest.raises(StateLocked) as caught:
        source.apply(Change("update", key, before[key], before[key]))
    assert caught.value.retryable
    assert caught.value.message == (
        f"the state {path} is locked by ann@laptop since 2026-11-22T10:00:00Z (OperationTypeApply)"
    )
    assert caught.value.hint == (
        "wait until that is done; if nobody works on it any more, terraform force-unlock "
        "11111111-2222-3333-4444-555555555555 in its directory"
    )
    left = set(infrastructure.locked_items()) | {
        one["Key"]
        for one in infrastructure.s3.list_objects_v2(Bucket=infrastructure.bucket)["Contents"]
        if one["Key"].endswith(".tflock")
    }
    assert left == {path if where == "table" else f"{key}.tflock"}  # theirs stays, ours is gone


def test_the_lock_is_released_when_the_restore_fails(
    source: Source, infrastructure: Infrastructure
) -> None:
    before, key = contents(source), KEYS[0]
    infrastructure.put(key, "no state at all")
    with pytest.raises(ConfigurationError):
        source.apply(Change("update", key, before[key], before[key]))
    assert infrastructure.locked_items() == {}


# -- an isolated place


def test_an_isolated_place_holds_copies_and_is_removed_with_all_versions(
    account: Account, source: Source, infrastructure: Infrastructure
) -> None:
    original = contents(source)
    beside, other = source.beside("run-1"), source.beside("run-10")
    assert beside is not None
    assert other is not None
    for key, content in original.items():
        beside.apply(Change("create", key, None, content))
        other.apply(Change("create", key, None, content))
    assert contents(beside) == original
    assert beside.settled(original) == []
    assert contents(source) == original  # places are no part of it
    beside.clear()
    assert contents(beside) == {}
    assert contents(other) == original
    left = infrastructure.s3.list_object_versions(
        Bucket=infrastructure.bucket, Prefix="ledgerkeep-restore-test/run-1/"
    )
    assert "Versions" not in left
    assert "DeleteMarkers" not in left
    assert not [one for one in infrastructure.locked_items() if "/run-1/" in one]
    assert contents(source) == original


def test_only_an_isolated_place_can_be_cleared(source: Source) -> None:
    with pytest.raises(NotImplementedError):
        source.clear()


# -- what may be wrong


def test_a_bucket_that_is_not_there_names_the_field_of_the_policy(
    infrastructure: Infrastructure,
) -> None:
    account = infrastructure.account(prefixes=[""])
    missing = policy_with(terraform_state={"bucket": "no-such-bucket", "prefixes": [""]})
    source = open_source("terraform_state", account.access, missing)
    with pytest.raises(AwsRefused) as caught:
        list(source.export({}))
    assert caught.value.message == (
        "aws refused to list the states in no-such-bucket (NoSuchBucket)"
    )
    assert caught.value.hint == "correct terraform_state.bucket in the policy"


def test_a_lock_table_that_is_not_there_names_the_field_of_the_policy(
    infrastructure: Infrastructure,
) -> None:
    infrastructure.put("a.tfstate", state())
    account = infrastructure.account(keys=["a.tfstate"], lock_table="no-such-table")
    source = open_source("terraform_state", account.access, account.policy)
    before = contents(source)["a.tfstate"]
    with pytest.raises(AwsRefused) as caught:
        source.apply(Change("update", "a.tfstate", before, before))
    assert caught.value.message.startswith("aws refused to ")
    assert caught.value.hint == "correct terraform_state.lock_table in the policy"


def test_a_missing_permission_is_named(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto checks IAM's policies itself here; this user has none."""
    boto3.client("s3", REGION).create_bucket(
        Bucket="states", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    account = open_account(policy_with(terraform_state={"bucket": "states", "prefixes": [""]}))
    iam = boto3.client("iam", REGION)
    iam.create_user(UserName="poor")
    key = iam.create_access_key(UserName="poor")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    boto3.setup_default_session()
    source = open_source("terraform_state", account.access, account.policy)
    with pytest.raises(AwsRefused) as caught:
        _denied(source)
    assert caught.value.message == "aws refused to list the states in states (AccessDenied)"
    assert caught.value.hint == (
        "allow s3:ListBucket and s3:GetObject, and for a recovery s3:PutObject, s3:DeleteObject, "
        "s3:ListBucketVersions and s3:GetObjectVersion on the bucket of the states (and the use of "
        "its KMS key), and dynamodb:GetItem, dynamodb:PutItem and dynamodb:DeleteItem on the lock "
        "table, to the identity of the connection"
    )


@set_initial_no_auth_action_count(0)
def _denied(source: Source) -> None:
    list(source.export({}))


def test_without_a_directory_or_program_nothing_is_verified_and_that_is_said(
    account: Account,
    infrastructure: Infrastructure,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def told(directory: Path) -> list[str]:
        plan = {"key": KEYS[0], "directory": str(directory)}
        settings = {"bucket": infrastructure.bucket, "prefixes": ["app/"], "plans": [plan]}
        policy = policy_with(terraform_state=settings)
        return open_source("terraform_state", account.access, policy).settled([KEYS[0]])

    missing = tmp_path / "nothing"
    assert told(missing) == [f"not verified: {KEYS[0]}: this worker has no directory {missing}"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert told(tmp_path) == [f"not verified: {KEYS[0]}: terraform is not on this worker's PATH"]
