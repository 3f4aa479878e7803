"""The watcher of the change queue: what it tells, and that nothing ends it.

The queue is moto's, in this process.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.triggers.base import TriggerEvent

from ledgerkeep.configuration.changes import Waiting
from ledgerkeep.triggers import configuration_changes
from ledgerkeep.triggers.configuration_changes import WAITING, ConfigurationChangesTrigger
from tests.operators.conftest import connection
from tests.support.configuration import write_policy

QUEUE = "ledgerkeep-production-changes"
CHANGE = {"source": "aws.ssm", "detail-type": "Parameter Store Change", "detail": {"v": "s3cret"}}


@pytest.fixture
def sqs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Production's account, without the queue."""
    write_policy(tmp_path, sources={"parameters": {"paths": ["/loan/"]}})
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    monkeypatch.setenv(
        "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_CONFIGURATION",
        connection("aws", login="testing", password="testing"),
    )
    monkeypatch.setattr(configuration_changes, "_LISTEN_SECONDS", 0)
    monkeypatch.setattr(configuration_changes, "_PAUSE_SECONDS", 0.01)
    with mock_aws():
        yield boto3.client("sqs", region_name="eu-central-1")


def tell(sqs: Any, body: str) -> None:
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=body)


async def first_of(watcher: ConfigurationChangesTrigger) -> TriggerEvent:
    """The first event that it tells."""
    told: AsyncIterator[TriggerEvent] = watcher.run()
    return await asyncio.wait_for(anext(told), 60)


def first_event() -> TriggerEvent:
    return asyncio.run(first_of(ConfigurationChangesTrigger(environment="production")))


def waiting(event: TriggerEvent) -> list[Waiting]:
    return [Waiting.model_validate(one) for one in event.payload[WAITING]]


def test_change_is_told_without_its_contents(sqs: Any) -> None:
    sqs.create_queue(QueueName=QUEUE)
    tell(sqs, json.dumps(CHANGE))
    event = first_event()
    ((told,),) = [one.notices for one in waiting(event)]
    assert (told.what, told.sources) == ("Parameter Store Change", ["parameters"])
    assert "s3cret" not in json.dumps(event.payload)


def test_message_that_is_none_does_not_stop_the_next(sqs: Any) -> None:
    sqs.create_queue(QueueName=QUEUE)
    tell(sqs, "\x00 not { json")
    tell(sqs, json.dumps(CHANGE))
    event = first_event()
    assert [one.sources for one in waiting(event)] == [{"parameters"}, {"parameters"}]


def test_queue_that_cannot_be_read_is_tried_again(sqs: Any) -> None:
    """Until it is there: its first complaint has somebody make it."""
    said: list[str] = []

    def complain(message: str, *about: object) -> None:
        if not said:
            sqs.create_queue(QueueName=QUEUE)
            tell(sqs, json.dumps(CHANGE))
        said.append(message % about)

    watcher = ConfigurationChangesTrigger(environment="production")
    watcher._log = SimpleNamespace(warning=complain)
    event = asyncio.run(first_of(watcher))
    assert len(waiting(event)) == 1
    assert said == [
        "the changes of production are not heard: aws refused to find the queue "
        f"{QUEUE} (AWS.SimpleQueueService.NonExistentQueue)\n"
        "Hint: create the queue, or correct configuration.events.queue in the policy"
    ]


def test_watcher_is_made_again_from_its_environment_alone() -> None:
    """Its arguments are stored in Airflow's database; the rest it reads from the policy."""
    path, arguments = ConfigurationChangesTrigger(environment="staging").serialize()
    assert path == "ledgerkeep.triggers.configuration_changes.ConfigurationChangesTrigger"
    assert arguments == {"environment": "staging"}
