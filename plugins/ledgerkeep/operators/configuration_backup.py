"""The operators of the configuration backup: choose sources, export each, retain, settle.

A run that an event started exports the sources that the event concerns, and reads only what has
changed; any other run exports what it was asked for, all by default. What the event told waits in
the queue until it is settled here, after the exports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

from ledgerkeep.operators.base import LedgerkeepOperator, run_name
from ledgerkeep.triggers.configuration_changes import WAITING

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.configuration.access import Access
    from ledgerkeep.configuration.back_up import Asked, BackedUp
    from ledgerkeep.configuration.changes import Waiting
    from ledgerkeep.configuration.items import Marker
    from ledgerkeep.configuration.versions import Versions

_LINES = 200
"""Of what has changed, in the log."""
_NAMED = 100
"""Findings of one kind in the evidence."""


def export_task(source: str) -> str:
    """Id of the task that exports a source."""
    return f"export_{source}"


class ConfigurationOperator(LedgerkeepOperator):
    """Base: the sources of a policy, and their versions."""

    @cached_property
    def access(self) -> Access:
        """What sources reach, by Airflow's connections."""
        from ledgerkeep.hooks.connections import source_access

        return source_access()

    @cached_property
    def versions(self) -> Versions:
        """The stored versions, with the key that seals their secrets."""
        from ledgerkeep.configuration.registry import configuration_of
        from ledgerkeep.configuration.sealing import Sealer
        from ledgerkeep.configuration.versions import Versions

        section = configuration_of(self.policy)
        kms = self.access.client("kms", section.connection_id, section.region)
        return Versions(self.catalog.store, self.policy, Sealer(section.sealing_key, kms))

    @cached_property
    def marker(self) -> Marker:
        """Puts marks in the place of secrets."""
        from ledgerkeep.configuration.hash_key import hash_key
        from ledgerkeep.configuration.items import Marker

        return Marker(hash_key(self.versions.store, self.policy, self.versions.sealer))

    def waiting(self, context: Context) -> list[Waiting]:
        """The messages that started the run; none where it was something else."""
        from ledgerkeep.configuration.changes import Waiting

        told = context.get("triggering_asset_events") or {}
        payloads = [event.extra.get("payload") for events in told.values() for event in events]
        plain = [one for payload in payloads if payload for one in payload.get(WAITING, [])]
        # What came twice, because a run took longer than redeliver_after, counts once.
        found = {one["receipt"]: Waiting.model_validate(one) for one in plain}
        return list(found.values())


