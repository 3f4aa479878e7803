"""How far the replica is behind, told by a sample: the newest versions, looked for one by one.

AWS says of each version whether it has been copied. A store that does not is asked for the copy
itself: the same version id, or, where copying makes new ones, the same content. The age of the
oldest version that is not there yet is the lag: what would be lost if the primary were lost now.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.errors import ObjectMissing
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import ObjectVersion, list_versions

State = Literal["copied", "on its way", "failed", "gone"]
_STATES: dict[str, State] = {
    "COMPLETED": "copied",
    "COMPLETE": "copied",
    "REPLICA": "copied",
    "PENDING": "on its way",
    "FAILED": "failed",
}


@dataclass(frozen=True)
class Sighting:
    """One version of the sample, and what became of its copy."""

    version: ObjectVersion
    state: State

    @property
    def words(self) -> str:
        """The version, for people."""
        one = self.version
        kind = "delete marker" if one.is_delete_marker else "version"
        return f"{kind} {one.version_id} of {one.key} of {one.modified_at:%Y-%m-%d %H:%M:%S}Z"


@dataclass(frozen=True)
class Lag:
    """What a sample came to."""

    sample: int
    """Versions that were looked for and still exist."""
    lacking: Sequence[Sighting]
    """Not there yet, the oldest first."""
    failed: Sequence[Sighting]
    seconds: float
    """Age of the oldest that is lacking or failed; 0: all are there."""


def look_for_copies(
    source: Bucket,
    replica: Bucket,
    newest: Iterable[ObjectVersion],
    *,
    rules: Rules,
    told: bool,
) -> list[Sighting]:
    """What became of the copy of each version.

    :param rules: whether version ids are the same on both sides, and ETags say the content.
    :param told: whether the store tells the state of each version.
    :raises StorageError:
    """
    return [Sighting(one, _state(source, replica, one, rules, told=told)) for one in newest]


def lag_of(sightings: Sequence[Sighting], *, now: datetime) -> Lag:
    """How far the replica is behind, as far as the sample tells."""
    oldest_first = sorted(sightings, key=lambda one: one.version.modified_at)
    lacking = [one for one in oldest_first if one.state == "on its way"]
    failed = [one for one in oldest_first if one.state == "failed"]
    behind = sorted(one.version.modified_at for one in (*lacking, *failed))
    seconds = max(0.0, (now - behind[0]) / timedelta(seconds=1)) if behind else 0.0
    there = [one for one in sightings if one.state != "gone"]
    return Lag(len(there), lacking, failed, seconds)


def _state(
    source: Bucket, replica: Bucket, version: ObjectVersion, rules: Rules, *, told: bool
) -> State:
    # A delete marker has no head to ask.
    if told and not version.is_delete_marker:
        try:
            status = _told_status(source, version)
        except ObjectMissing:
            return "gone"
        if status in _STATES:
            return _STATES[status]
    return "copied" if is_in_replica(replica, version, rules) else "on its way"


def _told_status(source: Bucket, version: ObjectVersion) -> str:
    answer = source.ask(
        "head",
        lambda: source.client.head_object(
            Bucket=source.name, Key=version.key, VersionId=version.version_id
        ),
        key=version.key,
    )
    return answer.get("ReplicationStatus", "")


def is_in_replica(replica: Bucket, version: ObjectVersion, rules: Rules) -> bool:
    """Whether the replica holds the version: by its id, or else a copy of it.

    :raises StorageError:
    """
    for found in list_versions(replica, version.key):
        if found.key != version.key:
            return False
        if found.version_id == version.version_id:
            return True
        if not rules.by_id and is_copy(found, version, rules):
            return True
    return False


def is_copy(found: ObjectVersion, version: ObjectVersion, rules: Rules) -> bool:
    """Whether one of the replica's versions passes for a copy, which has an id of its own.

    Where ETags say nothing, the size and the order in time have to do; that contents are the same
    is what the consistency check is for.
    """
    judgement = rules.judge(version, found)
    if version.is_delete_marker or judgement == "doubtful":
        return judgement != "different" and found.modified_at >= version.modified_at
    return judgement == "same"
