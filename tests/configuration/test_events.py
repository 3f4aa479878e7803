"""What messages of the change queue concern, and how little of them is kept."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ledgerkeep.configuration.events import Notice, concerns, notices_of
from ledgerkeep.configuration.registry import source_names
from ledgerkeep.policy.model import Policy
from tests.support.configuration import policy_with

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.fixture
def policy() -> Policy:
    return policy_with(
        parameters={"paths": ["/loan/"]},
        secrets={"prefixes": ["loan/"]},
        terraform_state={"bucket": "loan-states", "prefixes": [""]},
    )


def notice(body: object, policy: Policy) -> Notice:
    (found,) = notices_of(body if isinstance(body, str) else json.dumps(body), policy)
    return found


def call(service: str, name: str, **detail: Any) -> dict[str, Any]:
    """An API call as CloudTrail tells it, in EventBridge's envelope."""
    return {
        "version": "0",
        "source": f"aws.{service}",
        "detail-type": "AWS API Call via CloudTrail",
        "account": "111122223333",
        "time": "2026-11-22T10:00:07Z",
        "detail": {
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "eventTime": "2026-11-22T10:00:00Z",
            "readOnly": False,
            **detail,
        },
    }


def native(service: str, kind: str, **detail: Any) -> dict[str, Any]:
    """An event of a service's own."""
    return {
        "source": f"aws.{service}",
        "detail-type": kind,
        "time": "2026-11-22T10:00:00Z",
        "detail": detail,
    }


# -- which sources


@pytest.mark.parametrize(
    ("event", "source"),
    [
        (call("ssm", "PutParameter"), "parameters"),
        (native("ssm", "Parameter Store Change", operation="Update", name="/a"), "parameters"),
        (call("secretsmanager", "PutSecretValue"), "secrets"),
        (call("iam", "AttachRolePolicy"), "iam"),
        (call("ec2", "AuthorizeSecurityGroupIngress"), "security_groups"),
        (call("kms", "PutKeyPolicy"), "kms"),
        (call("wafv2", "UpdateWebACL"), "waf"),
        (call("ecs", "UpdateService"), "services"),
    ],
)
def test_event_concerns_the_source_that_exports_its_service(
    event: dict[str, Any], source: str, monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    monkeypatch.setattr(
        "ledgerkeep.configuration.events.source_names", lambda _policy: [source, "another"]
    )
    assert notice(event, policy).sources == [source]


def test_time_is_when_it_happened_and_not_when_it_was_told(policy: Policy) -> None:
    assert notice(call("ssm", "PutParameter"), policy).changed_at == AT
    assert notice(native("ssm", "Parameter Store Change"), policy).changed_at == AT


def test_service_that_the_policy_does_not_export_concerns_nothing(policy: Policy) -> None:
    assert notice(call("wafv2", "UpdateWebACL"), policy).sources == []


@pytest.mark.parametrize("detail", [{"readOnly": True}, {"errorCode": "AccessDenied"}])
def test_what_only_read_or_failed_concerns_nothing(detail: dict[str, Any], policy: Policy) -> None:
    """An export reads; it must not lead to the next one."""
    assert notice(call("ssm", "GetParameters", **detail), policy).sources == []


def test_change_of_tags_has_everything_read(policy: Policy) -> None:
    """The version of a parameter stays the same when its tags change."""
    assert notice(call("ssm", "AddTagsToResource"), policy).reread
    assert not notice(call("ssm", "PutParameter"), policy).reread


def test_change_of_a_secret_has_everything_read(policy: Policy) -> None:
    """ListSecrets is up to five minutes late, so what it tells is no mark of a change just made."""
    assert notice(call("secretsmanager", "PutSecretValue"), policy).reread


@pytest.mark.parametrize(
    ("bucket", "sources"), [("loan-states", ["terraform_state"]), ("somebody-elses", [])]
)
def test_object_concerns_the_sources_that_export_its_bucket(
    bucket: str, sources: list[str], policy: Policy
) -> None:
    """As EventBridge, CloudTrail and S3 itself tell it."""
    created = native("s3", "Object Created", bucket={"name": bucket}, object={"key": "a"})
    put = call("s3", "PutObject", requestParameters={"bucketName": bucket, "key": "a"})
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-22T10:00:00.000Z",
        "s3": {"bucket": {"name": bucket}, "object": {"key": "a"}},
    }
    for event in (created, put, {"Records": [record]}):
        found = notice(event, policy)
        assert (found.sources, found.changed_at) == (sources, AT)


def test_one_message_of_s3_may_tell_of_several_objects(policy: Policy) -> None:
    record = {"eventSource": "aws:s3", "s3": {"bucket": {"name": "loan-states"}}}
    found = notices_of(json.dumps({"Records": [record, record]}), policy)
    assert [one.sources for one in found] == [["terraform_state"], ["terraform_state"]]


# -- what is not understood


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[" * 100_000,
        "null",
        "[]",
        "{}",
        '{"Records": []}',
        '{"Records": [1]}',
        '{"Records": [{"eventSource": "aws:s3"}]}',
        '{"Records": [{"eventSource": "aws:s3", "s3": {"bucket": "loan-states"}}]}',
        '{"source": "aws.ssm", "detail": 7}',
        '{"source": ["aws.ssm"], "detail-type": ["x"], "detail": {}}',
        '{"source": "aws.lambda", "detail-type": "x", "detail": {}}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {}}}',
        '{"detail-type": "AWS API Call via CloudTrail", "detail": {"eventSource": null}}',
    ],
)
def test_what_cannot_be_understood_concerns_every_source(body: str, policy: Policy) -> None:
    assert notice(body, policy).sources == source_names(policy)


@pytest.mark.parametrize("time", ["yesterday", 7, None, "0001-01-01T00:00:00+23:00"])
def test_time_that_is_none_is_not_known(time: object, policy: Policy) -> None:
    event = {**native("ssm", "Parameter Store Change"), "time": time}
    found = notice(event, policy)
    assert (found.sources, found.changed_at) == (["parameters"], None)


# -- what is kept


def test_nothing_of_a_messages_contents_is_kept(policy: Policy) -> None:
    event = call(
        "ssm", "PutParameter", requestParameters={"name": "/loan/pin", "value": "s3cret-value"}
    )
    kept = notice(event, policy).to_json()
    assert b"s3cret-value" not in kept
    assert b"/loan/pin" not in kept


def test_name_of_an_event_that_is_no_name_is_not_kept(policy: Policy) -> None:
    """Whoever may write to the queue chose it, and it is shown in logs."""
    event = call("ssm", "x\n2026-11-22 INFO all is well")
    assert notice(event, policy).what == "an event without a name"


# -- several of them


def test_first_of_several_changes_says_how_long_one_has_waited() -> None:
    later = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
    found = concerns(
        [
            Notice(what="b", sources=["parameters"], changed_at=later),
            Notice(what="a", sources=["parameters", "secrets"], changed_at=AT),
            Notice(what="c", sources=["secrets"], reread=True),
        ]
    )
    assert {name: (one.changed_at, one.reread) for name, one in found.items()} == {
        "parameters": (AT, False),
        "secrets": (AT, True),
    }
