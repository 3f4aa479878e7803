"""Operators of the documents' replica: cut its keys into shards, compare them, repair it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST
from ledgerkeep.operators.approved import ApprovedOperator
from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from airflow.sdk import Context

    from ledgerkeep.documents.replica.check import Checked, Pair
    from ledgerkeep.documents.replica.merge import Step
    from ledgerkeep.documents.replica.rules import Rules
    from ledgerkeep.documents.replica.shards import Shard
    from ledgerkeep.documents.replica.summary import Summary
    from ledgerkeep.policy.document_replica import ReplicaConsistency, ScheduledReplication
    from ledgerkeep.policy.documents import Documents, Replica

READABLE = "readable_repair"
"""XCom key of what is proposed, in Markdown."""
REPAIR_DIGEST = f"{{{{ ti.xcom_pull(task_ids='sum_up', key='{PLAN_DIGEST}') }}}}"
REPAIR_BODY = f"""\
{{{{ ti.xcom_pull(task_ids='sum_up', key='{READABLE}') }}}}

**Approve** only if you did not ask for it yourself: that would be refused.
"""


class DocumentReplicaOperator(LedgerkeepOperator):
    """What the tasks share: the two buckets, and what the policy wants of them."""

    @cached_property
    def documents(self) -> Documents:
        """The policy's documents."""
        from ledgerkeep.hooks.connections import documents_of

        return documents_of(self.policy)

    @property
    def replica(self) -> Replica:
        """The policy's replica.

        :raises PolicyError: it has none.
        """
        from ledgerkeep.hooks.connections import replica_of

        return replica_of(self.policy)

    @cached_property
    def pair(self) -> Pair:
        """The buckets, opened with their own connections."""
        from ledgerkeep.documents.replica.check import Pair
        from ledgerkeep.hooks.connections import open_policy_documents, open_policy_replica

        return Pair(
            open_policy_documents(self.policy),
            open_policy_replica(self.policy),
            self.documents.prefix,
        )

    @property
    def consistency(self) -> ReplicaConsistency:
        """The policy's section on the comparison.

        :raises PolicyError: it has none.
        """
        from ledgerkeep.errors import PolicyError

        if self.documents.replica_consistency is None:
            raise PolicyError(
                f"the policy of {self.policy.environment} does not say how its replica is compared",
                hint="add documents.replica_consistency to the policy",
            )
        return self.documents.replica_consistency

    @property
    def replication(self) -> ScheduledReplication:
        """The policy's section on copying.

        :raises PolicyError: it has none.
        """
        from ledgerkeep.errors import PolicyError

        if self.documents.replication is None:
            raise PolicyError(
                f"the policy of {self.policy.environment} does not copy to its replica",
                hint="add documents.replication to the policy",
            )
        return self.documents.replication

    @property
    def lag(self) -> timedelta:
        """How long a version may take to the replica."""
        from ledgerkeep.documents.replica.wanted import allowed_lag

        return allowed_lag(self.policy, self.documents, self.replica)

    def rules(self, now: datetime, lag: timedelta | None) -> Rules:
        """How the two are compared at a moment."""
        from ledgerkeep.documents.replica.wanted import rules_for

        return rules_for(self.documents, self.replica, self.pair, now=now, lag=lag)

    def counting(self, what: str) -> Step:
        """Progress into the task's log."""
        from ledgerkeep.progress import LoggedCount

        return LoggedCount(self.log.info, what=what)


