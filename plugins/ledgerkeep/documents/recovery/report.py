"""The report: every key of the plan with what came of it, held against the bucket once more.

Carrying out tells what was done; the report tells what is so. It goes through the journal in its
order with one more listing beside it, and proves each copy. A copy that is not current any more was
overtaken by somebody's writing: it is named, and nothing is done about it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery.journal import Journal, Outcome
from ledgerkeep.documents.recovery.lines import write_lines
from ledgerkeep.documents.recovery.plan import DocumentPlan, read_plan, shortened
from ledgerkeep.documents.recovery.proving import prove
from ledgerkeep.documents.recovery.request import DocumentRequest
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.documents.recovery.scan import newest_of
from ledgerkeep.errors import ObjectMissing, RecoveryError
from ledgerkeep.model import Record, utc_now
from ledgerkeep.storage.port import StoredObject
from ledgerkeep.storage.versions import ObjectVersion

_SHOWN = 5


class RecoveryReport(Record):
    """What came of a recovery, in short, and where every key is named."""

    lines: StoredObject
    outcomes: dict[str, int]
    """Outcome → keys."""
    proofs: dict[str, int]
    """Copies by how it is known that they are their versions; see `proving`."""
    unproven: list[str] = []
    """The first few keys whose copy is not what its version was."""
    overtaken: list[str] = []
    """The first few keys that somebody has written to since they were brought back."""
    unproven_keys: int = 0
    overtaken_keys: int = 0
    bytes_copied: int = 0
    """Of all copies, whichever run made them."""


def write_report(
    catalog: Catalog,
    plan: DocumentPlan,
    route: Route,
    *,
    concurrency: int,
    tell: Callable[[str], object] = lambda _: None,
) -> RecoveryReport:
    """Prove every copy and write down every key.

    :raises RecoveryError: the plan was not carried out to its end.
    :raises StorageError:
    """
    recovery = keys.document_recovery(catalog.environment, plan.id)
    journal = Journal.finished(catalog.store, recovery)
    if journal is None:
        raise RecoveryError(
            f"the recovery {plan.id} was not carried out to its end",
            hint="clear the task that carries it out: it goes on where it was stopped",
        )
    request, _ = read_plan(catalog.store, plan)
    check = _Check(request, route, tell)
    with ThreadPoolExecutor(concurrency, thread_name_prefix="proving") as pool:
        stored = write_lines(
            catalog.store,
            f"{recovery}report-{utc_now():%Y%m%dT%H%M%S%fZ}.jsonl.zst",
            check.lines(journal, pool),
            retention=catalog.retention("evidence"),
        )
    return RecoveryReport(
        lines=stored,
        outcomes=dict(check.outcomes),
        proofs=dict(check.proofs),
        unproven=check.unproven.first,
        overtaken=check.overtaken.first,
        unproven_keys=check.unproven.count,
        overtaken_keys=check.overtaken.count,
        bytes_copied=check.bytes_copied,
    )


def refuse_unfinished(report: RecoveryReport) -> None:
    """Fail when something that was planned is not so.

    :raises RecoveryError:
    """
    failed = report.outcomes.get("failed", 0)
    if failed:
        raise RecoveryError(
            f"{failed} documents could not be brought back; {report.lines.key} names each",
            hint="clear the task recover when what stood in the way is gone: what has been "
            "brought back is found, and not copied again",
        )
    if report.unproven_keys:
        raise RecoveryError(
            f"{report.unproven_keys} copies are not what their versions are: "
            f"{', '.join(report.unproven)}",
            hint="do not use them; the versions that they were made from are still there, and "
            "the replica has others",
        )


class _Named:
    """Keys that are counted, and of which the first few are named."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.count = 0

    def take(self, key: str) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(shortened(key))


class _Check:
    def __init__(
        self, request: DocumentRequest, route: Route, tell: Callable[[str], object]
    ) -> None:
        self._common = route.into + request.common_prefix()
        self._route = route
        self._tell = tell
        self.outcomes: Counter[str] = Counter()
        self.proofs: Counter[str] = Counter()
        self.unproven = _Named()
        self.overtaken = _Named()
        self.bytes_copied = 0

    def lines(self, journal: Journal, pool: ThreadPoolExecutor) -> Iterator[dict[str, Any]]:
        """The report's lines; what is counted is complete when they are."""
        for part in journal.parts():
            there = self._newest(part)
            now = [there.get(self._route.into + one.key) for one in part]
            yield from map(self._line, part, pool.map(self._proof, part, now), now)

    def _newest(self, part: Sequence[Outcome]) -> dict[str, ObjectVersion]:
        wanted = [self._route.into + one.key for one in part if one.new_id]
        return newest_of(self._route.destination, wanted, self._common)

    def _proof(self, one: Outcome, now: ObjectVersion | None) -> str:
        if one.outcome != "copied":
            return ""
        if one.sha256:
            return "sha256"
        if now is None or now.version_id != one.new_id:
            return "overtaken"
        try:
            return self._prove(one, now)
        except ObjectMissing:
            return ""

    def _prove(self, one: Outcome, now: ObjectVersion) -> str:
        return prove(
            self._route,
            one.key,
            version_id=one.version_id,
            copy_id=one.new_id,
            size=one.size,
            etag=one.etag,
            copy_etag=now.etag,
            copy_size=now.size,
        )

    def _line(self, one: Outcome, proof: str, now: ObjectVersion | None) -> dict[str, Any]:
        self.outcomes[one.outcome] += 1
        line = one.as_plain()
        if one.new_id and (now is None or now.version_id != one.new_id):
            line["overtaken"] = True
            self.overtaken.take(one.key)
        if one.outcome == "copied":
            self.bytes_copied += one.size
            self.proofs[proof or "none"] += 1
            line["proof"] = proof or "none"
            if not proof:
                self.unproven.take(one.key)
        return line
