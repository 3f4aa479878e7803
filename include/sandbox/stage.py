"""What every demo does: bring the sandbox up, run DAGs and follow them, and put things back.

A demo is a story told by runs of the real DAGs through the real scheduler. Nothing runs unasked: a
DAG that was off before is off again, and a sandbox that was down before is stopped at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg
from rich.console import Console
from rich.markup import escape

from include.sandbox import environment, sandbox
from include.sandbox.sandbox import Sandbox
from include.sandbox.servers import protected_server
from ledgerkeep.cli.airflow_api import AirflowApi, DagRun
from ledgerkeep.cli.watch import Watcher
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.errors import LedgerkeepError
from ledgerkeep.policy.load import load_policy
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.worker import WorkerSettings

ENVIRONMENT = "production"


@dataclass
class Stage:
    """A sandbox that is up, and a terminal to show it on."""

    ours: Sandbox
    console: Console

    def __post_init__(self) -> None:
        state = self.ours.state()
        self.url = environment.airflow_url(state.ports)
        self.api = AirflowApi(self.url, "admin", state.secrets.airflow_admin)

    @property
    def database(self) -> ServerAddress:
        """The loan database on the protected server."""
        server = protected_server(self.ours.state(), self.ours.place())
        return server.address.to(environment.DATABASE)

    @property
    def policy(self) -> Policy:
        """Production's."""
        return load_policy(environment.POLICIES / f"{ENVIRONMENT}.yaml")

    @property
    def store(self) -> S3Store:
        """Production's bucket."""
        state = self.ours.state()
        access = StoreAccess(
            endpoint_url=environment.store_url(state.ports),
            access_key=state.secrets.store_key,
            secret_key=state.secrets.store_secret,
        )
        return open_store(self.policy.storage, WorkerSettings(), access)

    def run(
        self,
        action: str,
        conf: dict[str, Any] | None = None,
        *,
        meanwhile: Callable[[DagRun], None] = lambda run: None,
    ) -> DagRun:
        """Run production's DAG for an action and follow it to its end.

        :param meanwhile: told of the run as soon as it was started.
        :raises RunFailed: it did not pass.
        """
        dag_id = f"{ENVIRONMENT}_{action}"
        was_on = self.api.switch(dag_id, on=True)
        try:
            run = self.api.trigger(dag_id, conf, prefix="demo")
            meanwhile(run)
            Watcher(self.api, self.console).follow(run)
        finally:
            self.api.switch(dag_id, on=was_on)
        return run


def perform(
    ours: Sandbox, story: Callable[[Stage], None], *, size_mb: int, keep: bool, needs: list[str]
) -> int:
    """Bring the sandbox up and tell a story on it; returns the exit status.

    :param keep: leave the sandbox running. One that was up before is left running anyway.
    :param needs: the actions whose DAGs must have been read before it begins.
    """
    console = Console()
    began = monotonic()
    started = not sandbox.is_up(ours)
    try:
        sandbox.up(ours, size_mb=size_mb, say=lambda line: console.print(line, soft_wrap=True))
        stage = Stage(ours, console)
        stage.api.wait_for_dags([f"{ENVIRONMENT}_{action}" for action in needs])
        story(stage)
        console.print(f"{monotonic() - began:.0f} s in all")
    except (LedgerkeepError, psycopg.Error) as problem:
        console.print(f"[red]{escape(str(problem))}[/]", soft_wrap=True)
        return 1
    finally:
        if started and not keep:
            sandbox.down(ours, say=console.print)
    return 0
