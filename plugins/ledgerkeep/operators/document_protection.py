"""Operators of the protection check: the buckets' settings, their versions, and their repair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST
from ledgerkeep.operators.approved import ApprovedOperator
from ledgerkeep.operators.base import LedgerkeepOperator

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context

    from ledgerkeep.documents.protection.check import Checked, Side
    from ledgerkeep.documents.protection.judge import Said
    from ledgerkeep.documents.protection.lag import Lag
    from ledgerkeep.documents.protection.proposal import Change
    from ledgerkeep.documents.protection.store import Store
    from ledgerkeep.documents.protection.versions import Tally
    from ledgerkeep.policy.document_protection import DocumentProtection
    from ledgerkeep.policy.documents import Documents, Replica

READABLE = "readable_repair"
"""XCom key of the proposed changes in Markdown."""
OUTLINE = "outline"
OUTLINE_DIGEST = f"{{{{ ti.xcom_pull(task_ids='settings', key='{PLAN_DIGEST}') }}}}"
REPAIR_BODY = f"""\
{{{{ ti.xcom_pull(task_ids='settings', key='{READABLE}') }}}}

**Approve** only if you did not ask for it yourself: that would be refused.
"""
_SAID = {"info": "info", "warning": "warning", "critical": "error"}
_NAMED = 20
"""Lines that are named one by one in the evidence, of each kind."""


class DocumentProtectionOperator(LedgerkeepOperator):
    """What the parts share: the two buckets, and what the policy wants of them."""

    @cached_property
    def documents(self) -> Documents:
        """The policy's documents."""
        from ledgerkeep.hooks.connections import documents_of

        return documents_of(self.policy)

    @property
    def protection(self) -> DocumentProtection:
        """The policy's section.

        :raises PolicyError: it has none.
        """
        from ledgerkeep.errors import PolicyError

        if self.documents.protection is None:
            raise PolicyError(
                f"the policy of {self.policy.environment} does not say what protects its documents",
                hint="add documents.protection to the policy",
            )
        return self.documents.protection

    @cached_property
    def sides(self) -> list[Side]:
        """The documents' bucket, and its replica where there is one."""
        from ledgerkeep.documents.protection.check import Side
        from ledgerkeep.documents.protection.store import store_of
        from ledgerkeep.documents.protection.wanted import wanted_of_documents, wanted_of_replica
        from ledgerkeep.hooks.connections import open_policy_documents, open_policy_replica
        from ledgerkeep.worker import worker_settings

        documents, replica, protection = self.documents, self.documents.replica, self.protection
        settings, bucket = worker_settings(), open_policy_documents(self.policy)
        store = store_of(bucket)
        its_key = self._key_arn(replica, store) if replica else None
        wanted = wanted_of_documents(
            documents,
            protection,
            settings,
            key_arn=self._key_arn(documents, store),
            replica_key_arn=its_key,
        )
        sides = [Side(bucket, store, wanted)]
        if replica is not None:
            bucket = open_policy_replica(self.policy)
            wanted = wanted_of_replica(documents, replica, protection, settings, key_arn=its_key)
            sides.append(Side(bucket, store_of(bucket), wanted))
        return sides

    def _key_arn(self, section: Documents | Replica, store: Store) -> str | None:
        from ledgerkeep.documents.protection.kms import key_arn
        from ledgerkeep.hooks.connections import open_client

        key = section.encryption.key_id
        if key is None or not store.tells_replication:
            return None
        return key_arn(open_client("kms", section.connection_id, section.region), key)


class CheckDocumentSettingsOperator(DocumentProtectionOperator):
    """Hold the settings of both buckets against the policy, one line per property.

    Critical drift fails the task, unless a repair was asked for and would change something.
    Returns the drift in words, how many properties are as they should be, and the outline of what
    a repair would set.

    :param repair: `True`: say what a repair would set, and leave the verdict to it (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "repair")

    def __init__(self, *, repair: Any = "False", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.repair = repair

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare."""
        from ledgerkeep.documents.protection.check import check_settings, outline, readable

        with self.ending_well(context):
            checked = check_settings(self.sides)
        say_lines(self, context, checked)
        wanted = str(self.repair) == "True"
        changes = outline(checked.proposal) if wanted else None
        if changes is not None:
            self._show(checked)
            task = context["ti"]
            task.xcom_push(key=READABLE, value=readable(checked))
            task.xcom_push(key=PLAN_DIGEST, value=changes.digest())
        to_repair = len(changes.changes) if changes else 0
        context["ti"].xcom_push(key=CHANGES, value=to_repair)
        if checked.grave and not to_repair:
            raise AirflowFailException(words_of_grave(checked))
        return {
            **checked.counts,
            "drifted": [line.words for line in checked.lines if line.verdict == "drift"][:_NAMED],
            CHANGES: to_repair,
            OUTLINE: changes.model_dump(mode="json") if changes else None,
        }

    def _show(self, checked: Checked) -> None:
        for change in checked.proposal.changes:
            self.log.info("a repair would set %s", change.words)
        for words in checked.proposal.left:
            self.log.warning("a repair would leave %s", words)