class ChooseSourcesOperator(ConfigurationOperator):
    """Choose what is exported: what an event told of, what a person asked for, or everything.

    Returns for each source when it changed, if that is known, and whether to read all of it anew.

    :param sources: names, separated by commas; empty: all (templated)
    :param reread: `True` reads also what is known to be unchanged (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "sources", "reread")

    def __init__(self, *, sources: str = "", reread: str = "False", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sources = sources
        self.reread = reread

    def execute(self, context: Context) -> dict[str, dict[str, Any]]:
        """Choose."""
        from ledgerkeep.configuration.registry import source_names

        with self.ending_well(context):
            chosen = self._chosen(context)
        known = source_names(self.policy)
        self.log.info("exporting %s", ", ".join(chosen) or "nothing")
        left = [export_task(name) for name in known if name not in chosen]
        self.contribute(context, passed_over=left, facts={"sources": ", ".join(chosen)})
        return chosen

    def _chosen(self, context: Context) -> dict[str, dict[str, Any]]:
        from ledgerkeep.configuration.events import concerns
        from ledgerkeep.configuration.registry import settings_of, source_names

        waiting = self.waiting(context)
        notices = [notice for one in waiting for notice in one.notices]
        for notice in notices[:_LINES]:
            at = f" at {notice.changed_at:%Y-%m-%d %H:%M:%S}Z" if notice.changed_at else ""
            self.log.info("%s%s concerns %s", notice.what, at, ", ".join(notice.sources) or "none")
        if waiting:
            known = source_names(self.policy)
            found = {name: one for name, one in concerns(notices).items() if name in known}
            return {name: _choice(one.changed_at, one.reread) for name, one in found.items()}
        # A scheduled run is the net below events and marks.
        reread = self.reread == "True" or context["dag_run"].run_type == "scheduled"
        asked = [name.strip() for name in self.sources.split(",") if name.strip()]
        for name in asked:
            settings_of(name, self.policy)
        return {name: _choice(None, reread) for name in asked or source_names(self.policy)}


class ExportConfigurationOperator(ConfigurationOperator):
    """Export one source: a new version if it has changed. Skipped where it was not chosen.

    Returns the id of the version that says what is live, and whether it is new.

    :param source: its name in the policy
    :param chosen: what `ChooseSourcesOperator` returned (templated)
    :param major: why it is a major version; empty: it is none (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "chosen", "major")

    def __init__(self, *, source: str, chosen: Any, major: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.chosen = chosen
        self.major = major

    def execute(self, context: Context) -> dict[str, Any]:
        """Export."""
        from ledgerkeep.configuration.back_up import back_up
        from ledgerkeep.configuration.registry import open_source
        from ledgerkeep.model import utc_now

        if self.source not in self.chosen:
            raise AirflowSkipException(f"{self.source} was not asked for")
        began = utc_now()
        with self.ending_well(context):
            source = open_source(self.source, self.access, self.policy)
            done = back_up(source, self.versions, self.marker, self._asked(context))
        self._tell(context, done, began)
        return {"version": done.version.id, "is_new": done.is_new}

    def _asked(self, context: Context) -> Asked:
        from ledgerkeep.configuration.back_up import Asked

        choice = self.chosen[self.source]
        changed_at = choice["changed_at"]
        return Asked(
            run=run_name(context),
            major=self.major,
            changed_at=datetime.fromisoformat(changed_at) if changed_at else None,
            reread=choice["reread"],
        )

    def _tell(self, context: Context, done: BackedUp, began: datetime) -> None:
        from ledgerkeep.configuration.summary import changed_lines, summary
        from ledgerkeep.model import utc_now

        now, words = utc_now(), summary(done)
        self.log.info("%s", words)
        # Of a first version everything is new, and nothing would be learnt.
        changes = done.changes if done.version.previous_id else []
        for line in changed_lines(changes, most=_LINES):
            self.log.info("%s", line)
        for finding in done.findings:
            self.log.warning("%s: %s", self.source, finding)
        figures: dict[str, float] = {
            "items": done.items,
            "read_items": done.read_items,
            "seconds": (now - began).total_seconds(),
        }
        if done.is_new and done.version.changed_at is not None:
            figures["stored_after_seconds"] = (now - done.version.changed_at).total_seconds()
        self.contribute(
            context,
            recovery_point_ids=[f"{self.source}/{done.version.id}"],
            measurements={f"{self.source}_{name}": value for name, value in figures.items()},
            facts={self.source: words},
            findings=_findings([f"{self.source}: {one}" for one in done.findings], "warning"),
        )


class RetainConfigurationOperator(ConfigurationOperator):
    """Show which versions of the sources go, and let them go; runs also if an export failed.

    Returns how many are gone, and how many wait under Object Lock.

    :param chosen: what `ChooseSourcesOperator` returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "chosen")

    def __init__(self, *, chosen: Any, **kwargs: Any) -> None:
        super().__init__(trigger_rule=TriggerRule.ALL_DONE, **kwargs)
        self.chosen = chosen

    def execute(self, context: Context) -> dict[str, int]:
        """Plan, show, remove."""
        from ledgerkeep.configuration.removal import plan_source, remove_versions
        from ledgerkeep.configuration.retention import describe_decisions
        from ledgerkeep.model import utc_now

        now, counts, lines = utc_now(), dict.fromkeys(_COUNTED, 0), []
        for source in self.chosen or {}:
            with self.ending_well(context):
                decisions = plan_source(self.versions, source, now=now)
                for line in describe_decisions(source, decisions):
                    self.log.info("%s", line)
                done = remove_versions(self.versions, source, decisions, now=now)
            gone = [f"{source}/{one.version.id} removed: {one.because}" for one in done.removed]
            lines += [*gone, *(one.words for one in done.locked)]
            counts["versions_kept"] += len(decisions) - len(done.removed)
            counts["versions_removed"] += len(done.removed)
            counts["versions_locked"] += len(done.locked)
            counts["attachments_removed"] += done.attachments
            counts["objects_left_behind_removed"] += done.left_behind
        for line in lines:
            self.log.info("%s", line)
        self.contribute(context, measurements=counts, findings=_findings(lines, "info"))
        return {"removed": counts["versions_removed"], "locked": counts["versions_locked"]}


class SettleChangesOperator(ConfigurationOperator):
    """Delete from the queue what this run has stored; what it has not is told again.

    Returns how many messages were deleted, and how many stay.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trigger_rule=TriggerRule.ALL_DONE, **kwargs)

    def execute(self, context: Context) -> dict[str, int]:
        """Settle."""
        from ledgerkeep.configuration.changes import open_queue

        waiting = self.waiting(context)
        if not waiting:
            return {"settled": 0, "left": 0}
        stored = self._exported(context)
        done = [one.receipt for one in waiting if one.sources <= stored]
        with self.ending_well(context):
            settled = open_queue(self.access, self.policy).settle(done)
        left = len(waiting) - settled
        self.contribute(context, measurements={"changes_settled": settled, "changes_left": left})
        if left:
            self.log.warning("%d changes are told again later, since they were not stored", left)
        return {"settled": settled, "left": left}

    def _exported(self, context: Context) -> set[str]:
        """Sources that are exported well, and those that the policy names no more."""
        from ledgerkeep.policy.configuration_sources import Sources

        run = context["dag_run"]
        states = context["ti"].get_task_states(dag_id=run.dag_id, run_ids=[run.run_id])
        found = states[run.run_id]
        good = {name for name in Sources.model_fields if found.get(export_task(name)) == "success"}
        return good | {name for name in Sources.model_fields if export_task(name) not in found}


_COUNTED = (
    "versions_kept",
    "versions_removed",
    "versions_locked",
    "attachments_removed",
    "objects_left_behind_removed",
)


def _choice(changed_at: datetime | None, reread: bool) -> dict[str, Any]:
    return {"changed_at": changed_at.isoformat() if changed_at else None, "reread": reread}


def _findings(lines: Iterable[str], severity: str) -> list[dict[str, str]]:
    """The first of them; the log has all."""
    told = list(lines)
    found = [{"what": line, "severity": severity} for line in told[:_NAMED]]
    if len(told) > _NAMED:
        more = f"and {len(told) - _NAMED} more, which the log names"
        found.append({"what": more, "severity": severity})
    return found
