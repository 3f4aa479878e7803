"""The queue of changes: read, kept until what they tell of is stored, and only then deleted.

A message that is read becomes invisible for a while (`events.redeliver_after`), and is deleted
when every source it concerns has been exported. Whatever is killed in between, the watcher, the
scheduler, a task, the message comes back and is told again; an export that finds nothing new
stores nothing. How often a message may come back, and where it goes then, is the queue's own
affair (its redrive policy). What concerns no source is deleted at once.
(SQS developer guide, Visibility timeout; API reference, ReceiveMessage, DeleteMessageBatch.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkeep.aws import ask
from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.events import Notice, notices_of
from ledgerkeep.configuration.registry import configuration_of
from ledgerkeep.errors import PolicyError
from ledgerkeep.model import Record
from ledgerkeep.policy.model import Policy

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

_AT_ONCE = 10
"""ReceiveMessage and DeleteMessageBatch take no more messages."""
_MOST = 100
"""Messages that one run is told of at once; the rest comes with the next."""
_CONNECTION = "configuration.events.connection_id"


class Waiting(Record):
    """A message that was read and waits for its sources to be exported."""

    receipt: str
    """What it is deleted by; good until the message is delivered again."""
    notices: list[Notice]

    @property
    def sources(self) -> set[str]:
        """All sources that it concerns."""
        return {name for notice in self.notices for name in notice.sources}


@dataclass(frozen=True)
class ChangeQueue:
    """The queue of one environment."""

    policy: Policy
    sqs: "SQSClient" = field(repr=False)
    name: str
    url: str
    invisible: int
    """Seconds until a message that was read and not deleted is delivered again."""

    def gather(self, *, wait: int) -> list[Waiting]:
        """What waits in the queue and concerns a source: a burst comes as one.

        :param wait: seconds to wait for the first message, 20 at most.
        :raises AwsRefused, AwsUnavailable:
        """
        found: list[Waiting] = []
        batch = self._receive(wait)
        while batch:
            found += batch
            # A second more, since a change seldom comes alone.
            batch = self._receive(1) if len(found) < _MOST else []
        self.settle([one.receipt for one in found if not one.sources])
        return [one for one in found if one.sources]

    def settle(self, receipts: Sequence[str]) -> int:
        """Delete messages; those that have been delivered again meanwhile stay.

        Returns how many were deleted.
        """
        deleted = 0
        for start in range(0, len(receipts), _AT_ONCE):
            entries: list[Any] = [
                {"Id": str(number), "ReceiptHandle": receipt}
                for number, receipt in enumerate(receipts[start : start + _AT_ONCE])
            ]
            answer = self._ask(
                f"delete messages of the queue {self.name}",
                lambda entries=entries: self.sqs.delete_message_batch(
                    QueueUrl=self.url, Entries=entries
                ),
            )
            deleted += len(answer.get("Successful", []))
        return deleted

    def _receive(self, wait: int) -> list[Waiting]:
        answer = self._ask(
            f"read the queue {self.name}",
            lambda: self.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=_AT_ONCE,
                WaitTimeSeconds=wait,
                VisibilityTimeout=self.invisible,
            ),
        )
        return [
            Waiting(receipt=one["ReceiptHandle"], notices=notices_of(one["Body"], self.policy))
            for one in answer.get("Messages", [])
        ]

    def _ask(self, what: str, send: Any) -> Any:
        return ask(what, send, denied=_denied(self.name), connection=_CONNECTION)


def open_queue(access: Access, policy: Policy) -> ChangeQueue:
    """The queue that a policy names.

    :raises PolicyError: it names none.
    :raises AwsRefused, AwsUnavailable: there is no such queue, or it may not be used.
    """
    configuration = configuration_of(policy)
    events = configuration.events
    if events is None:
        raise PolicyError(
            f"the policy of {policy.environment} names no queue of changes",
            hint="add configuration.events to the policy",
        )
    sqs: SQSClient = access.client(
        "sqs",
        events.connection_id or configuration.connection_id,
        events.region or configuration.region,
    )
    missing = "create the queue, or correct configuration.events.queue in the policy"
    found = ask(
        f"find the queue {events.queue}",
        lambda: sqs.get_queue_url(QueueName=events.queue),
        denied=_denied(events.queue),
        connection=_CONNECTION,
        hints={
            "AWS.SimpleQueueService.NonExistentQueue": missing,
            "QueueDoesNotExist": missing,
        },
    )
    return ChangeQueue(
        policy, sqs, events.queue, found["QueueUrl"], int(events.redeliver_after.total_seconds())
    )


def _denied(name: str) -> str:
    return (
        f"allow sqs:GetQueueUrl, sqs:ReceiveMessage and sqs:DeleteMessage on the queue {name}, and "
        f"kms:Decrypt on its key, to the identity of the connection {_CONNECTION}"
    )