class RepairDocumentSettingsOperator(ApprovedOperator, DocumentProtectionOperator):
    """Set what was approved, one property after the other; then judge what is left.

    Returns how many properties were set. Nothing is done where the check was not asked to repair.

    :param checked: what `CheckDocumentSettingsOperator` returned (templated)
    """

    template_fields: Sequence[str] = (*ApprovedOperator.template_fields, "checked")

    def __init__(self, *, checked: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.checked = checked

    def execute(self, context: Context) -> dict[str, int]:
        """Repair."""
        from ledgerkeep.documents.protection.check import (
            Outline,
            approved_changes,
            check_settings,
        )
        from ledgerkeep.documents.protection.repair import apply_changes

        if not self.checked[CHANGES]:
            return {"repaired": 0}
        approved = Outline.model_validate(self.checked[OUTLINE])
        with self.ending_well(context):
            self.refuse_unapproved(approved.digest(), "repair")
            changes = approved_changes(check_settings(self.sides).proposal, approved)
            sides = {side.bucket.name: side for side in self.sides}
            done = apply_changes(changes, sides, lambda change: self._say(context, change))
            left = check_settings(self.sides)
        if left.grave:
            say_lines(self, context, left)
            raise AirflowFailException(words_of_grave(left))
        return {"repaired": len(done)}

    def _say(self, context: Context, change: Change) -> None:
        what = f"s3://{change.bucket}: {change.setting} was set as the policy wants it"
        self.log.info("%s: %s", what, change.words)
        self.contribute(context, findings=[{"what": what, "severity": "info"}])


class CheckDocumentVersionsOperator(DocumentProtectionOperator):
    """Count and price every version, and see how far the replica is behind.

    A lag beyond the policy's fails the task. Returns the figures.
    """

    def execute(self, context: Context) -> dict[str, float]:
        """Count, price, look."""
        from ledgerkeep.documents.protection.judge import judge_tally
        from ledgerkeep.model import utc_now

        with self.ending_well(context):
            tally = self._tally(utc_now())
            figures = _figures(tally)
            self._say(context, judge_tally(self.documents.bucket, tally), figures)
            if self.documents.replica is None:
                return figures
            said, lag = self._lag(tally)
        self._say(context, said, lag)
        return {**figures, **lag}

    def _tally(self, now: datetime) -> Tally:
        from ledgerkeep.documents.protection.metrics import read_daily_figures
        from ledgerkeep.documents.protection.versions import counted_by_the_store, tally_versions
        from ledgerkeep.storage.versions import list_versions

        costs, side = self.protection.costs, self.sides[0]
        if costs is None or costs.counted == "listing" or not side.store.tells_replication:
            versions = list_versions(side.bucket, self.documents.prefix)
            return tally_versions(versions, self.protection, now=now, progress=self.progress())
        found = read_daily_figures(self._cloudwatch(self.documents), self.documents.bucket, now)
        return counted_by_the_store(found.sizes if found else {}, costs.prices)

    def _lag(self, tally: Tally) -> tuple[list[Said], dict[str, float]]:
        """What the sample of the newest versions tells, and CloudWatch where it counts."""
        from ledgerkeep.documents.protection.judge import allowed_lag, judge_lag

        replica = self.sides[1].bucket.name
        said, figures = self._lag_by_metrics()
        if tally.newest:
            lag = self._sampled(tally)
            allowed = allowed_lag(self.documents, self.policy.alerts.replication_lag)
            said += judge_lag(replica, lag, allowed)
            figures |= {
                "replication_lag_seconds": lag.seconds,
                "versions_not_replicated": len(lag.lacking) + len(lag.failed),
            }
        return said, figures

    def _sampled(self, tally: Tally) -> Lag:
        from ledgerkeep.documents.protection.lag import lag_of, look_for_copies
        from ledgerkeep.documents.replica.rules import Rules
        from ledgerkeep.model import utc_now

        source, replica = self.sides
        rules = Rules(
            by_id=self._is_continuous,
            plain_etags="aws:kms" not in {one.wanted.encryption.mode for one in self.sides},
            young_from=utc_now(),
        )
        told = source.store.tells_replication and self._is_continuous
        sightings = look_for_copies(
            source.bucket, replica.bucket, tally.newest, rules=rules, told=told
        )
        return lag_of(sightings, now=utc_now())

    @property
    def _is_continuous(self) -> bool:
        replica = self.documents.replica
        return replica is not None and replica.replication == "continuous"

    def _lag_by_metrics(self) -> tuple[list[Said], dict[str, float]]:
        from ledgerkeep.documents.protection.judge import judge_figures
        from ledgerkeep.documents.protection.metrics import read_replication_figures
        from ledgerkeep.documents.protection.replication import rule_to
        from ledgerkeep.documents.protection.settings import read_property
        from ledgerkeep.model import utc_now

        source, replica = self.sides[0], self.documents.replica
        asked = self.protection.replication
        if replica is None or asked is None or not asked.metrics:
            return [], {}
        value = read_property(source.bucket, source.store, "replication")
        rules = value.get("Rules", []) if isinstance(value, dict) else []
        rule = rule_to(replica, rules, self.documents.prefix)
        if rule is None:
            return [], {}
        found = None
        for section in (self.documents, replica):
            # Which of the two regions has them is the store's affair.
            found = found or read_replication_figures(
                self._cloudwatch(section),
                self.documents.bucket,
                replica.bucket,
                rule.get("ID", ""),
                utc_now(),
            )
        said = list(judge_figures(replica.bucket, found, self.policy.alerts.replication_lag))
        if found is None:
            return said, {}
        figures = {
            "replication_latency_seconds": found.latency_seconds,
            "replication_pending_bytes": found.pending_bytes,
            "replication_pending_operations": found.pending_operations,
        }
        return said, {name: value for name, value in figures.items() if value is not None}

    def _cloudwatch(self, section: Documents | Replica) -> Any:
        from ledgerkeep.hooks.connections import open_client

        return open_client("cloudwatch", section.connection_id, section.region)

    def _say(self, context: Context, said: Iterable[Said], figures: dict[str, float]) -> None:
        told = list(said)
        for severity, what in told:
            getattr(self.log, _SAID[severity])("%s", what)
        findings = [{"what": what, "severity": severity} for severity, what in told]
        self.contribute(context, measurements=figures, findings=findings)
        grave = [what for severity, what in told if severity == "critical"]
        if grave:
            listed = "\n".join(f"- {what}" for what in grave)
            raise AirflowFailException(
                f"the replica does not hold what it should:\n{listed}\n"
                "Hint: look at the replication of the buckets; the check of the replica's "
                "consistency names every version that is missing, and can copy it"
            )


def say_lines(operator: LedgerkeepOperator, context: Context, checked: Checked) -> None:
    """Every line into the log; what is not fulfilled into the evidence."""
    for line in checked.lines:
        # What is fulfilled too: a check that says nothing looks like one that saw nothing.
        level = "info" if line.verdict == "fulfilled" else _SAID[line.severity]
        # Words of what is not applicable say so themselves.
        verdict = "" if line.verdict == "not applicable" else f"{line.verdict}: "
        getattr(operator.log, level)("%s%s", verdict, line.words)
    unfulfilled = [line for line in checked.lines if line.verdict != "fulfilled"]
    findings = []
    for severity in ("critical", "warning", "info"):
        about = [line for line in unfulfilled if line.severity == severity]
        findings += [{"what": line.words, "severity": severity} for line in about[:_NAMED]]
        if len(about) > _NAMED:
            more = f"and {len(about) - _NAMED} more properties, which the log names"
            findings.append({"what": more, "severity": severity})
    counts = {
        f"properties_{verdict.replace(' ', '_')}": count
        for verdict, count in checked.counts.items()
    }
    operator.contribute(context, findings=findings, measurements=counts)


def words_of_grave(checked: Checked) -> str:
    """The error of a check that found critical drift."""
    listed = "\n".join(f"- {line.words}" for line in checked.grave)
    return (
        f"the documents are not protected as the policy wants it:\n{listed}\n"
        "Hint: start the check with repair to see what would put it right, or correct the policy"
    )


def _figures(tally: Tally) -> dict[str, float]:
    from ledgerkeep.documents.protection.judge import best_saving

    counts = tally.counts
    figures: dict[str, float] = {
        "current_versions": sum(count.versions for count in tally.current.values()),
        "old_versions": sum(count.versions for count in tally.old.values()),
        "delete_markers": tally.delete_markers,
        "stored_bytes": sum(count.size for _, _, count in counts),
    }
    if not tally.usd:
        return figures
    saving = best_saving(tally.present, tally.alternatives)
    return {**figures, "storage_usd_per_month": tally.usd, "possible_saving_usd_per_month": saving}
