"""The plan of a recovery of documents: one pass over the versions, written down key by key.

A million keys fit neither into Airflow nor into a worker's memory, so the plan itself is an object
in the backup bucket: the request in its first line, then a line per key. What a task returns and a
person approves is the summary, which names that object by its SHA-256: so the approval is of every
line of it. Nothing is planned anew afterwards.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery.decide import ACTIONS, Action, PlannedKey, decide
from ledgerkeep.documents.recovery.lines import read_lines, write_lines
from ledgerkeep.documents.recovery.manifest import decisions_by_version, wanted_versions
from ledgerkeep.documents.recovery.request import DocumentRequest, Source, ToManifest
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.documents.recovery.scan import side_by_side, versions_of
from ledgerkeep.errors import TargetUnreachable
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.storage.port import ObjectStore, StoredObject

_EXAMPLES = 3
_LONGEST_SHOWN = 100
_TELL_EVERY = 50_000


class Example(Record):
    """A key as it is shown to people."""

    key: str
    because: str


class DocumentPlan(Record):
    """A plan in short, and where all of it is."""

    id: str
    made_at: UtcDatetime
    """When the listing began: what is written later is a conflict."""
    selection: str
    goal: str
    source: str
    """Where versions are taken from, `s3://bucket`."""
    destination: str
    """Where they become current, `s3://bucket` or `s3://bucket/prefix`."""
    taken_from: Source
    lines: StoredObject
    """The plan itself: the request, then one line per key."""
    keys: dict[Action, int]
    """How many keys there are of each decision."""
    bytes_to_copy: int
    largest: int
    """Bytes of the largest version that is copied."""
    cold: int = 0
    """Versions in cold storage, which have to be asked for first."""
    hides: int = 0
    """Copies over a newer version that can be read, which stays as an older version."""
    overwrites: int = 0
    """Conflicts that are gone over because the request says so."""
    examples: dict[Action, list[Example]]

    @property
    def total(self) -> int:
        """All keys that were looked at."""
        return sum(self.keys.values())

    @property
    def steps(self) -> int:
        """Keys that something is done to."""
        return self.keys["copy"] + self.keys["remove"]


@dataclass
class _Tally:
    keys: dict[Action, int] = field(default_factory=lambda: dict.fromkeys(ACTIONS, 0))
    examples: dict[Action, list[Example]] = field(default_factory=dict)
    bytes_to_copy: int = 0
    largest: int = 0
    cold: int = 0
    hides: int = 0
    overwrites: int = 0

    def take(self, one: PlannedKey) -> None:
        self.keys[one.action] += 1
        shown = self.examples.setdefault(one.action, [])
        if len(shown) < _EXAMPLES:
            shown.append(Example(key=shortened(one.key), because=one.because))
        self.overwrites += one.overwrites
        if one.action == "copy":
            self.bytes_to_copy += one.size
            self.largest = max(self.largest, one.size)
            self.cold += one.is_cold
            self.hides += one.hides


def make_plan(
    catalog: Catalog,
    request: DocumentRequest,
    route: Route,
    *,
    now: Callable[[], datetime] = utc_now,
    tell: Callable[[str], object] = lambda _: None,
) -> DocumentPlan:
    """List, decide, write down; nothing is touched.

    :raises TargetUnreachable: there is no such key, or none of them can be brought back.
    :raises StorageError:
    """
    decisions = _decisions(catalog, request, route)
    return write_plan(catalog, request, route, decisions, made_at=now(), tell=tell)


def new_id(made_at: datetime) -> str:
    """Of a recovery: ids sort like their moments."""
    return f"{made_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def write_plan(
    catalog: Catalog,
    request: DocumentRequest,
    route: Route,
    decisions: Iterable[PlannedKey],
    *,
    made_at: datetime,
    made_id: str | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> DocumentPlan:
    """Write decisions down as a plan, while they are made.

    :param decisions: in the order of their keys.
    :raises TargetUnreachable: see `make_plan`.
    :raises StorageError:
    """
    made_id = made_id or new_id(made_at)
    tally = _Tally()
    stored = write_lines(
        catalog.store,
        keys.document_recovery(catalog.environment, made_id) + "plan.jsonl.zst",
        _lines(request, decisions, tally, tell),
        retention=catalog.retention("evidence"),
    )
    _refuse_nothing(request, route, tally)
    return DocumentPlan(
        id=made_id,
        made_at=made_at,
        selection=request.selection,
        goal=request.goal.words,
        source=route.source.location,
        destination=route.where,
        taken_from=request.source,
        lines=stored,
        **vars(tally),
    )


def read_plan(
    store: ObjectStore, plan: DocumentPlan
) -> tuple[DocumentRequest, Iterator[PlannedKey]]:
    """The request and the decisions of a plan, after its bytes were found to be those planned.

    :raises ObjectMissing, ObjectCorrupt, StorageError:
    """
    for _ in store.read(plan.lines):
        pass  # only at its end is the hash compared, and nothing may be done before that
    lines = read_lines(store, plan.lines)
    request = DocumentRequest.model_validate(next(lines)["request"])
    return request, (PlannedKey(**line) for line in lines)


def shortened(key: str) -> str:
    """A key as it fits into a line; the end tells more than the middle."""
    if len(key) <= _LONGEST_SHOWN:
        return key
    half = _LONGEST_SHOWN // 2
    return f"{key[:half]}…{key[-half:]}"


def _decisions(catalog: Catalog, request: DocumentRequest, route: Route) -> Iterator[PlannedKey]:
    source = versions_of(route.source, request)
    destination = (
        iter(()) if route.in_place else versions_of(route.destination, request, route.into)
    )
    found = side_by_side(source, destination, request.keys)
    if isinstance(request.goal, ToManifest):
        wanted = wanted_versions(catalog, request.goal, request)
        yield from decisions_by_version(request, found, wanted, in_place=route.in_place)
        return
    for one in found:
        yield decide(one.key, one.versions, one.current, request, in_place=route.in_place)


def _lines(
    request: DocumentRequest,
    decisions: Iterable[PlannedKey],
    tally: _Tally,
    tell: Callable[[str], object],
) -> Iterator[dict[str, Any]]:
    yield {"request": request.model_dump(mode="json")}
    for count, one in enumerate(decisions, 1):
        tally.take(one)
        if count % _TELL_EVERY == 0:
            tell(f"{count} keys looked at, {tally.keys['copy']} to copy")
        yield one.as_plain()


def _refuse_nothing(request: DocumentRequest, route: Route, tally: _Tally) -> None:
    total, missing = sum(tally.keys.values()), tally.keys["missing"]
    if total == 0:
        raise TargetUnreachable(
            f"no document of {route.source.location} begins with {request.prefix!r}, "
            "and none ever did that is still stored",
            hint="look at the prefix letter by letter: case, slashes, and no bucket name before it",
        )
    if missing == total:
        first = tally.examples["missing"][0]
        raise TargetUnreachable(
            f"nothing can be brought back: {first.key}: {first.because}"
            + (f" (and {missing - 1} more keys)" if missing > 1 else ""),
            hint="aws s3api list-object-versions --prefix shows what is stored of a key; "
            "the replica may have more: choose it as the source",
        )
