"""What every demo does: bring the sandbox up, run DAGs and follow them, and put things back.

A demo is a story told by runs of the real DAGs through the real scheduler. Nothing runs unasked: a
DAG that was off before is off again, and a sandbox that was down before is stopped at the end.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any

import psycopg
from rich.console import Console
from rich.markup import escape

from include.sandbox import environment, sandbox
from include.sandbox.documents import DocumentStore
from include.sandbox.lender.account import LenderAccount
from include.sandbox.objectstore import Credentials
from include.sandbox.sandbox import Sandbox
from include.sandbox.servers import protected_server
from ledgerkeep.cli.airflow_api import AirflowApi, DagRun
from ledgerkeep.cli.watch import Watcher
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.errors import LedgerkeepError, RunFailed
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.policy.load import load_policy
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.worker import WorkerSettings

ENVIRONMENT = "production"
_INTERVAL = 0.5


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
        return load_policy(self.ours.policies / f"{ENVIRONMENT}.yaml")

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

    @property
    def documents(self) -> DocumentStore:
        """Production's documents, as the loan system uses them."""
        state, held = self.ours.state(), self.policy.documents
        assert held is not None
        user = Credentials(state.secrets.store_key, state.secrets.store_secret)
        return DocumentStore(environment.store_url(state.ports), user, held.bucket)

    @property
    def account(self) -> LenderAccount:
        """Production's account."""
        state = self.ours.state()
        url, seed = environment.aws_url(state.ports), state.secrets.account_seed
        return LenderAccount.of(self.policy, url, seed)

    def evidence(self, run: DagRun) -> EvidenceRecord:
        """The last record that a run left.

        :raises RunFailed: it left none.
        """
        now = datetime.now(UTC)
        written = EvidenceLog(self.store, self.policy).read(now - timedelta(days=1), now)
        found = [record for record in written if record.run == run.name]
        if not found:
            raise RunFailed(f"{run.name} left no evidence", hint="look at its log in Airflow")
        return found[-1]

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
        with self._started(action, conf) as run:
            meanwhile(run)
            Watcher(self.api, self.console).follow(run)
        return run

    def run_side_by_side(
        self,
        action: str,
        confs: Iterable[dict[str, Any]],
        *,
        meanwhile: Callable[[DagRun], None] = lambda run: None,
    ) -> list[DagRun]:
        """Run production's DAG for an action once with each of these, all at the same time.

        :param meanwhile: told of each run as soon as it was started.
        :raises RunFailed: one did not pass.
        """
        with ExitStack() as started:
            runs = [started.enter_context(self._started(action, conf)) for conf in confs]
            for run in runs:
                meanwhile(run)
            for run in runs:
                Watcher(self.api, self.console).follow(run)
        return runs

    def wait_for_run(
        self, action: str, cause: Callable[[], None], *, timeout: float = 120
    ) -> tuple[DagRun, float]:
        """Let something happen that starts production's DAG for an action by itself; follow it.

        :param timeout: seconds until the run has started.
        :returns: the run, and the seconds from the cause to its end.
        :raises RunFailed: none came in time, or it did not pass.
        """
        dag_id = f"{ENVIRONMENT}_{action}"
        known = set(self.api.run_ids(dag_id))
        was_on = self.api.switch(dag_id, on=True)
        try:
            self.api.watch_events(dag_id)
            cause()
            began = monotonic()
            while not (new := [one for one in self.api.run_ids(dag_id) if one not in known]):
                if monotonic() - began > timeout:
                    raise RunFailed(f"nothing started {dag_id} within {timeout:.0f} s")
                sleep(_INTERVAL)
            run = DagRun(dag_id, new[0])
            Watcher(self.api, self.console).follow(run)
            return run, monotonic() - began
        finally:
            self.api.switch(dag_id, on=was_on)

    def run_in_vain(self, action: str, conf: dict[str, Any] | None = None) -> DagRun:
        """Run a check that has to find something, and so to fail.

        :raises RunFailed: it passed.
        """
        with self._started(action, conf) as run:
            try:
                Watcher(self.api, self.console).follow(run)
            except RunFailed:
                return run
        raise RunFailed(f"{run.name} passed, although there was something to find")

    @contextmanager
    def approving(self) -> Iterator[Callable[[DagRun], None]]:
        """What a second person does: approve whenever asked.

        Airflow asks a second time where the answer came before its scheduler had seen that the
        asking task left its worker: it then takes the resumed task for a killed one, and tries
        again.
        """
        approver = AirflowApi(self.url, "approver", self.ours.state().secrets.airflow_approver)
        done = threading.Event()

        def approve(run: DagRun) -> None:
            while not done.wait(0.5):
                waiting = [task.task_id for task in approver.tasks(run) if task.waits_for_a_person]
                if waiting:
                    approver.answer(run, waiting[0], "Approve")
                    self.console.print("the user `approver` approved it over the REST API")

        threads: list[threading.Thread] = []

        def start(run: DagRun) -> None:
            threads.append(threading.Thread(target=approve, args=(run,), daemon=True))
            threads[-1].start()

        try:
            yield start
        finally:
            done.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def _started(self, action: str, conf: dict[str, Any] | None) -> Iterator[DagRun]:
        """A run that was started; the DAG is as it was before afterwards."""
        dag_id = f"{ENVIRONMENT}_{action}"
        was_on = self.api.switch(dag_id, on=True)
        try:
            yield self.api.trigger(dag_id, conf, prefix="demo")
        finally:
            self.api.switch(dag_id, on=was_on)


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