class CutReplicaShardsOperator(DocumentReplicaOperator):
    """Cut the keys into ranges that are worked on side by side.

    Returns one piece of work per range, each with the moment at which the run began.

    :param scheduled: for the copying; else for the comparison
    """

    def __init__(self, *, scheduled: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scheduled = scheduled

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Cut."""
        from ledgerkeep.documents.replica.shards import cut, shards_at
        from ledgerkeep.model import utc_now

        began = utc_now().isoformat()
        with self.ending_well(context):
            if not self.scheduled and self.consistency.inventories:
                shards = shards_at([])
            else:
                section = self.replication if self.scheduled else self.consistency
                shards = cut(self.pair.source, self.documents.prefix, section.shards)
        self.log.info("%d shards", len(shards))
        return [{"began": began, **shard.to_plain()} for shard in shards]


class ReplicaShardOperator(DocumentReplicaOperator):
    """Work on one range of keys.

    :param shard: one of what `CutReplicaShardsOperator` returned (mapped)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "shard")

    def __init__(self, *, shard: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard

    def work(self) -> tuple[datetime, Shard]:
        """When the run began, and the range."""
        from datetime import datetime

        from ledgerkeep.documents.replica.shards import Shard

        plain = dict(self.shard)
        return datetime.fromisoformat(plain.pop("began")), Shard(**plain)


class CompareReplicaShardOperator(ReplicaShardOperator):
    """Compare one range of keys, and write down what differs.

    Returns the counts, a few examples, and the object with all differences.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare."""
        began, shard = self.work()
        with self.ending_well(context):
            checked, notes = self._checked(context, began, shard)
        tally = checked.tally
        self.log.info(
            "%s: %d versions, %d in the replica, %d the same, %d on their way; differences: %s",
            shard.words,
            tally.source_versions,
            tally.replica_versions,
            tally.same,
            tally.young,
            ", ".join(f"{kind} {count}" for kind, count in sorted(tally.counts.items())) or "none",
        )
        return {"began": began.isoformat(), "of": shard.of, "notes": notes, **checked.to_plain()}

    def _checked(
        self, context: Context, began: datetime, shard: Shard
    ) -> tuple[Checked, list[str]]:
        from ledgerkeep.catalog.keys import replica_differences
        from ledgerkeep.documents.replica.check import check_shard
        from ledgerkeep.documents.replica.inventory import check_inventories
        from ledgerkeep.documents.replica.wanted import bounds_of
        from ledgerkeep.hooks.connections import open_inventory
        from ledgerkeep.model import utc_now

        section = self.consistency
        common: dict[str, Any] = {
            "into": lambda: (
                self.catalog.store,
                replica_differences(self.policy.environment, began, shard.number, utc_now()),
            ),
            "seed": run_name(context),
            "step": self.counting(f"versions of {shard.words}"),
        }
        if section.inventories is None:
            rules = self.rules(began, self.lag)
            return check_shard(self.pair, shard, rules, bounds_of(section), **common), []
        places = section.inventories
        found = check_inventories(
            self.pair,
            (
                (open_inventory(self.policy, places.documents), places.documents.prefix),
                (open_inventory(self.policy, places.replica), places.replica.prefix),
            ),
            rules=lambda moment: self.rules(moment, self.lag),
            bounds=bounds_of(section),
            oldest=began - places.max_age,
            **common,
        )
        return found.checked, found.words(began)


class SumUpReplicaOperator(DocumentReplicaOperator):
    """Sum all shards up; runs also when some were not compared, and then fails.

    Returns the sums, where all differences lie, and how many of them a repair would put right.

    :param compared: what the shards' tasks returned (templated)
    :param repair: `True` proposes a repair (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "compared", "repair")

    def __init__(self, *, compared: Any, repair: str = "False", **kwargs: Any) -> None:
        super().__init__(trigger_rule=TriggerRule.ALL_DONE, **kwargs)
        self.compared = compared
        self.repair = repair

    def execute(self, context: Context) -> dict[str, Any]:
        """Sum up."""
        from ledgerkeep.documents.replica.check import Checked
        from ledgerkeep.documents.replica.summary import Summary

        shards = list(self.compared or [])
        summary = Summary.of(
            Checked.from_plain({"tally": one["tally"], "lines": one["lines"]}) for one in shards
        )
        notes = [note for one in shards for note in one["notes"]]
        self.contribute(
            context,
            measurements=summary.measurements(),
            findings=[
                *summary.findings(),
                *({"what": note, "severity": "info"} for note in notes),
            ],
            facts={"compared_by": summary.how()},
        )
        self._refuse_gaps(context, shards)
        manifest = ""
        with self.ending_well(context):
            if summary.tally.counts.get("missing"):
                manifest = self._manifest(summary, shards[0]["began"])
        return {**self._proposed(context, summary), "manifest": manifest}

    def _refuse_gaps(self, context: Context, shards: list[dict[str, Any]]) -> None:
        wanted = shards[0]["of"] if shards else 0
        if shards and len(shards) == wanted:
            return
        what = f"only {len(shards)} of {wanted or 'all'} shards were compared"
        self.contribute(context, findings=[{"what": what, "severity": "critical"}])
        raise AirflowFailException(f"{what}\nHint: the logs of the tasks that failed say why")

    def _manifest(self, summary: Summary, began: str) -> str:
        from datetime import datetime

        from ledgerkeep.catalog.keys import replica_missing
        from ledgerkeep.documents.replica.summary import write_manifest
        from ledgerkeep.model import utc_now

        store = self.catalog.store
        key = replica_missing(self.policy.environment, datetime.fromisoformat(began), utc_now())
        differences = summary.differences(store)
        stored = write_manifest(store, key, self.pair.source.name, differences)
        self.log.info("what is missing, for S3 Batch Operations: %s/%s", store.location, stored.key)
        return stored.key

    def _proposed(self, context: Context, summary: Summary) -> dict[str, Any]:
        task = context["ti"]
        wanted = self.repair == "True" and summary.tally.repairable > 0
        if wanted:
            task.xcom_push(key=PLAN_DIGEST, value=summary.digest())
            task.xcom_push(key=READABLE, value=summary.readable(*self.pair.names))
        to_repair = summary.tally.repairable if wanted else 0
        task.xcom_push(key=CHANGES, value=to_repair)
        return {
            CHANGES: to_repair,
            "tally": summary.tally.to_plain(),
            "lines": [stored.model_dump(mode="json") for stored in summary.lines],
        }


class RepairReplicaOperator(ApprovedOperator, DocumentReplicaOperator):
    """Append what is missing in the replica, and compare those keys again, if that was asked for.

    Returns what was done; nothing where nothing was asked for.

    :param found: what `SumUpReplicaOperator` returned (templated)
    """

    template_fields: Sequence[str] = (*ApprovedOperator.template_fields, "found")

    def __init__(self, *, found: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.found = found

    def execute(self, context: Context) -> dict[str, Any]:
        """Repair, and prove it."""
        from ledgerkeep.documents.replica.repair import Repairer, repairable_keys
        from ledgerkeep.model import utc_now

        if not self.found[CHANGES]:
            self.log.info("there is nothing to repair, or nobody asked for it")
            return {}
        summary = self._summary()
        with self.ending_well(context):
            self.refuse_unapproved(summary.digest(), "repair")
            section = self.consistency
            brought = Repairer(
                self.pair,
                self.rules(utc_now(), self.lag),
                read_bytes=section.read_mib * 1024 * 1024,
                other_account=self.replica.account_id is not None,
            ).bring_all(
                repairable_keys(summary.differences(self.catalog.store)),
                concurrency=section.concurrency,
                step=self.counting("keys"),
            )
        report_copied(self, context, brought)
        return brought.to_plain()

    def _summary(self) -> Summary:
        return _summary_of(self.found)


class JudgeReplicaOperator(DocumentReplicaOperator):
    """Succeed only if the replica is what it must be, after the repair if there was one.

    :param found: what `SumUpReplicaOperator` returned (templated)
    :param repaired: what `RepairReplicaOperator` returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "found", "repaired")

    def __init__(self, *, found: Any, repaired: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.found = found
        self.repaired = repaired

    def execute(self, context: Context) -> int:
        """Judge; returns how many differences are left, which is 0."""
        from ledgerkeep.documents.replica.summary import faults_left

        tally = _summary_of(self.found).tally
        left = faults_left(tally, self.repaired)
        if left:
            raise AirflowFailException(
                f"{self.pair.names[1]} is not what {self.pair.names[0]} is: {left:,} differences\n"
                "Hint: the evidence names them; run again with repair to copy what is missing"
            )
        return left


def _summary_of(found: dict[str, Any]) -> Summary:
    from ledgerkeep.documents.replica.differences import Tally
    from ledgerkeep.documents.replica.summary import Summary
    from ledgerkeep.storage.port import StoredObject

    lines = [StoredObject.model_validate(plain) for plain in found["lines"]]
    return Summary(Tally.from_plain(found["tally"]), lines)


def report_copied(task: LedgerkeepOperator, context: Context, brought: Any) -> None:
    """What was copied, and what could not be, as evidence."""
    examples = ", ".join(brought.examples)
    findings = []
    if brought.failed:
        findings.append(f"{brought.failed:,} keys could not be copied to the replica: {examples}")
    if brought.diverged:
        findings.append(
            f"{brought.diverged:,} keys were left alone, since their newest version exists in the "
            f"replica only: {examples}"
        )
    task.contribute(
        context,
        measurements={
            "keys_up_to_date": brought.keys,
            "versions_copied": brought.versions,
            "markers_copied": brought.markers,
            "copied_bytes": brought.bytes,
            "keys_diverged": brought.diverged,
            "keys_failed": brought.failed,
        },
        findings=[{"what": what, "severity": "critical"} for what in findings],
    )
