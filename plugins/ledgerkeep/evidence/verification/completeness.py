"""Whether everything was made that the policy schedules, and on time.

The policy is asked, not Airflow: a DAG that was never switched on leaves no failed run, so nothing
but the policy can tell that it is missing. Each time at which a schedule fires is held against what
the catalog has. Where a run rightly leaves nothing behind (an idle database writes no WAL, a source
without logical decoding gives no fingerprint) its evidence counts instead: it tells a run that had
nothing to do from no run. While a full backup is taken no incremental can be: a time of which the
evidence, or the full backup itself, says so is neither made nor missing. It is counted and told, as
a warning where that full backup has not been recorded.

From when on is anything expected? Not before the environment's first evidence or recovery point;
of one kind not before its own first, so that a section that was added to a policy is not missing
for the time before. But where nothing of a kind exists at all, the environment's beginning counts.

A kind of which nothing exists at all is critical, and so is a missing backup. Missing WAL is
critical while no later run has made up for it, since until then it can be lost; later it is a
warning, like a missing fingerprint, without which nothing is lost but a proof. What came late is a
warning.

Pure: no I/O.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from ledgerkeep.catalog.models import BaseBackup, Fingerprint, WalStretch
from ledgerkeep.evidence.records import EvidenceRecord, NotTaken, Severity
from ledgerkeep.evidence.report.words import duration, moment
from ledgerkeep.evidence.verification.part import Part
from ledgerkeep.policy.model import ContinuousShipping, Policy
from ledgerkeep.policy.schedule import firings, longest_interval

_INCREMENTAL = "incremental backup"
CLOCKS = timedelta(minutes=1)
"""How far the database server's clock may be from the worker's; only whole minutes are late."""


@dataclass(frozen=True)
class Facts:
    """What is known of one environment."""

    backups: Sequence[BaseBackup] = ()
    stretches: Sequence[WalStretch] = ()
    fingerprints: Sequence[Fingerprint] = ()
    begun: Sequence[datetime] = ()
    """When the backups began that are not recorded: still running, or interrupted."""
    records: Sequence[EvidenceRecord] = ()
    """The one that counts for each run, from `since` on at least."""
    evidence_began: datetime | None = None

    @property
    def began(self) -> datetime | None:
        """When the environment began to be protected; None: it has not."""
        made = [
            *(one.started_at for one in self.backups),
            *(one.created_at for one in self.stretches),
            *(one.created_at for one in self.fingerprints),
        ]
        if self.evidence_began is not None:
            made.append(self.evidence_began)
        return min(made, default=None)

    @cached_property
    def started(self) -> dict[str, datetime]:
        """When each run started."""
        return {one.run: one.started_at for one in self.records}

    def why_not_taken(self, dag_id: str, at: datetime, until: datetime) -> NotTaken | None:
        """Why an incremental backup that was due could not be taken; None: it could.

        Where no run of its own says so, a full backup that was being taken at that moment does:
        the scheduler starts no second run beside one that is under way.
        """
        for one in self.runs(dag_id, "success"):
            if one.not_taken is not None and at - CLOCKS <= one.started_at <= until:
                return one.not_taken
        for full in self.backups:
            if full.method == "full" and full.started_at <= at <= full.stopped_at:
                return NotTaken(backup_id=full.id, run=full.run or full.id, since=full.started_at)
        return None

    def runs(self, dag_id: str, outcome: str) -> list[EvidenceRecord]:
        """The runs of a DAG that ended so."""
        return [one for one in self.records if (one.dag_id, one.outcome) == (dag_id, outcome)]


@dataclass(frozen=True)
class _Kind:
    """One section of the policy that promises something at times."""

    what: str
    several: str
    dag_id: str
    schedule: str | None
    made: list[datetime]
    """When each was made, in order."""
    missing: Severity
    """How grave it is when one is missing."""


def check_completeness(policy: Policy, facts: Facts, *, since: datetime, now: datetime) -> Part:
    """Judge what was due in [since, now)."""
    figures = ("due", "missing", "not_taken", "late", "worst_delay_seconds")
    part = Part(measurements=dict.fromkeys(figures, 0))
    began = facts.began
    if began is None:
        part.find("info", "nothing is stored yet, and no run has left evidence: nothing was due")
        return part
    for kind in _kinds(policy, facts):
        if kind.schedule is not None:
            _judge(part, policy, facts, kind, began=began, since=since, now=now)
    shipping = policy.database.wal_shipping
    if shipping is not None and shipping.continuous is not None:
        _judge_continuous(part, policy, facts, shipping.continuous, max(since, began), now)
    return part


def _kinds(policy: Policy, facts: Facts) -> Iterator[_Kind]:
    database, environment = policy.database, policy.environment
    if database.full_backup is not None:
        dag_id, made = f"{environment}_database_full_backup", _fulls(facts)
        schedule = database.full_backup.schedule
        yield _Kind("full backup", "full backups", dag_id, schedule, made, "critical")
    if database.incremental_backup is not None:
        dag_id = f"{environment}_database_incremental_backup"
        made, schedule = _incrementals(policy, facts, dag_id), database.incremental_backup.schedule
        yield _Kind(_INCREMENTAL, f"{_INCREMENTAL}s", dag_id, schedule, made, "critical")
    if database.wal_shipping is not None:
        dag_id = f"{environment}_database_wal_shipping"
        made = _sorted([one.created_at for one in facts.stretches], _passed(facts, dag_id))
        schedule = database.wal_shipping.schedule
        yield _Kind("WAL", "shippings of WAL", dag_id, schedule, made, "warning")
    if database.wal_shipping is not None:  # without WAL no copy can stand where a fingerprint is
        dag_id = f"{environment}_database_fingerprint"
        made = _sorted([one.created_at for one in facts.fingerprints], _passed(facts, dag_id))
        schedule = database.fingerprint.schedule
        yield _Kind("fingerprint", "fingerprints", dag_id, schedule, made, "warning")


def _fulls(facts: Facts) -> list[datetime]:
    """Any full backup keeps the promise of one, whoever asked for it."""
    return _sorted([_begun(one, facts) for one in facts.backups if one.method == "full"])


def _incrementals(policy: Policy, facts: Facts, dag_id: str) -> list[datetime]:
    """Incrementals, and the full backups that were taken in their place.

    Retention may have removed one already, unless the policy keeps every recent one: then only
    its run can tell that it was made.
    """
    made = [
        _begun(one, facts)
        for one in facts.backups
        if one.method == "incremental" or one.full_because or one.run.startswith(f"{dag_id}/")
    ]
    return _sorted(made, [] if policy.database.retention.recent else _passed(facts, dag_id))


def _begun(backup: BaseBackup, facts: Facts) -> datetime:
    """When the run of a backup started: a slow or a retried backup is not a late one."""
    started = facts.started.get(backup.run)
    return backup.started_at if started is None else min(started, backup.started_at)


def _passed(facts: Facts, dag_id: str) -> list[datetime]:
    return [one.started_at for one in facts.runs(dag_id, "success") if one.not_taken is None]


def _sorted(*moments: Sequence[datetime]) -> list[datetime]:
    return sorted(moment for some in moments for moment in some)


# -- schedules


def _judge(
    part: Part,
    policy: Policy,
    facts: Facts,
    kind: _Kind,
    *,
    began: datetime,
    since: datetime,
    now: datetime,
) -> None:
    delay, schedule = policy.alerts.backup_delay, kind.schedule or ""
    if not kind.made:
        until = min(now - delay, began + longest_interval(schedule) + CLOCKS)
        due = firings(schedule, began, until)
        if any(_not_taken(kind, facts, at, until) is None for at in due):
            part.measurements["missing"] += 1
            words = f"there is no {kind.what} at all; the first was due {moment(due[0])}"
            part.find("critical", f"{words}{_why(facts, kind)}")
        return
    due = firings(schedule, max(since, kind.made[0]), now - delay)
    late: list[tuple[timedelta, datetime]] = []
    missing: list[datetime] = []
    not_taken: dict[datetime, NotTaken] = {}
    for place, at in enumerate(due):
        following = due[place + 1] if place + 1 < len(due) else now
        until = max(following - CLOCKS, at + delay + CLOCKS)
        waited = _waited(kind, at, until)
        if waited is None:
            reason = _not_taken(kind, facts, at, until)
            missing += [at] if reason is None else []
            not_taken |= {} if reason is None else {at: reason}
        elif waited >= delay + CLOCKS:
            late.append((waited, at))
    part.measurements["due"] += len(due)
    part.measurements["missing"] += len(missing)
    part.measurements["not_taken"] += len(not_taken)
    part.measurements["late"] += len(late)
    _tell_not_taken(part, facts, kind, due, not_taken)
    _tell_missing(part, facts, kind, due, missing)
    _tell_late(part, kind, due, late, delay)


def _waited(kind: _Kind, at: datetime, until: datetime) -> timedelta | None:
    """How long after it was due something was made; None: it was not, before `until`."""
    place = bisect_left(kind.made, at - CLOCKS)
    if place < len(kind.made) and kind.made[place] <= until:
        return max(timedelta(0), kind.made[place] - at)
    return None


def _not_taken(kind: _Kind, facts: Facts, at: datetime, until: datetime) -> NotTaken | None:
    """Why nothing was made, and rightly so: there is only one backup at a time."""
    if kind.what != _INCREMENTAL:
        return None
    return facts.why_not_taken(kind.dag_id, at, until)


def _tell_not_taken(
    part: Part,
    facts: Facts,
    kind: _Kind,
    due: list[datetime],
    not_taken: dict[datetime, NotTaken],
) -> None:
    recorded = {one.id for one in facts.backups}
    by_full: dict[NotTaken, list[datetime]] = {}
    for at, reason in not_taken.items():
        by_full.setdefault(reason, []).append(at)
    for full, hours in by_full.items():
        count = f"the {kind.what} due {moment(hours[0])} was"
        if len(hours) > 1:
            count = (
                f"{len(hours)} of {len(due)} {kind.several}, the first due {moment(hours[0])}, were"
            )
        words = (
            f"{count} not taken while a full backup of {full.run} ran since {moment(full.since)}"
        )
        if full.backup_id in recorded:
            part.find("info", words)
        else:
            part.find("warning", f"{words}, which has not been recorded")


def _tell_missing(
    part: Part, facts: Facts, kind: _Kind, due: list[datetime], missing: list[datetime]
) -> None:
    if not missing:
        return
    severity = kind.missing
    open_since = kind.made[-1] < missing[-1]
    if kind.what == "WAL" and open_since:
        severity = "critical"
    count = f"{len(missing)} of {len(due)} {kind.several}"
    if len(due) == 1:
        count = f"the {kind.what}"
    verb = "were" if len(due) > 1 else "was"
    words = f"{count} due since {moment(due[0])} {verb} not made, the first at {moment(missing[0])}"
    if len(due) == 1:
        words = f"{count} due {moment(due[0])} was not made"
    words += f"; there is none since {moment(kind.made[-1])}" if open_since else ""
    part.find(severity, f"{words}{_why(facts, kind)}")


def _tell_late(
    part: Part,
    kind: _Kind,
    due: list[datetime],
    late: list[tuple[timedelta, datetime]],
    allowed: timedelta,
) -> None:
    if not late:
        return
    waited, at = max(late)
    seconds = waited.total_seconds()
    worst = part.measurements["worst_delay_seconds"]
    part.measurements["worst_delay_seconds"] = max(worst, seconds)
    count = f"{len(late)} of {len(due)} {kind.several} came late, the worst"
    if len(late) == 1:
        count = f"the {kind.what}"
    part.find(
        "warning",
        f"{count} due {moment(at)} began {_minutes(waited)} minutes late; "
        f"{_minutes(allowed)} are allowed",
    )


def _why(facts: Facts, kind: _Kind) -> str:
    """What the evidence says about its runs: failed ones, one under way, or none at all."""
    failed, passed = (facts.runs(kind.dag_id, outcome) for outcome in ("failed", "success"))
    if failed:
        runs = "1 run" if len(failed) == 1 else f"{len(failed)} runs"
        return f"; {runs} of {kind.dag_id} failed, the last at {moment(failed[-1].started_at)}"
    if "backup" in kind.what and facts.begun:
        return f"; one began at {moment(max(facts.begun))} and has not been recorded"
    if passed:
        return ""
    return f"; no run of {kind.dag_id} left evidence: is it switched on?"


def _minutes(length: timedelta) -> int:
    return int(length.total_seconds() // 60)


# -- shipping all the time


def _judge_continuous(
    part: Part,
    policy: Policy,
    facts: Facts,
    continuous: ContinuousShipping,
    since: datetime,
    now: datetime,
) -> None:
    """No schedule: the runs, back to back, have to cover the time."""
    dag_id = f"{policy.environment}_database_wal_shipping"
    covered = sorted(
        [
            *((one.started_at, one.ended_at) for one in facts.runs(dag_id, "success")),
            *((one.created_at, one.created_at) for one in facts.stretches),
        ]
    )
    delay = policy.alerts.backup_delay
    if not covered:
        if now - since > continuous.interval + delay:
            words = "there is no WAL at all, although the policy ships it continuously"
            no_run = f"; no run of {dag_id} left evidence: is it switched on?"
            failed = facts.runs(dag_id, "failed")
            part.find("critical", words + (f"; {len(failed)} runs failed" if failed else no_run))
        return
    silences: list[tuple[timedelta, datetime]] = []
    end = max(since, covered[0][0])
    for start, until in covered:
        if start - end > delay:
            silences.append((start - end, end))
        end = max(end, until)
    # The run that streams at this moment has left no evidence yet.
    if now - end > delay + continuous.interval:
        part.find(
            "critical", f"no WAL has been shipped since {moment(end)}, although it is continuous"
        )
    if silences:
        longest, at = max(silences)
        part.find(
            "warning",
            f"WAL was not shipped {len(silences)} times for longer than {_minutes(delay)} minutes; "
            f"the longest silence was {duration(longest.total_seconds())} from {moment(at)} on",
        )
        worst = part.measurements["worst_delay_seconds"]
        part.measurements["worst_delay_seconds"] = max(worst, longest.total_seconds())
