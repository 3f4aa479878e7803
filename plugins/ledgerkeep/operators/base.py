"""What all operators share: the policy, the catalog, the source's address, and how errors end.

An operator is an adapter. It turns Airflow's connections and context into the core's arguments,
calls one function of the core, and returns identifiers, never contents. What a run has to say as
evidence it leaves in XCom under `CONTRIBUTION`; the run's verdict task collects that.

Errors of the core that cannot get better by themselves end the task at once
(`AirflowFailException`); those that can are left to Airflow's retries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.errors import LedgerkeepError
from ledgerkeep.progress import LoggedProgress

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.catalog.catalog import Catalog
    from ledgerkeep.database.postgres.address import ServerAddress
    from ledgerkeep.policy.model import Policy

CONTRIBUTION = "ledgerkeep_contribution"
"""XCom key of what a task adds to its run's evidence."""


class LedgerkeepOperator(BaseOperator):
    """Base of the operators: one environment's policy and what it names.

    :param environment: the environment whose policy applies (templated)
    :param postgres_conn_id: Airflow connection of the protected server; the policy's by default
    :param storage_conn_id: Airflow connection of the object store; the policy's by default
    """

    template_fields: Sequence[str] = ("environment",)
    ui_color = "#e8f0ee"

    def __init__(
        self,
        *,
        environment: str,
        postgres_conn_id: str | None = None,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.environment = environment
        self.postgres_conn_id = postgres_conn_id
        self.storage_conn_id = storage_conn_id
        self._contributed: tuple[Any, dict[str, Any]] = (None, {})

    @cached_property
    def policy(self) -> Policy:
        """The environment's policy, read when the task runs."""
        from ledgerkeep.policy.load import load_environment

        return load_environment(self.environment)

    @cached_property
    def catalog(self) -> Catalog:
        """The environment's catalog in its bucket; the bucket is checked once."""
        from ledgerkeep.catalog.catalog import Catalog
        from ledgerkeep.hooks.connections import open_policy_store

        store = open_policy_store(self.policy, self.storage_conn_id)
        store.check()
        return Catalog(store, self.policy)

    @cached_property
    def address(self) -> ServerAddress:
        """The protected server."""
        from ledgerkeep.hooks.connections import server_address

        return server_address(self.postgres_conn_id or self.policy.database.connection_id)

    def protected_cluster(self) -> str:
        """System identifier of the server that the policy's connection points at.

        Where the server does not answer (it is lost, which is what recoveries are for), the one
        cluster of the catalog is meant; several are refused.

        :raises DatabaseUnavailable: no server, and the catalog knows none or several.
        """
        from ledgerkeep.database.postgres.address import connect
        from ledgerkeep.database.postgres.description import describe
        from ledgerkeep.errors import DatabaseUnavailable

        try:
            with connect(self.address) as connection:
                return describe(connection).system_identifier
        except DatabaseUnavailable:
            known = self.catalog.system_identifiers()
            if len(known) != 1:
                raise
            self.log.warning(
                "the server does not answer; the catalog holds one cluster: %s", known[0]
            )
            return known[0]

    def progress(self, *, interval: float = 2.0) -> LoggedProgress:
        """Progress into the task's log, a line every `interval` seconds at most."""
        return LoggedProgress(self.log.info, interval=interval)

    def contribute(self, context: Context, **what: Any) -> None:
        """Leave plain JSON for the run's evidence; see `ledgerkeep.operators.verdict`.

        What a task contributes in several calls adds up: what it found counts although it fails.
        """
        task = context["ti"]
        by, before = self._contributed
        merged = _joined(before if by is task else {}, what)
        self._contributed = (task, merged)
        task.xcom_push(key=CONTRIBUTION, value=merged)

    @contextmanager
    def ending_well(self, context: Context, *about: str) -> Iterator[None]:
        """Carry an error of the core into the evidence, and out of Airflow's retries if final.

        :param about: ids of the recovery points that the block is about
        """
        try:
            yield
        except LedgerkeepError as problem:
            finding = {"what": problem.message, "severity": "critical"}
            self.contribute(context, recovery_point_ids=list(about), findings=[finding])
            if problem.retryable:
                raise
            raise AirflowFailException(str(problem)) from problem


def _joined(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Lists one after the other, figures and facts side by side, of anything else the last."""
    joined = {**before, **now}
    for name in set(before) & set(now):
        if isinstance(now[name], list):
            joined[name] = [*before[name], *now[name]]
        elif isinstance(now[name], dict):
            joined[name] = {**before[name], **now[name]}
    return joined


def run_name(context: Context) -> str:
    """The run as evidence and proofs name it: `dag_id/run_id`."""
    run = context["dag_run"]
    return f"{run.dag_id}/{run.run_id}"
