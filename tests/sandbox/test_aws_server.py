"""The AWS stand-in: keys that outlive it, accounts that are apart, changes that are told."""

import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.sandbox import environment
from include.sandbox.lender import identity
from include.sandbox.lender.account import ROLE, LenderAccount
from include.sandbox.lender.changes import make_queue
from include.sandbox.lender.stock import secret_values, stock_accounts
from ledgerkeep.configuration.events import notices_of
from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.errors import SealBroken
from ledgerkeep.policy.load import load_environment, load_policies
from tests.support.lender import SEED, account, serving

pytestmark = pytest.mark.integration

CONTEXT = {"environment": "production"}
PRODUCTION = load_environment("production", environment.POLICIES)
assert PRODUCTION.configuration is not None
SEALING_KEY = PRODUCTION.configuration.sealing_key


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("aws")) as found:
        yield found


def sealer(url: str) -> Sealer:
    return Sealer(SEALING_KEY, account(url).client("kms"))


def listen(held: LenderAccount, name: str = "production") -> str:
    """The URL of the environment's queue, which is empty."""
    configuration = load_environment(name, environment.POLICIES).configuration
    assert configuration is not None
    assert configuration.events is not None
    make_queue(held, configuration.events)
    sqs = held.client("sqs")
    queue: str = sqs.get_queue_url(QueueName=configuration.events.queue)["QueueUrl"]
    sqs.purge_queue(QueueUrl=queue)
    return queue


def messages(held: LenderAccount, queue: str, count: int) -> list[dict[str, Any]]:
    """What is told, read until as many came or five seconds are over."""
    sqs, found, deadline = held.client("sqs"), [], monotonic() + 5
    while len(found) < count and monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        found += [json.loads(one["Body"]) for one in answer.get("Messages", [])]
    return found


def test_what_was_sealed_is_opened_after_a_restart_of_the_same_sandbox(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        arn = sealer(url).key_arn
        sealed = sealer(url).seal(b"kept", CONTEXT)
    with serving(tmp_path) as url:
        assert sealer(url).open(sealed, CONTEXT, key_arn=arn, what="it") == b"kept"


def test_another_sandbox_has_other_keys(tmp_path: Path, url: str) -> None:
    sealed = sealer(url).seal(b"ours", CONTEXT)
    with serving(tmp_path, seed="another") as theirs, pytest.raises(SealBroken):
        sealer(theirs).open(sealed, CONTEXT, key_arn=sealer(url).key_arn, what="it")


def test_accounts_hold_the_same_after_being_stocked_twice(url: str) -> None:
    policies = load_policies(environment.POLICIES)
    assert PRODUCTION.configuration is not None
    assert PRODUCTION.configuration.sources.parameters is not None
    (path,) = PRODUCTION.configuration.sources.parameters.paths
    stock_accounts(url, policies, SEED)
    ssm = account(url).client("ssm")
    once = ssm.get_parameters_by_path(Path=path, WithDecryption=True)["Parameters"]
    stock_accounts(url, policies, SEED)
    assert ssm.get_parameters_by_path(Path=path, WithDecryption=True)["Parameters"] == once
    found = {one["Value"] for one in once if one["Type"] == "SecureString"}
    assert found <= set(secret_values(account(url)).values())


def test_environments_have_accounts_of_their_own(url: str) -> None:
    production, staging = account(url), account(url, "staging")
    production.client("ssm").put_parameter(Name="/mine", Value="1", Type="String")
    listed = staging.client("ssm").describe_parameters()["Parameters"]
    assert "/mine" not in {one["Name"] for one in listed}
    for held in (production, staging):
        assert held.client("sts").get_caller_identity()["Account"] == held.id


def test_changes_are_told_and_reads_and_failures_are_not(url: str) -> None:
    """As CloudTrail would by EventBridge, without the value that was written."""
    held = account(url)
    queue = listen(held)
    ssm, iam, s3 = held.client("ssm"), held.client("iam"), held.client("s3")
    ssm.put_parameter(Name="/told", Value="the value", Type="String")
    ssm.get_parameter(Name="/told")
    with pytest.raises(ssm.exceptions.ParameterAlreadyExists):
        ssm.put_parameter(Name="/told", Value="another value", Type="String")
    iam.create_group(GroupName="told")
    iam.list_groups()
    s3.create_bucket(Bucket="told", CreateBucketConfiguration={"LocationConstraint": held.region})
    s3.put_object(Bucket="told", Key="a/b", Body=b"the value")
    s3.get_object(Bucket="told", Key="a/b")["Body"].read()
    s3.delete_object(Bucket="told", Key="a/b")
    found = messages(held, queue, 4)
    told = [(one["source"], one["detail"].get("eventName", one["detail-type"])) for one in found]
    assert told == [
        ("aws.ssm", "PutParameter"),
        ("aws.iam", "CreateGroup"),
        ("aws.s3", "Object Created"),
        ("aws.s3", "Object Deleted"),
    ]
    assert found[0]["detail"]["recipientAccountId"] == held.id
    assert found[3]["detail"] == {"bucket": {"name": "told"}, "object": {"key": "a/b"}}
    assert "value" not in json.dumps(found)


def test_product_understands_what_is_told(url: str) -> None:
    held = account(url, "staging")
    policy = load_environment("staging", environment.POLICIES)
    queue = listen(held, "staging")
    held.client("ssm").put_parameter(Name="/told", Value="the value", Type="String")
    (message,) = messages(held, queue, 1)
    (notice,) = notices_of(json.dumps(message), policy)
    assert (notice.what, notice.sources) == ("PutParameter", ["parameters"])
    assert notice.changed_at is not None


def test_role_is_refused_what_its_own_policy_denies(url: str) -> None:
    """In each of the protocols; nothing else is, and not once the denial is gone."""
    held = account(url, "development")
    iam, name = held.client("iam"), "denied"
    wanted = ["secretsmanager:List*", "ec2:DescribeSecurityGroups", "iam:ListRoles"]
    denial = {"Effect": "Deny", "Action": wanted, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [denial]})
    identity.stock(held)
    iam.put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=document)
    secrets, ec2 = held.client("secretsmanager"), held.client("ec2")
    for ask, code in (
        (secrets.list_secrets, "AccessDeniedException"),
        (ec2.describe_security_groups, "UnauthorizedOperation"),
        (iam.list_roles, "AccessDenied"),
    ):
        with pytest.raises(ClientError) as caught:
            ask()
        assert caught.value.response["Error"]["Code"] == code
    ec2.describe_vpcs()
    iam.delete_role_policy(RoleName=ROLE, PolicyName=name)
    secrets.list_secrets()
