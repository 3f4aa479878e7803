"""Operators of scheduled replication: bring the replica up to date, range by range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.base import LedgerkeepOperator
from ledgerkeep.operators.document_replica import (
    DocumentReplicaOperator,
    ReplicaShardOperator,
    report_copied,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReplicateShardOperator(ReplicaShardOperator):
    """Bring the replica of one range of keys up to date.

    Which keys that are, a comparison tells. Returns what was done.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, append, compare again."""
        from ledgerkeep.documents.replica.repair import Repairer, replicate_shard

        began, shard = self.work()
        section = self.replication
        with self.ending_well(context):
            repairer = Repairer(
                self.pair,
                self.rules(began, None),
                read_bytes=section.read_mib * 1024 * 1024,
                other_account=self.replica.account_id is not None,
            )
            tally, brought = replicate_shard(
                repairer,
                shard,
                concurrency=section.concurrency,
                step=self.counting(f"versions of {shard.words}"),
            )
        self.log.info(
            "%s: %d versions compared, %d copied (%d bytes), %d delete markers",
            shard.words,
            tally.source_versions,
            brought.versions,
            brought.bytes,
            brought.markers,
        )
        return {"of": shard.of, "tally": tally.to_plain(), "brought": brought.to_plain()}


class SumUpReplicationOperator(DocumentReplicaOperator):
    """Sum up what was copied; succeed only if every key is up to date.

    :param replicated: what the shards' tasks returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "replicated")

    def __init__(self, *, replicated: Any, **kwargs: Any) -> None:
        super().__init__(trigger_rule=TriggerRule.ALL_DONE, **kwargs)
        self.replicated = replicated

    def execute(self, context: Context) -> dict[str, Any]:
        """Sum up."""
        from ledgerkeep.documents.replica.differences import Tally
        from ledgerkeep.documents.replica.repair import Brought

        shards = list(self.replicated or [])
        tally, brought = Tally(), Brought()
        for one in shards:
            tally.add(Tally.from_plain(one["tally"]))
            brought.add(Brought(**one["brought"]))
        self.contribute(context, measurements={"versions_compared": tally.source_versions})
        report_copied(self, context, brought)
        wanted = shards[0]["of"] if shards else 0
        if not shards or len(shards) < wanted:
            what = f"only {len(shards)} of {wanted or 'all'} shards were brought up to date"
            self.contribute(context, findings=[{"what": what, "severity": "critical"}])
            raise AirflowFailException(f"{what}\nHint: the logs of the tasks that failed say why")
        if brought.failed or brought.diverged:
            raise AirflowFailException(
                f"{brought.failed + brought.diverged:,} keys of {self.pair.names[1]} are not up to "
                "date\nHint: the evidence names some of them, and why"
            )
        return brought.to_plain()
