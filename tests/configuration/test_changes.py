"""The queue of changes: nothing is lost, a burst comes as one, what concerns nothing goes.

moto's SQS keeps messages, visibility and receipts as AWS does.
"""

import json
from typing import Any

import pytest

from ledgerkeep.configuration.changes import ChangeQueue, open_queue
from ledgerkeep.errors import AwsRefused, PolicyError
from ledgerkeep.policy.configuration import ChangeEvents
from ledgerkeep.policy.model import Policy
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]


def with_events(policy: Policy) -> Policy:
    assert policy.configuration is not None
    events = ChangeEvents(queue="changes")
    configuration = policy.configuration.model_copy(update={"events": events})
    return policy.model_copy(update={"configuration": configuration})


@pytest.fixture
def account(aws: None) -> Account:
    account = open_account(with_events(policy_with(parameters={"paths": ["/loan/"]})))
    account.client("sqs").create_queue(QueueName="changes")
    return account


@pytest.fixture
def queue(account: Account) -> ChangeQueue:
    return open_queue(account.access, account.policy)


def tell(queue: ChangeQueue, source: str = "aws.ssm", count: int = 1) -> None:
    event = {"source": source, "detail-type": "Parameter Store Change", "detail": {}}
    for _ in range(count):
        queue.sqs.send_message(QueueUrl=queue.url, MessageBody=json.dumps(event))


def counts(queue: ChangeQueue) -> tuple[int, int]:
    """(messages to be had, messages that were read and not deleted)."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    asked: Any = names
    found = queue.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=asked)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])  # type: ignore[index]


def test_what_was_read_stays_in_the_queue_unseen_until_it_is_settled(queue: ChangeQueue) -> None:
    tell(queue)
    (waiting,) = queue.gather(wait=0)
    assert waiting.sources == {"parameters"}
    assert counts(queue) == (0, 1)
    assert queue.gather(wait=0) == []
    assert queue.settle([waiting.receipt]) == 1
    assert counts(queue) == (0, 0)


def test_what_was_not_settled_is_told_again(queue: ChangeQueue) -> None:
    tell(queue)
    (first,) = queue.gather(wait=0)
    queue.sqs.change_message_visibility(
        QueueUrl=queue.url, ReceiptHandle=first.receipt, VisibilityTimeout=0
    )
    (again,) = queue.gather(wait=0)
    assert again.notices == first.notices
    assert queue.settle([again.receipt]) == 1


def test_burst_comes_as_one(queue: ChangeQueue) -> None:
    tell(queue, count=25)
    assert len(queue.gather(wait=0)) == 25


def test_burst_without_end_is_cut(queue: ChangeQueue) -> None:
    tell(queue, count=105)
    assert len(queue.gather(wait=0)) == 100
    assert len(queue.gather(wait=0)) == 5


def test_what_concerns_no_source_is_deleted_at_once(queue: ChangeQueue) -> None:
    tell(queue, source="aws.kms")
    assert queue.gather(wait=0) == []
    assert counts(queue) == (0, 0)


def test_message_that_is_none_concerns_all_and_stops_nothing(queue: ChangeQueue) -> None:
    queue.sqs.send_message(QueueUrl=queue.url, MessageBody="not { json")
    tell(queue)
    assert [one.sources for one in queue.gather(wait=0)] == [{"parameters"}, {"parameters"}]


def test_message_that_is_gone_is_not_counted_as_settled(queue: ChangeQueue) -> None:
    assert queue.settle(["no-receipt"]) == 0


def test_queue_that_is_not_there_is_named(account: Account) -> None:
    account.client("sqs").delete_queue(
        QueueUrl=account.client("sqs").get_queue_url(QueueName="changes")["QueueUrl"]
    )
    with pytest.raises(AwsRefused) as refused:
        open_queue(account.access, account.policy)
    assert refused.value.message == (
        "aws refused to find the queue changes (AWS.SimpleQueueService.NonExistentQueue)"
    )
    assert refused.value.hint == (
        "create the queue, or correct configuration.events.queue in the policy"
    )


def test_policy_without_a_queue_has_none(account: Account) -> None:
    with pytest.raises(PolicyError) as refused:
        open_queue(account.access, policy_with(parameters={"paths": ["/loan/"]}))
    assert refused.value.message == "the policy of production names no queue of changes"
    assert refused.value.hint == "add configuration.events to the policy"
