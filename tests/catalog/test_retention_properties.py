"""Whatever happens to a cluster for months: what the policy promises can be recovered.

The oracles are written the other way round from the rules: from what was ever stored, period by
period, and from the planner of recoveries, moment by moment.
"""

import random
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ledgerkeep.catalog.chain import by_id, is_whole
from ledgerkeep.catalog.models import BaseBackup, Fingerprint
from ledgerkeep.errors import TargetUnreachable
from ledgerkeep.policy.model import DatabaseRetention
from ledgerkeep.recovery.plan import plan_recovery
from ledgerkeep.recovery.reach import reaches
from ledgerkeep.recovery.target import RecoveryTarget
from tests.catalog.simulated import PRE_DEPLOYMENT, Points, Simulation, retention

A_MONTH = timedelta(days=30)
PERIODS = {
    "daily": lambda day: day.isoformat(),
    "weekly": lambda day: day.isocalendar()[:2],
    "monthly": lambda day: (day.year, day.month),
    "yearly": lambda day: day.year,
}


@st.composite
def policies(draw: st.DrawFn) -> DatabaseRetention:
    """Any policy that a person could mean."""
    daily = draw(st.integers(1, 20))
    weekly = draw(st.none() | st.integers(daily + 7, 60))
    monthly = draw(st.none() | st.integers((weekly or daily) + 31, 200))
    recent = draw(st.none() | st.integers(1, daily))
    wal = draw(st.none() | st.integers(1, 10))
    return retention(
        recent=_days(recent),
        daily=f"{daily}d",
        weekly=_days(weekly),
        monthly=_days(monthly),
        wal=_days(wal),
        minimum_recovery_points=draw(st.integers(1, 4)),
    )


def _days(number: int | None) -> str | None:
    return None if number is None else f"{number}d"


class Life:
    """A life by chance, from a seed: what fails, and what people ask for."""

    def __init__(self, policy: DatabaseRetention, seed: int, days: int) -> None:
        self.chance = random.Random(seed)
        self.simulation = Simulation(policy)
        self.days = days
        self.full_fails = self.chance.choice([0.0, 0.1, 0.5])
        self.every = self.chance.choice([1, 2, 7])

    def day(self, number: int) -> None:
        """A full backup when it is its day, incrementals, WAL, a fingerprint; then retention."""
        one, chance = self.simulation, self.chance
        for tick in range(4):
            if chance.random() < 0.01:
                one.promote()
            if tick == 0 and number % self.every == 0 and chance.random() >= self.full_fails:
                one.take(damaged=chance.random() < 0.05)
            elif tick and one.stored.backups and chance.random() < 0.8:
                one.take(full=False)
            if chance.random() < 0.02:
                one.take(deployment=f"d{number}-{tick}")
            if chance.random() < 0.98:
                one.ship()
            if tick == 1:
                self.prove(one.fingerprint() if chance.random() < 0.9 else None)
            one.number += 1
        self.people()

    def prove(self, fingerprint: Fingerprint | None) -> None:
        one = self.simulation
        if not one.stored.backups or self.chance.random() > 0.05:
            return
        newest = one.stored.backups[-1]
        if fingerprint is None or leads_to(one, one.stored, newest, fingerprint):
            one.prove(newest, fingerprint)

    def people(self) -> None:
        one, chance = self.simulation, self.chance
        if chance.random() < 0.02:
            points = [*one.stored.backups, *one.stored.stretches, *one.stored.fingerprints]
            one.hold(chance.choice(points).id) if points else None
        if one.holds and chance.random() < 0.02:
            one.holds.remove(chance.choice(one.holds))
        waiting = [
            found.deployment.id
            for found in one.stored.backups
            if found.deployment and found.deployment.id not in one.verified
        ]
        if waiting and chance.random() < 0.2:
            one.verify(chance.choice(waiting))


def lives(days: int) -> st.SearchStrategy[Life]:
    return st.builds(Life, policies(), st.integers(0, 2**32), st.just(days))


def leads_to(one: Simulation, points: Points, start: BaseBackup, fingerprint: Fingerprint) -> bool:
    """Whether a copy of that backup can be held against the fingerprint."""
    target = RecoveryTarget(
        lsn=fingerprint.databases[0].lsn, inclusive=False, timeline=fingerprint.timeline
    )
    try:
        plan_recovery(
            points.snapshot({}), one.listed(points), target, backup_id=start.id, now=one.now
        )
    except TargetUnreachable:
        return False
    return True


# -- the oracles


def whole(backups: Iterable[BaseBackup]) -> list[BaseBackup]:
    known = by_id(backups)
    return [one for one in known.values() if is_whole(one, known)]


def assert_no_chain_is_broken(points: Points) -> None:
    assert whole(points.backups) == points.backups


