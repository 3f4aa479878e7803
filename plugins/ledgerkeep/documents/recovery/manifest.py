"""The versions that the rows of a restored database need, as the goal of a recovery of documents.

A check of one moment (`documents.moment`) names for each row the version that has its content. Here
each key of the selection goes back to that version, so documents and database come to the same
moment also where the bucket showed another version then.
"""

from collections.abc import Iterable, Iterator

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.metadata.snapshot import read_lines
from ledgerkeep.documents.moment import MomentCheck
from ledgerkeep.documents.recovery.decide import PlannedKey, decide
from ledgerkeep.documents.recovery.request import DocumentRequest, ToManifest, ToVersion
from ledgerkeep.documents.recovery.scan import OneKey
from ledgerkeep.errors import ObjectMissing, RecoveryError

Wanted = tuple[str, str]
"""Key, version id."""


def wanted_versions(
    catalog: Catalog, goal: ToManifest, request: DocumentRequest
) -> Iterator[Wanted]:
    """Keys of the selection with the version that they go back to, in the keys' order.

    Of several rows with one key, the first decides.

    :raises RecoveryError: there is no such check.
    :raises ObjectCorrupt: perhaps only at the end.
    """
    try:
        check = catalog.read(goal.moment_check, MomentCheck)
    except ObjectMissing as problem:
        raise RecoveryError(
            f"there is no check of a moment {goal.moment_check!r}",
            hint="give the key of its record, as the task check_documents returned it: "
            f"{catalog.environment}/documents/moments/…/moment.json",
        ) from problem
    return _selected(read_lines(catalog.store, check.manifest), request)


def decisions_by_version(
    request: DocumentRequest,
    found: Iterable[OneKey],
    wanted: Iterator[Wanted],
    *,
    in_place: bool,
) -> Iterator[PlannedKey]:
    """The decision about every key that is wanted; others are no part of it. Pure."""
    needed = next(wanted, None)
    for one in found:
        while needed is not None and needed[0].encode() < one.key.encode():
            yield _missing(needed)
            needed = next(wanted, None)
        if needed is None:
            return
        if needed[0] == one.key:
            asked = request.model_copy(update={"goal": ToVersion(version_id=needed[1])})
            yield decide(one.key, one.versions, one.current, asked, in_place=in_place)
            needed = next(wanted, None)
    while needed is not None:
        yield _missing(needed)
        needed = next(wanted, None)


def _selected(lines: Iterable[list[object]], request: DocumentRequest) -> Iterator[Wanted]:
    keys, last = frozenset(request.keys), None
    for line in lines:
        key, version_id = str(line[0]), str(line[1])
        meant = key in keys if keys else key.startswith(request.prefix or "")
        if meant and key != last:
            yield key, version_id
        last = key


def _missing(needed: Wanted) -> PlannedKey:
    key, version_id = needed
    return PlannedKey(key, "missing", f"it has no version {version_id}")
