"""A version restored beside what is live, for a restore test: no production name is written.

The newest version is restored into an isolated place of the same service as every recovery does it,
read back from there and compared with what is stored. What is live is compared too, but a
difference is drift and no failure: the version is right, the system has moved on. A service without
such a place shows what it can: that the version is whole and opens.
"""

import time
from collections.abc import Callable, Mapping

from ledgerkeep.configuration.back_up import read_live
from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item, Marker
from ledgerkeep.configuration.proof import ConfigurationProof, Level
from ledgerkeep.configuration.recovery.carry_out import (
    Stored,
    apply,
    same_content,
    without_secrets,
)
from ledgerkeep.configuration.recovery.decide import PlannedChange, decide
from ledgerkeep.configuration.recovery.evidence import named
from ledgerkeep.configuration.recovery.places import note_place
from ledgerkeep.configuration.recovery.plan import choose, read_version
from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.configuration.source import Source
from ledgerkeep.configuration.versions import ConfigurationVersion, Versions
from ledgerkeep.errors import ProofMismatch, RestoreFailed, ValidationFailed
from ledgerkeep.model import Record, utc_now

_NAMED = 20
_SHOWN = 5


class RestoredBeside(Record):
    """What a restore test of one source has shown."""

    source: str
    version_id: str
    age_seconds: float
    """Of the version, when the test began."""
    items: int
    level: Level | None
    """None: it was not restored as it is stored."""
    no_place: str = ""
    """Why the service has no isolated place; empty: it was restored into one."""
    failed: list[str] = []
    """What could not be applied, and why; the first few."""
    wrong: list[str] = []
    """Keys that read otherwise than they are stored; the first few."""
    wrong_count: int = 0
    left_out: list[str] = []
    """What no program can restore, or not beside, and why; the first few."""
    left_out_count: int = 0
    unsettled: list[str] = []
    drift: list[str] = []
    """Keys that are live otherwise than the version holds them; the first few."""
    drift_count: int = 0
    seconds: float = 0.0
    """From the version's being opened to its being live in the isolated place."""

    @property
    def words(self) -> str:
        """In one line."""
        if self.no_place:
            return (
                f"version {self.version_id} opens and all of its hashes hold; it was not restored, "
                f"because {self.no_place}"
            )
        right = self.items - self.wrong_count - self.left_out_count
        told = f"{right} of {self.items} items of version {self.version_id} were restored and "
        told += "read back the same"
        return f"{told}; {self.left_out_count} were left out" if self.left_out_count else told


def restore_beside(
    source: Source,
    versions: Versions,
    marker: Marker,
    *,
    label: str,
    run: str,
    tell: Callable[[str], object] = lambda _: None,
) -> RestoredBeside:
    """Restore a source's newest version into an isolated place, compare, and note what was shown.

    The place stays: `clear_place` removes it.

    :param label: of the place; the same for each attempt.
    :param run: `dag_id/run_id`, for the proof.
    :raises VersionMissing: there is none yet.
    :raises ForeignVersion, ObjectMissing, ObjectCorrupt, SealBroken: it cannot be restored.
    :raises AwsRefused, ServiceRefused, StorageError:
    """
    version = choose(versions, ConfigurationRequest(source=source.name))
    items, values = read_version(source, versions, version)
    versions.read_attachments(version, version.attachments)
    drift = [one.key for one in compare(items, read_live(source, marker, {}).items)]
    found = RestoredBeside(
        source=source.name,
        version_id=version.id,
        age_seconds=(utc_now() - version.created_at).total_seconds(),
        items=len(items),
        level="intact",
        drift=drift[:_NAMED],
        drift_count=len(drift),
    )
    place = source.beside(label)
    if place is None:
        found = found.model_copy(update={"no_place": source.why_no_place})
    else:
        note_place(versions, source.name, label, run, items)
        stored = Stored(versions, version, values)
        shown = _restore(place.looking_for(items), stored, items, marker, tell)
        found = found.model_copy(update=shown)
    _prove(versions, version, found, run)
    return found


def refuse_difference(found: RestoredBeside) -> None:
    """Fail when the version could not be restored as it is stored.

    :raises RestoreFailed: the service refused something.
    :raises ProofMismatch: something reads otherwise.
    :raises ValidationFailed: the service says that it does not work.
    """
    if found.failed:
        raise RestoreFailed(
            f"version {found.version_id} of {found.source} could not be restored whole: "
            f"{'; '.join(found.failed)}",
            hint="a recovery would fail the same way: remove the cause, then run the test again",
        )
    if found.wrong_count:
        raise ProofMismatch(
            f"{found.wrong_count} of {found.items} restored items of {found.source} read otherwise "
            f"than they are stored: {named(found.wrong)}",
            hint="compare one of them by hand; the source may leave something out or change it",
        )
    if found.unsettled:
        raise ValidationFailed(
            f"{found.source} is restored as it is stored, but {'; '.join(found.unsettled)}",
            hint="what is stored may itself not work: look at the live one",
        )


def _restore(
    place: Source,
    stored: Stored,
    items: Mapping[str, Item],
    marker: Marker,
    tell: Callable[[str], object],
) -> dict[str, object]:
    """Apply, read back, ask; as fields of `RestoredBeside`."""
    began = time.monotonic()
    # What a killed attempt has left there is gone on with.
    there = read_live(place, marker, {})
    request = ConfigurationRequest(source=place.name, delete_unknown=True)
    decided = decide(items, there.items, request, place)
    failed: list[str] = []
    for planned in decided.changes:
        problem = apply(place, stored.change(planned, there))
        if problem is not None:
            because = without_secrets(problem.message, stored.values.get(planned.key, {}))
            failed.append(f"{planned.key}: {because}")
    tell(f"{len(decided.changes)} changes applied, {len(failed)} of them refused")
    live = read_live(place, marker, {}).items
    by_hand = {one.key for one in decided.by_hand}
    wrong = _wrong(items, live, by_hand)
    unsettled = place.settled(sorted(items.keys() - by_hand))
    return {
        "failed": failed[:_SHOWN],
        "wrong": wrong[:_NAMED],
        "wrong_count": len(wrong),
        "left_out": [one.by_hand for one in decided.by_hand[:_SHOWN]],
        "left_out_count": len(by_hand),
        "unsettled": unsettled[:_SHOWN],
        "level": _level(wrong, decided.by_hand, unsettled),
        "seconds": time.monotonic() - began,
    }


def _wrong(items: Mapping[str, Item], live: Mapping[str, Item], by_hand: set[str]) -> list[str]:
    return [
        key
        for key in sorted(items.keys() | live.keys())
        if key not in by_hand and not same_content(items.get(key), live.get(key))
    ]


def _level(wrong: list[str], by_hand: list[PlannedChange], unsettled: list[str]) -> Level | None:
    if wrong:
        return None
    return "restored" if by_hand or unsettled else "proven"


def _prove(
    versions: Versions, version: ConfigurationVersion, found: RestoredBeside, run: str
) -> None:
    if found.level is None:
        return
    versions.prove(
        ConfigurationProof(
            source=version.source,
            version_id=version.id,
            level=found.level,
            run=run,
            shown_at=utc_now(),
            items=found.items,
            restore_seconds=None if found.no_place else found.seconds,
            stops_because=_stops(found),
        )
    )


def _stops(found: RestoredBeside) -> str:
    if found.no_place:
        return found.no_place
    if found.unsettled:
        return "; ".join(found.unsettled)
    if not found.left_out_count:
        return ""
    return f"{found.left_out_count} of {found.items} things were left out"