def assert_every_promised_period_has_a_backup(one: Simulation) -> None:
    """Of each day, week … that reaches into the promised time and ever had one, one is there."""
    for kind, period_of in PERIODS.items():
        length = getattr(one.policy, kind)
        if length is None:
            continue
        first: date = max(one.now - length, one.at(0)).date()
        days = [first + timedelta(days=n) for n in range((one.now.date() - first).days + 1)]
        promised = {period_of(day) for day in days}
        made = {period_of(point.stopped_at.date()) for point in one.ever.backups}
        there = {period_of(point.stopped_at.date()) for point in one.stored.backups}
        assert promised & made <= there, kind


def spans(one: Simulation, points: Points) -> list[tuple[datetime, datetime]]:
    """From when to when each backup leads, along whichever timeline."""
    snapshot, wal = points.snapshot({}), one.listed(points)
    return [
        (reach.start.at, reach.end.at)
        for timeline in range(1, one.timeline + 1)
        for reach in reaches(snapshot, wal, timeline)
    ]


def assert_every_moment_of_the_wal_window_is_recoverable(one: Simulation) -> None:
    """Every one that would be, had nothing been removed for a month."""
    if one.policy.wal is None:
        return
    since = one.now - one.policy.wal
    lately = Points(
        [point for point in one.ever.backups if point.stopped_at > since - A_MONTH],
        [point for point in one.ever.stretches if point.covered_until > since - A_MONTH],
    )
    would_be, are = spans(one, lately), spans(one, one.stored)
    for step in range(101):
        moment = since + one.policy.wal * step / 100
        if any(start <= moment <= end for start, end in would_be):
            assert any(start <= moment <= end for start, end in are), moment


def assert_people_find_what_they_asked_for(one: Simulation) -> None:
    points = [*one.stored.backups, *one.stored.stretches, *one.stored.fingerprints]
    there = {point.id for point in points}
    for hold in one.holds:
        assert hold.recovery_point_id in there
    for point in one.ever.backups:
        if point.deployment is None:
            continue
        verified = one.verified.get(point.deployment.id)
        if verified is None or one.now - verified.verified_at <= PRE_DEPLOYMENT.keep_after_verified:
            assert point.id in there


def assert_the_minimum_and_the_last_proven_are_there(one: Simulation) -> None:
    there = {point.id for point in one.stored.backups}
    full = [point for point in one.ever.backups if point.parent_id is None]
    sound = [point.id for point in full if not point.page_checksum_failures]
    assert set(sound[-one.policy.minimum_recovery_points :]) <= there
    proven = [proof for proofs in one.proofs.values() for proof in proofs]
    proven = [proof for proof in proven if proof.level == "proven"]
    if not proven:
        return
    last = max(proven, key=lambda proof: proof.shown_at)
    assert last.recovery_point_id in there
    assert last.fingerprint_id in {point.id for point in one.stored.fingerprints}
    known = by_id(one.stored.backups)
    (against,) = [found for found in one.ever.fingerprints if found.id == last.fingerprint_id]
    assert leads_to(one, one.stored, known[last.recovery_point_id], against)


def bound(one: Simulation) -> int:
    """The most full backups that the promises can need, and some for those of people."""
    policy, a_day = one.policy, timedelta(days=1)
    window = max(policy.recent or a_day, policy.wal or a_day) / a_day
    lengths = {"daily": 1, "weekly": 7, "monthly": 28, "yearly": 365}
    periods = sum(
        getattr(policy, kind) / a_day / days + 2
        for kind, days in lengths.items()
        if getattr(policy, kind) is not None
    )
    waiting = sum(1 for point in one.stored.backups if point.deployment)
    # Each of these may be an incremental, whose chain goes back to one full backup.
    return int(window * 2 + periods + policy.minimum_recovery_points + 3) + len(one.holds) + waiting


def assert_storage_is_bounded(one: Simulation) -> None:
    full = [point for point in one.stored.backups if point.parent_id is None]
    assert len(full) <= bound(one)


# -- the properties


@given(lives(days=120))
@settings(
    max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # a life is no smaller for a smaller seed, so shrinking would only take time
def test_whatever_happens_no_promise_is_broken(life: Life) -> None:
    one = life.simulation
    for number in range(life.days):
        life.day(number)
        one.retain()
        assert_no_chain_is_broken(one.stored)
        assert_every_promised_period_has_a_backup(one)
        assert_people_find_what_they_asked_for(one)
        assert_the_minimum_and_the_last_proven_are_there(one)
        assert_storage_is_bounded(one)
        if number % 12 == 11:
            assert_every_moment_of_the_wal_window_is_recoverable(one)
            assert one.plan().removed == []
