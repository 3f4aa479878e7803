"""A run's evidence record, put together from what its tasks contributed.

A task knows only its own part: it contributes plain JSON (`Contribution`), and the run's last
task puts the parts together. A field nobody knows is refused, so a figure cannot get lost by a
misspelt name.
"""

import contextlib
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import ValidationError

import ledgerkeep
from ledgerkeep.errors import EvidenceError
from ledgerkeep.evidence.criteria import Criterion, all_four, within_objectives
from ledgerkeep.evidence.records import (
    EvidenceRecord,
    Finding,
    NotTaken,
    Outcome,
    RunKind,
    Severity,
    Target,
)
from ledgerkeep.model import Record, utc_now
from ledgerkeep.policy.model import Objectives, Policy


class ContributedFinding(Record):
    """A finding as a task reports it; without an owner it is the policy owner's."""

    what: str
    severity: Severity
    owner: str | None = None


class Contribution(Record):
    """What one task adds to its run's evidence."""

    recovery_point_ids: list[str] = []
    measurements: dict[str, float] = {}
    findings: list[ContributedFinding] = []
    scenario: str = ""
    objective: str | None = None
    """The policy's objective the run is measured against, e.g. `database_failure`."""
    criteria: list[Criterion] = []
    facts: dict[str, str] = {}
    not_taken: NotTaken | None = None
    passed_over: list[str] = []
    """Ids of tasks that are rightly skipped in this run."""
    versions: dict[str, str] = {}


def collect_record(
    *,
    policy: Policy,
    dag_id: str,
    run_id: str,
    kind: RunKind,
    outcome: Outcome,
    started_at: datetime,
    triggered_by: str,
    tasks: Mapping[str, str],
    contributions: Sequence[Mapping[str, Any]],
) -> EvidenceRecord:
    """One record of a run that ends now.

    :param contributions: plain JSON of `Contribution`, in the order of the tasks.
    :raises EvidenceError: when a contribution has a field that is unknown or of the wrong kind.
    """
    parts = [_contribution(one) for one in contributions]
    findings = [finding for part in parts for finding in part.findings]
    objective = next((part.objective for part in parts if part.objective), None)
    measurements = _merged([part.measurements for part in parts])
    target = _target(policy, objective) if objective else None
    return EvidenceRecord(
        environment=policy.environment,
        dag_id=dag_id,
        run_id=run_id,
        kind=kind,
        outcome=outcome,
        started_at=started_at,
        ended_at=utc_now(),
        triggered_by=triggered_by,
        tasks=dict(tasks),
        recovery_point_ids=list(
            dict.fromkeys(name for part in parts for name in part.recovery_point_ids)
        ),
        measurements=measurements,
        scenario=" ".join(part.scenario for part in parts if part.scenario),
        target=target,
        criteria=_criteria(kind, parts, measurements, target),
        facts=_merged([part.facts for part in parts]),
        findings=[
            Finding(
                what=finding.what, severity=finding.severity, owner=finding.owner or policy.owner
            )
            for finding in findings
        ],
        not_taken=next((part.not_taken for part in parts if part.not_taken), None),
        versions={**_programs(), **_merged([part.versions for part in parts])},
    )


def _contribution(plain: Mapping[str, Any]) -> Contribution:
    try:
        return Contribution.model_validate(plain)
    except ValidationError as problem:
        fields = ", ".join(".".join(map(str, error["loc"])) for error in problem.errors())
        raise EvidenceError(
            f"a task contributed evidence that does not fit: {fields}",
            hint=f"a contribution has these fields: {', '.join(Contribution.model_fields)}",
        ) from problem


def _target(policy: Policy, objective: str) -> Target:
    if objective not in Objectives.model_fields:
        raise EvidenceError(
            f"a task measured against the objective {objective!r}, which no policy has",
            hint=f"the objectives are {', '.join(Objectives.model_fields)}",
        )
    wanted = getattr(policy.objectives, objective)
    return Target(
        name=objective,
        rto_seconds=wanted.rto.total_seconds(),
        rpo_seconds=None if wanted.rpo is None else wanted.rpo.total_seconds(),
    )


def _criteria(
    kind: RunKind,
    parts: Sequence[Contribution],
    measurements: Mapping[str, float],
    target: Target | None,
) -> list[Criterion]:
    if kind not in ("recovery", "restore-test"):
        return []
    in_time = (
        within_objectives(measurements, target.rto_seconds, target.rpo_seconds) if target else None
    )
    return all_four([criterion for part in parts for criterion in part.criteria], in_time)


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def _programs() -> dict[str, str]:
    """Versions of what ran; Airflow's is asked of its package, without importing it."""
    found = {"python": platform.python_version(), "ledgerkeep": ledgerkeep.__version__}
    with contextlib.suppress(PackageNotFoundError):
        found["airflow"] = version("apache-airflow-core")
    return found
