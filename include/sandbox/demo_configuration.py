"""The configuration family, from nothing, through a real scheduler.

The account of production is exported, every source of the policy. A parameter is changed, as
anybody may; nobody starts anything, and seconds later its new version is stored. Then somebody
changes by hand what nobody should: a policy, a security group, a parameter, a secret. Four
recoveries at once compare what is live with the last good versions and name each change; a second
person approves them over the REST API, and they are put back. Last, everything that was touched is
read anew and compared with those versions: there is nothing to store.

Every figure of the table at the end comes from the evidence that the runs left.
"""

from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from include.sandbox.lender.drift import DRIFT
from include.sandbox.sandbox import Sandbox
from include.sandbox.stage import Stage, perform
from ledgerkeep.cli.airflow_api import DagRun
from ledgerkeep.configuration.registry import configuration_of, source_names
from ledgerkeep.errors import ProofMismatch
from ledgerkeep.evidence.records import EvidenceRecord

BACKUP = "configuration_backup"
RECOVERY = "configuration_recovery"
NEEDS = [BACKUP, RECOVERY]

_SETTING = "LOG_LEVEL"


@dataclass(frozen=True)
class Recovered:
    """What one recovery did."""

    source: str
    version: str
    named: list[str]
    """The difference, line by line."""
    evidence: EvidenceRecord


def run(ours: Sandbox, *, size_mb: int, keep: bool) -> int:
    """Run the demo; returns the exit status."""
    return perform(ours, _family, size_mb=size_mb, keep=keep, needs=NEEDS)


def _family(stage: Stage) -> None:
    # Everything that production is set to, and then one change that is stored by itself.
    first = stage.run(BACKUP, {"major": "the demo's first export"})
    told, seconds = _change_a_setting(stage)

    # What nobody should do, and what is good.
    versions = {name: _version(stage, first, told, name) for name in DRIFT}
    for change in DRIFT.values():
        words = change(stage.account, configuration_of(stage.policy).sources)
        stage.console.print(f"[red]by hand:[/] {words}")

    # Compared, named, approved, put back, read back.
    recovered = _recover(stage, versions)

    # Is everything as it was?
    after = stage.run(BACKUP, {"sources": list(DRIFT), "reread": True})
    for name in DRIFT:
        found = stage.api.returned(after, f"export_{name}")
        if found["is_new"]:
            raise ProofMismatch(f"{name} is not what version {versions[name]} holds")
    stage.console.print(_table(stage, first, told, seconds, recovered, after))


def _change_a_setting(stage: Stage) -> tuple[DagRun, float]:
    """Change a parameter; returns the run that this started, and the seconds until its end."""
    parameters = configuration_of(stage.policy).sources.parameters
    assert parameters is not None
    name, ssm = f"{parameters.paths[0]}{_SETTING}", stage.account.client("ssm")
    now = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    other = "DEBUG" if now == "INFO" else "INFO"
    stage.console.print(f"the parameter {name} is set to {other}; nobody starts a run")
    return stage.wait_for_run(
        BACKUP, lambda: ssm.put_parameter(Name=name, Value=other, Overwrite=True)
    )


def _version(stage: Stage, first: DagRun, told: DagRun, name: str) -> str:
    """The last good version of a source: of the run that the change started, or of the first."""
    found = stage.api.returned(told, f"export_{name}") or stage.api.returned(
        first, f"export_{name}"
    )
    version: str = found["version"]
    return version


def _recover(stage: Stage, versions: dict[str, str]) -> list[Recovered]:
    forms = [
        {
            "source": name,
            "version": version,
            "scenario": "security_incident",
            "reason": "a demo: somebody changed by hand what nobody should",
        }
        for name, version in versions.items()
    ]
    with stage.approving() as approve:
        runs = stage.run_side_by_side(RECOVERY, forms, meanwhile=approve)
    return [
        Recovered(name, versions[name], _difference(stage, run), stage.evidence(run))
        for name, run in zip(versions, runs, strict=True)
    ]


def _difference(stage: Stage, recovery: DagRun) -> list[str]:
    """What the plan says differs, as whoever approved it saw it."""
    key = stage.api.returned(recovery, "plan")["readable"]["key"]
    lines = stage.store.get(key).decode().splitlines()
    begin = next(at for at, line in enumerate(lines) if line.endswith("diff"))
    end = lines.index(lines[begin].removesuffix("diff"), begin)
    return lines[begin + 1 : end]


def _table(
    stage: Stage,
    first: DagRun,
    told: DagRun,
    seconds: float,
    recovered: list[Recovered],
    after: DagRun,
) -> Table:
    table = Table(show_header=False)
    names = source_names(stage.policy)
    everything = stage.evidence(first).measurements
    items = sum(everything[f"{name}_items"] for name in names)
    table.add_row("the first export", f"{items:,.0f} items of {len(names)} sources")
    stored = stage.evidence(told).measurements["parameters_stored_after_seconds"]
    table.add_row(
        "a change told by an event",
        f"a version {stored:.0f} s after the call, the run ended after {seconds:.0f} s",
    )
    for one in recovered:
        table.add_row(one.source, _recovery(one))
    unchanged = [stage.api.returned(after, f"export_{name}") for name in DRIFT]
    table.add_row(
        "afterwards",
        f"{sum(not found['is_new'] for found in unchanged)} of {len(DRIFT)} sources read anew are "
        "what their versions hold: nothing to store",
    )
    table.add_row("Airflow", f"{stage.url} (user admin)")
    return table


def _recovery(one: Recovered) -> str:
    figures, record = one.evidence.measurements, one.evidence
    target = record.target
    allowed = f" of {target.rto_seconds:,.0f} s allowed" if target else ""
    return "\n".join(
        [
            *map(escape, one.named),
            f"back to {one.version}: {figures['planned_changes']:.0f} named, "
            f"{figures['changes_applied']:.0f} applied, {figures['changes_verified']:.0f} read "
            f"back, in {figures['rto_seconds']:.0f} s{allowed}, approved by "
            f"{record.facts['answered_by']}",
        ]
    )
