"""A plan carried out: many keys side by side, none of them twice.

The plan is taken a thousand keys at a time. Of each thousand the destination is listed again, in
about one request, and that answers three questions at once: has somebody written since the plan was
made (then it is a conflict, and left alone), has an earlier attempt done this already (then it is
found, not done again), or is everything as planned (then it is done, on the condition that it stays
so). While the store copies one thousand, the next is listed.

A kill loses nothing: see `journal`. A key that fails does not stop the others; a store that does
not answer stops everything, to be gone on with.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import dropwhile

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery.belongings import needs_head
from ledgerkeep.documents.recovery.copying import Copied, Copier, condition
from ledgerkeep.documents.recovery.decide import PlannedKey, is_gone
from ledgerkeep.documents.recovery.groups import in_groups
from ledgerkeep.documents.recovery.journal import Journal, Outcome
from ledgerkeep.documents.recovery.pace import Pace
from ledgerkeep.documents.recovery.plan import DocumentPlan, read_plan, shortened
from ledgerkeep.documents.recovery.proving import prove
from ledgerkeep.documents.recovery.request import DocumentRequest
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.documents.recovery.scan import newest_of
from ledgerkeep.documents.recovery.within import delete_within
from ledgerkeep.errors import BucketMissing, ObjectConflict, StorageError, StoreUnavailable
from ledgerkeep.model import Record
from ledgerkeep.storage.versions import ObjectVersion

_TOGETHER = 1_000
"""Keys of one listing and one part of the journal."""
_SHOWN = 5
_STEPS = ("copy", "remove")
_LOOKS = 5
"""How often a key is looked at again that somebody keeps writing to."""
_STOPPING = (StoreUnavailable, BucketMissing)


class CarriedOut(Record):
    """What an attempt did."""

    outcomes: dict[str, int]
    """Outcome → keys, of this run of it."""
    found_done: int = 0
    """Of those, keys that an earlier run had done."""
    bytes_copied: int = 0
    seconds: float
    failures: list[str] = []
    """The first few, in words."""

    @property
    def failed(self) -> int:
        """Keys that could not be brought back."""
        return self.outcomes.get("failed", 0)


def carry_out(
    catalog: Catalog,
    plan: DocumentPlan,
    route: Route,
    *,
    concurrency: int,
    tell: Callable[[str], object] = lambda _: None,
    copier: Copier | None = None,
) -> CarriedOut:
    """Do what the plan says, from where an earlier run of it was stopped.

    :param concurrency: keys at the same time.
    :param copier: another than the usual one.
    :raises StoreUnavailable: it did not answer for too long; the same call goes on later.
    :raises ObjectCorrupt: the plan is not the one that was made.
    :raises StorageError:
    """
    request, planned = read_plan(catalog.store, plan)
    recovery = keys.document_recovery(catalog.environment, plan.id)
    journal = Journal.open(catalog.store, recovery)
    if (last := journal.last_key()) is not None:
        tell(f"going on behind {last!r}, where the journal of an earlier run ends")
        behind = last.encode()
        planned = dropwhile(lambda one: one.key.encode() <= behind, planned)
    copier = copier or Copier(route, needs_head(route.source, route.destination))
    pace = Pace(tell, keys=plan.steps, size=plan.bytes_to_copy)
    work = _Work(request, copier, pace)
    tally = _Tally()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="recovery") as pool:
        under_way: list[Future[Outcome]] = []
        try:
            for together in in_groups(planned, _TOGETHER):
                following = work.begin(pool, together)
                _record(journal, tally, under_way)
                under_way = following
            _record(journal, tally, under_way)
        except BaseException:
            work.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    journal.finish()
    return CarriedOut(
        outcomes=dict(tally.outcomes),
        found_done=tally.found_done,
        bytes_copied=pace.done_bytes,
        seconds=pace.seconds,
        failures=tally.failures,
    )


class _Tally:
    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.found_done = 0
        self.failures: list[str] = []

    def take(self, one: Outcome) -> None:
        self.outcomes[one.outcome] += 1
        self.found_done += one.before
        if one.outcome == "failed" and len(self.failures) < _SHOWN:
            self.failures.append(f"{shortened(one.key)}: {one.because}")


def _record(journal: Journal, tally: _Tally, under_way: Sequence[Future[Outcome]]) -> None:
    """Wait for a thousand keys, and write down what came of them."""
    outcomes = [one.result() for one in under_way]
    if outcomes:
        journal.add(outcomes)
    for one in outcomes:
        tally.take(one)


class _Work:
    """What happens to each key."""

    def __init__(self, request: DocumentRequest, copier: Copier, pace: Pace) -> None:
        self._request = request
        self._copier = copier
        self._route = copier.route
        self._pace = pace
        self.stop = threading.Event()

    def begin(
        self, pool: ThreadPoolExecutor, together: Sequence[PlannedKey]
    ) -> list[Future[Outcome]]:
        """Look at the destination, and let the pool do what is to be done."""
        there = self._newest([one.key for one in together if one.action in _STEPS])
        return [
            pool.submit(self._one, one, there.get(self._route.into + one.key)) for one in together
        ]

    def _newest(self, wanted: Sequence[str]) -> dict[str, ObjectVersion]:
        into = self._route.into
        common = into + self._request.common_prefix()
        return newest_of(self._route.destination, [into + key for key in wanted], common)

    def _one(self, one: PlannedKey, now: ObjectVersion | None) -> Outcome:
        if one.action not in _STEPS:
            return Outcome(one.key, one.action, one.because)
        try:
            done = self._done(one, now)
        except _STOPPING:
            raise
        except StorageError as problem:
            return Outcome(one.key, "failed", problem.message, one.version_id, one.size, one.etag)
        self._pace.add(one.size if done.outcome == "copied" and not done.before else 0)
        return done

    def _done(self, one: PlannedKey, now: ObjectVersion | None) -> Outcome:
        """Do it, looking again each time that somebody has been quicker."""
        for _ in range(_LOOKS):
            if (now.version_id if now else "") != one.current_id:
                if found := self._found_done(one, now):
                    return found
                if self._request.on_conflict == "leave":
                    return Outcome(one.key, "conflict", _since(now))
            try:
                return self._do(one, now)
            except ObjectConflict:
                now = self._newest([one.key]).get(self._route.into + one.key)
        return Outcome(one.key, "conflict", "somebody keeps writing to it")

    def _found_done(self, one: PlannedKey, now: ObjectVersion | None) -> Outcome | None:
        """What an earlier run left, if that is what is current."""
        if now is None:
            return None
        if one.action == "remove":
            if not now.is_delete_marker:
                return None
            return Outcome(one.key, "removed", one.because, new_id=now.version_id, before=True)
        if now.is_delete_marker or not self._is_copy(one, now):
            return None
        return _copied(one, Copied(now.version_id, now.etag), before=True)

    def _is_copy(self, one: PlannedKey, now: ObjectVersion) -> bool:
        return bool(
            prove(
                self._route,
                one.key,
                version_id=one.version_id,
                copy_id=now.version_id,
                size=one.size,
                etag=one.etag,
                copy_etag=now.etag,
                copy_size=now.size,
            )
        )

    def _do(self, one: PlannedKey, now: ObjectVersion | None) -> Outcome:
        if self.stop.is_set():
            raise StoreUnavailable("the recovery is stopped", hint="run it again to go on")
        if one.action == "copy":
            return _copied(one, self._copier.copy(one, now))
        destination, key = self._route.destination, self._route.into + one.key
        marker = delete_within(destination, key, {} if is_gone(now) else condition(now))
        return Outcome(one.key, "removed", one.because, new_id=marker)


def _copied(one: PlannedKey, copy: Copied, *, before: bool = False) -> Outcome:
    return Outcome(
        one.key,
        "copied",
        one.because,
        version_id=one.version_id,
        size=one.size,
        etag=one.etag,
        new_id=copy.version_id,
        sha256=copy.sha256,
        before=before,
    )


def _since(now: ObjectVersion | None) -> str:
    if now is None:
        return "its versions were removed since the plan was made"
    done = "deleted" if now.is_delete_marker else "written"
    return f"{done} {now.modified_at:%Y-%m-%d %H:%M:%S}Z, since the plan was made"
