"""A plan carried out: one change after the other, in the source's order, none of them twice.

First everything is looked at and nothing touched: the version is read whole and its secrets are
opened, what is live is read anew. Each change must find what it was planned for, or what is wanted
already; anything else is somebody's work since then, and the whole recovery is refused. Only what
this recovery itself had begun before a kill may be in between.

A change that fails does not stop the others: what depends on it is refused by the service itself,
and that is said. A service that does not answer stops everything, to be gone on with.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.back_up import Live, read_live
from ledgerkeep.configuration.items import Item, Marker, revealed
from ledgerkeep.configuration.recovery.decide import PlannedChange
from ledgerkeep.configuration.recovery.journal import Journal
from ledgerkeep.configuration.recovery.plan import (
    ConfigurationPlan,
    evidence_lock,
    read_version,
)
from ledgerkeep.configuration.source import Action, Change, Source
from ledgerkeep.configuration.versions import ConfigurationVersion, Values, Versions
from ledgerkeep.errors import (
    LedgerkeepError,
    RecoveryIncomplete,
    RecoveryInterrupted,
    SourceChanged,
)

_SHOWN = 5
_SHORTEST_SECRET = 4
"""Characters; what is shorter is found in any text."""


@dataclass
class CarriedOut:
    """What came of each change."""

    applied: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    """Found as they are wanted: an earlier attempt did them, or somebody."""
    failed: dict[str, str] = field(default_factory=dict)
    """Key → why."""
    interrupted: bool = False
    """The service stopped answering at the last of the failed ones."""
    untried: list[str] = field(default_factory=list)
    """What would have come after it."""


@dataclass(frozen=True)
class Stored:
    """A version, opened."""

    versions: Versions
    version: ConfigurationVersion
    values: Values = field(repr=False)

    def change(self, planned: PlannedChange, live: Live) -> Change:
        """A change as the source takes it, with the values of its secrets, in memory."""
        key = planned.key
        now = live.items.get(key)
        return Change(
            action=_action(planned, now),
            key=key,
            live=_open(now, live.values),
            wanted=_open(planned.after, self.values),
            attachment=(lambda: self.versions.attachment(self.version, key))
            if planned.after is not None and key in self.version.attachments
            else None,
        )


def carry_out(
    source: Source,
    versions: Versions,
    marker: Marker,
    plan: ConfigurationPlan,
    *,
    run: str,
    tell: Callable[[str], object] = lambda _: None,
) -> CarriedOut:
    """Do what the plan says, from where an earlier run of it was stopped.

    :param run: `dag_id/run_id`, for the journal.
    :raises SourceChanged: somebody has changed since what the plan would change.
    :raises ForeignVersion, ObjectMissing, ObjectCorrupt, SealBroken: see `make_plan`.
    :raises RecoveryInterrupted: the service stopped answering; the same call goes on later.
    :raises AwsRefused, ServiceRefused, StorageError: before anything is touched.
    """
    stored = _read(source, versions, plan)
    live = read_live(source.looking_for([one.key for one in plan.changes]), marker, {})
    recovery = keys.configuration_recovery(versions.policy.environment, plan.id)
    journal = Journal(versions.store, recovery, run, evidence_lock(versions))
    waiting = find_waiting(plan, live.items, journal.unfinished)
    already = [one.key for one in plan.changes if one not in waiting]
    journal.settle(already)
    done = _apply_all(source, stored, live, waiting, journal, tell)
    done.already = already
    if done.interrupted:
        raise RecoveryInterrupted(
            _words(done), hint="run it again: it goes on with what is missing"
        )
    return done


def find_waiting(
    plan: ConfigurationPlan, live: Mapping[str, Item], unfinished: frozenset[str] = frozenset()
) -> list[PlannedChange]:
    """The changes that are still to be carried out.

    :param unfinished: what this recovery itself has begun, and may have left half done.
    :raises SourceChanged: others are neither as planned nor as wanted.
    """
    waiting = [one for one in plan.changes if not same_content(live.get(one.key), one.after)]
    changed = [
        one.key
        for one in waiting
        if one.key not in unfinished and not same_content(live.get(one.key), one.before)
    ]
    if changed:
        raise SourceChanged(
            f"{len(changed)} of the {len(plan.changes)} things that the plan changes are not as "
            f"they were when it was made: {', '.join(changed[:_SHOWN])}",
            hint="nothing was changed; find out who has changed them, then start the recovery "
            "again for a plan of what is live now",
        )
    return waiting


def refuse_incomplete(done: CarriedOut) -> None:
    """Fail when some changes could not be applied.

    :raises RecoveryIncomplete:
    """
    if done.failed:
        raise RecoveryIncomplete(
            _words(done),
            hint="what was applied stays; remove the causes, then clear the task apply: it goes "
            "on with what is missing",
        )


def apply(source: Source, change: Change) -> LedgerkeepError | None:
    """Carry out one change; what went wrong, where something did."""
    try:
        source.apply(change)
    except LedgerkeepError as problem:
        return problem
    return None


def same_content(one: Item | None, other: Item | None) -> bool:
    """Whether two states of a thing are the same; None: it is not there."""
    if one is None or other is None:
        return one is other
    return one.content == other.content


def without_secrets(message: str, *values: Mapping[str, str]) -> str:
    """A service may repeat a value that it refuses; here it does not go any further."""
    every = {value for some in values for value in some.values()}
    for value in sorted(every, key=len, reverse=True):
        for text in (value, json.dumps(value)[1:-1]):
            if len(text) >= _SHORTEST_SECRET:
                message = message.replace(text, "***")
    return message


def _apply_all(
    source: Source,
    stored: Stored,
    live: Live,
    waiting: Sequence[PlannedChange],
    journal: Journal,
    tell: Callable[[str], object],
) -> CarriedOut:
    done = CarriedOut()
    for number, planned in enumerate(waiting, 1):
        change = stored.change(planned, live)
        journal.begin(planned.key)
        problem = apply(source, change)
        if problem is None:
            journal.end(planned.key, "applied")
            done.applied.append(planned.key)
            tell(f"{number} of {len(waiting)}: {planned.action} {planned.key}")
            continue
        secrets = (side.get(planned.key, {}) for side in (stored.values, live.values))
        because = without_secrets(problem.message, *secrets)
        journal.end(planned.key, "failed", because)
        done.failed[planned.key] = because
        tell(f"{number} of {len(waiting)}: {planned.action} {planned.key} failed: {because}")
        if problem.retryable:
            done.interrupted = True
            done.untried = [one.key for one in waiting[number:]]
            break
    journal.close()
    return done


def _read(source: Source, versions: Versions, plan: ConfigurationPlan) -> Stored:
    """The version, and all that the changes need of it, before anything is touched."""
    version = versions.get(plan.source, plan.version_id)
    items, values = read_version(source, versions, version)
    if any(not same_content(items.get(one.key), one.after) for one in plan.changes):
        raise SourceChanged(
            f"version {version.id} of {plan.source} is another than the plan was made for",
            hint="nothing was changed; find out who wrote to the bucket, and start again",
        )
    versions.read_attachments(version, [one.key for one in plan.changes if one.after is not None])
    return Stored(versions, version, values)


def _action(planned: PlannedChange, now: Item | None) -> Action:
    """What has to be done to it as it is now: a kill may have left it half done."""
    if planned.after is None:
        return "delete"
    return "create" if now is None else "update"


def _open(item: Item | None, values: Values) -> dict[str, object] | None:
    return None if item is None else dict(revealed(item, values.get(item.key, {})))


def _words(done: CarriedOut) -> str:
    total = len(done.applied) + len(done.already) + len(done.failed) + len(done.untried)
    told = [f"{key}: {because}" for key, because in list(done.failed.items())[:_SHOWN]]
    more = len(done.failed) - len(told)
    made = len(done.applied) + len(done.already)
    words = f"{made} of {total} changes are made, {len(done.failed)} failed"
    if done.untried:
        words += f", {len(done.untried)} were not begun"
    return f"{words}: {'; '.join(told)}" + (f" (and {more} more)" if more else "")
