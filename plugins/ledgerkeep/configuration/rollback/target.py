"""Finding what services shall run, and planning to get there; nothing is touched.

A stored version holds what a service ran; its mark names the revision, which is used again if it
is still active. A revision that was retired can no longer be run, but still be read, and what it
holds is registered anew.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from ledgerkeep.configuration.items import Item, Marker, revealed
from ledgerkeep.configuration.recovery.plan import choose as choose_version
from ledgerkeep.configuration.recovery.plan import read_version
from ledgerkeep.configuration.rollback.plan import (
    RollbackPlan,
    Step,
    Target,
    marked,
    new_plan_id,
    step_of,
)
from ledgerkeep.configuration.rollback.request import RollbackRequest, choose, family_of
from ledgerkeep.configuration.sources.services import Services, revision_of
from ledgerkeep.configuration.sources.services.revisions import short
from ledgerkeep.configuration.versions import ConfigurationVersion, Values, Versions
from ledgerkeep.ecs import ServiceState
from ledgerkeep.errors import PreflightFailed, SourceChanged
from ledgerkeep.model import utc_now


def make_plan(
    services: Services,
    versions: Versions,
    marker: Marker,
    request: RollbackRequest,
    *,
    now: Callable[[], datetime] = utc_now,
) -> RollbackPlan:
    """Look at what runs and at what is asked for, and decide.

    :raises RecoveryError: there is no such service.
    :raises PreflightFailed: it cannot be rolled back to that.
    :raises VersionMissing, ForeignVersion, SealBroken, ObjectMissing, ObjectCorrupt:
    :raises AwsRefused, AwsUnavailable, StorageError:
    """
    live = services.live()
    chosen = choose(request.services, live)
    if not request.services and (family := family_of(request.revision)):
        chosen = [key for key in chosen if _family(live[key]) == family]
    states = {key: live[key] for key in chosen}
    _refuse_foreign_deployers(states)
    version = choose_version(versions, request.version) if request.version else None
    if version is None:
        targets = _of_revision(services, request.revision, states)
    else:
        targets = _of_version(services, versions, version, chosen)
    steps: list[Step] = []
    for key, state in states.items():
        running = services.revisions.read(state.task_definition).content
        if step := step_of(key, state, running, targets[key], marker):
            steps.append(step)
    to_do = {step.key for step in steps}
    made_at = now()
    return RollbackPlan(
        id=new_plan_id(made_at),
        made_at=made_at,
        request=request,
        version_id=version.id if version else "",
        steps=steps,
        same=[key for key in chosen if key not in to_do],
    )


def contents_of(
    services: Services, versions: Versions, marker: Marker, plan: RollbackPlan
) -> dict[str, Mapping[str, Any]]:
    """What each service of a plan shall run, with the values of its secrets.

    :raises SourceChanged: it is no longer what was planned.
    :raises VersionMissing, SealBroken, ObjectMissing, ObjectCorrupt:
    :raises AwsRefused, AwsUnavailable, StorageError:
    """
    found: dict[str, Mapping[str, Any]] = {}
    stored: tuple[dict[str, Item], Values] = ({}, {})
    if plan.version_id:
        stored = read_version(services, versions, versions.get(services.name, plan.version_id))
    for step in plan.steps:
        if plan.version_id:
            found[step.key] = _stored_content(step.key, *stored)
        else:
            found[step.key] = services.revisions.read(step.origin).content
        if marked(step.key, found[step.key], marker).digest() != step.content_sha256:
            raise SourceChanged(
                f"what {step.key} shall run is no longer what was planned",
                hint="tags of its task definition were changed; start the rollback again",
            )
    return found


def _of_version(
    services: Services, versions: Versions, version: ConfigurationVersion, chosen: Sequence[str]
) -> dict[str, Target]:
    items, values = read_version(services, versions, version)
    if missing := [key for key in chosen if key not in items]:
        raise PreflightFailed(
            f"version {version.id} has no service {', '.join(missing)}",
            hint="it was made later, or not exported then; choose other services, or another "
            "version",
        )
    found: dict[str, Target] = {}
    for key in chosen:
        content = _stored_content(key, items, values)
        ran = revision_of(items[key].mark)
        same = services.revisions.same_as(content, first=ran)
        found[key] = Target(content, same, version.id)
    return found


def _stored_content(key: str, items: Mapping[str, Item], values: Values) -> Mapping[str, Any]:
    service = revealed(items[key], values.get(key, {}))
    return cast(Mapping[str, Any], service["task_definition"])


def _of_revision(
    services: Services, asked: str, states: Mapping[str, ServiceState]
) -> dict[str, Target]:
    family = family_of(asked)
    found: dict[str, Target] = {}
    for key, state in states.items():
        own = _family(state)
        if family and family != own:
            raise PreflightFailed(
                f"{short(asked)} is of the family {family}, and {key} runs {own}",
                hint="choose the services that run it, or give only the number of the revision",
            )
        found[key] = _revision(services, asked if family else f"{own}:{asked}", own)
    if not found:
        raise PreflightFailed(
            f"no service runs the family {family}", hint="name the services, or another revision"
        )
    return found


def _revision(services: Services, name: str, family: str) -> Target:
    revisions = services.revisions
    found = revisions.find(name)
    if found is None:
        newest = ", ".join(short(arn) for arn in revisions.newest(family)[:3])
        raise PreflightFailed(
            f"there is no revision {short(name)}",
            hint=f"the newest active ones are {newest}" if newest else "its family has none",
        )
    active = found.arn if found.is_active else revisions.same_as(found.content)
    return Target(found.content, active, found.arn)


def _refuse_foreign_deployers(states: Mapping[str, ServiceState]) -> None:
    foreign = {key: one.controller for key, one in states.items() if one.controller != "ECS"}
    for key, controller in foreign.items():
        raise PreflightFailed(
            f"{key} is deployed by {controller}, and only that can roll it back",
            hint="roll it back there, and choose the other services here",
        )


def _family(state: ServiceState) -> str:
    return short(state.task_definition).partition(":")[0]
