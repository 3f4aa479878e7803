"""The health watch of the documents, which may start a failover by itself.

It does so by an event of an asset: the failover's DAG is scheduled on it, so that what it does,
and that no person asked for it, is a run of its own with evidence of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.base import LedgerkeepOperator, run_name
from ledgerkeep.operators.document_failover import FailoverOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.policy.model import Policy


def unhealthy_documents(policy: Policy) -> Asset:
    """The asset that the health watch updates when the documents' bucket cannot be used."""
    return Asset(
        name=f"{policy.environment}_documents_unhealthy",
        uri=f"x-ledgerkeep://{policy.environment}/documents/unhealthy",
        group="ledgerkeep",
    )


def unhealthy_alias(policy: Policy) -> AssetAlias:
    """What the watch's task has as its outlet: through it an event is sent only when it asks."""
    return AssetAlias(f"{policy.environment}_documents_unhealthy_alias", group="ledgerkeep")


class WatchDocumentsOperator(FailoverOperator):
    """Check that the bucket in use can be worked with; the last failed try starts a failover.

    A failed check fails the try, and Airflow tries again after the policy's interval: so many
    failures in a row are needed, and each is seen in the run. The event is only sent while the
    application still uses the primary.
    """

    def execute(self, context: Context) -> bool:
        """Check; returns whether the documents are healthy."""
        from ledgerkeep.documents.failover.health import check_health
        from ledgerkeep.errors import LedgerkeepError

        here, there = self.sides
        if self.application.bucket() == there.name:
            self.log.info("the application uses %s: there is nothing to fail over", there.name)
            return True
        try:
            words = check_health(
                here,
                prefix=self.prefix,
                sample=self.section.sample,
                run=run_name(context),
                url=self.section.health_url,
            )
        except LedgerkeepError as problem:
            task = context["ti"]
            if task.try_number <= task.max_tries:
                raise
            what = f"{problem.message}, {task.try_number} times in a row: failing over"
            self.log.warning("%s", what)
            self.contribute(context, findings=[{"what": what, "severity": "critical"}])
            alias = unhealthy_alias(self.policy)
            context["outlet_events"][alias].add(unhealthy_documents(self.policy))
            return False
        self.log.info("%s", words)
        return True


class JudgeHealthOperator(LedgerkeepOperator):
    """Fail the run whose documents were not healthy, after the failover was started.

    :param healthy: what the watch returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "healthy")

    def __init__(self, *, healthy: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.healthy = healthy

    def execute(self, context: Context) -> None:
        """Judge."""
        if self.healthy is not True:
            raise AirflowFailException(
                "the documents' bucket cannot be used; the failover to the replica was started\n"
                f"Hint: follow {self.policy.environment}_document_failover"
            )
