"""The watcher of the change queue: what waits in it becomes an event of an asset.

The Amazon provider has such a trigger (`SqsSensorTrigger`). It deletes messages before the event
is stored, passes their bodies on into Airflow's database, and needs aiobotocore, which holds boto3
back. This one keeps the messages in the queue until a run has stored what they tell of, passes on
only what `ledgerkeep.configuration.events` keeps of them, and waits in a thread.

It never ends by an error: a queue that cannot be read is tried again, and said in the triggerer's
log each time; the weekly run is the net below it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from ledgerkeep.errors import LedgerkeepError

if TYPE_CHECKING:
    from ledgerkeep.configuration.changes import ChangeQueue, Waiting

WAITING = "waiting"
"""Member of the event's payload: a list of `Waiting`."""
_LISTEN_SECONDS = 10
"""How long one request waits for a message: it comes at once, and a shutdown waits that long."""
_ROUNDS = 30
"""Between two looks at the policy and the connection: they may change while it listens."""
_PAUSE_SECONDS = 15.0
"""Between two tries when the queue cannot be read."""


class ConfigurationChangesTrigger(BaseEventTrigger):  # type: ignore[misc] # untyped
    """Tell of changes as the queue of an environment's policy tells of them.

    :param environment: the environment whose policy names the queue
    """

    def __init__(self, environment: str) -> None:
        super().__init__()
        self.environment = environment

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer makes it again."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"environment": self.environment}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event for each time that messages are found."""
        while True:
            try:
                queue = await asyncio.to_thread(self._open)
                for _ in range(_ROUNDS):
                    waiting = await asyncio.to_thread(queue.gather, wait=_LISTEN_SECONDS)
                    if waiting:
                        yield _told(waiting)
            except LedgerkeepError as problem:
                self.log.warning("the changes of %s are not heard: %s", self.environment, problem)
                await asyncio.sleep(_PAUSE_SECONDS)

    def _open(self) -> ChangeQueue:
        from ledgerkeep.configuration.changes import open_queue
        from ledgerkeep.hooks.connections import source_access
        from ledgerkeep.policy.load import load_environment

        return open_queue(source_access(), load_environment(self.environment))


def _told(waiting: list[Waiting]) -> TriggerEvent:
    return TriggerEvent({WAITING: [one.model_dump(mode="json") for one in waiting]})
