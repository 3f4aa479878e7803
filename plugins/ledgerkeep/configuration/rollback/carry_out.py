"""Carrying a rollback out, looking how it goes, and going back.

Each may be done again: revisions that are the same are used again, a service that runs what it
shall is left alone, and which revisions were deployed is noted in the bucket before the first
service is touched. So going back knows what was done although whoever did it was killed, and
touches only services that run what this rollback gave them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.items import Marker
from ledgerkeep.configuration.recovery.plan import evidence_lock
from ledgerkeep.configuration.rollback.plan import RollbackPlan
from ledgerkeep.configuration.rollback.target import contents_of
from ledgerkeep.configuration.sources.services import Services
from ledgerkeep.configuration.sources.services.revisions import short
from ledgerkeep.configuration.versions import Versions
from ledgerkeep.ecs import ServiceState
from ledgerkeep.errors import SourceChanged

Deployed = dict[str, str]
"""`cluster/service` → ARN of the revision that it shall run."""
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Judgement:
    """How deployments go."""

    waiting: Mapping[str, str] = field(default_factory=dict)
    """Service → how far it is."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Service → why it will not come."""


def roll_back(
    services: Services, versions: Versions, marker: Marker, plan: RollbackPlan, *, tell: Tell
) -> Deployed:
    """Let every service of the plan run what it shall; returns before any is stable.

    :raises SourceChanged: a service runs neither what it ran when the plan was made, nor that.
    :raises SealBroken, ObjectMissing, ObjectCorrupt, VersionMissing, StorageError:
    :raises AwsRefused, AwsUnavailable:
    """
    contents = contents_of(services, versions, marker, plan)
    shall = {
        step.key: services.revisions.ensure(contents[step.key], first=step.after)
        for step in plan.steps
    }
    states = services.states(shall)
    for step in plan.steps:
        runs = states[step.key].task_definition if step.key in states else ""
        if runs not in (step.before, shall[step.key]):
            raise SourceChanged(
                f"{step.key} ran {short(step.before)} when the rollback was planned, and now "
                f"{f'runs {short(runs)}' if runs else 'is gone'}",
                hint="somebody else deploys it; find out who, then start the rollback again",
            )
    _note(versions, plan, shall)
    for key, revision in shall.items():
        if states[key].task_definition != revision:
            services.deploy(key, revision)
            tell(f"{key} shall run {short(revision)}")
    return shall


def go_back(
    services: Services, versions: Versions, plan: RollbackPlan, *, tell: Tell
) -> tuple[Deployed, list[str]]:
    """Let every service run again what it ran before, where it runs what this rollback gave it.

    :returns: what was set back, or was already; and what was left alone, in words.
    :raises ObjectMissing, ObjectCorrupt, StorageError, AwsRefused, AwsUnavailable:
    """
    noted = _noted(versions, plan)
    states = services.states(noted)
    back: Deployed = {}
    left: list[str] = []
    for step in plan.steps:
        if step.key not in noted:
            continue
        runs = states[step.key].task_definition if step.key in states else ""
        before = services.revisions.read(step.before)
        revision = (
            before.arn
            if before.is_active
            else services.revisions.ensure(before.content, first=step.before)
        )
        if runs not in (noted[step.key], step.before, revision):
            what = f"runs {short(runs)}, which somebody else deployed" if runs else "is gone"
            left.append(f"{step.key} {what}: it is left alone")
            continue
        if runs != revision:
            services.deploy(step.key, revision)
            tell(f"{step.key} shall run {short(revision)} again")
        back[step.key] = revision
    return back, left


def judge(states: Mapping[str, ServiceState], shall: Mapping[str, str]) -> Judgement:
    """How the deployments of these revisions go. Pure."""
    waiting: dict[str, str] = {}
    failed: dict[str, str] = {}
    for key, revision in shall.items():
        state = states.get(key)
        if state is None:
            failed[key] = "it is gone"
        elif state.task_definition != revision:
            # ECS rolls a failed deployment back by itself, where its circuit breaker is so set.
            failed[key] = f"it was set to {short(state.task_definition)} by ECS or somebody else"
        elif state.failed:
            failed[key] = state.describe()
        elif not state.is_stable:
            waiting[key] = state.describe()
    return Judgement(waiting, failed)


def _key(versions: Versions, plan: RollbackPlan) -> str:
    prefix = keys.configuration_rollback(versions.policy.environment, plan.id)
    return f"{prefix}deployed.json"


def _note(versions: Versions, plan: RollbackPlan, shall: Deployed) -> None:
    """Before the first service is touched; once more is the same note."""
    if _noted(versions, plan) == shall:
        return
    body = json.dumps(shall, sort_keys=True).encode()
    versions.store.put(_key(versions, plan), body, retention=evidence_lock(versions))


def _noted(versions: Versions, plan: RollbackPlan) -> Deployed:
    """What was about to be deployed; empty: nothing ever was."""
    key = _key(versions, plan)
    if versions.store.head(key) is None:
        return {}
    found: Deployed = json.loads(versions.store.get(key))
    return found
