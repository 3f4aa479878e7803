"""Bringing keys of the replica up to date, and the proof that they are.

For each key both sides are listed afresh, and what has to be appended is appended, oldest first;
then the key is compared again, and only when nothing is left to append is it done. Nothing that was
noted before decides: a run that was killed between two copies finds the first one and goes on with
the second. A copy is made only over what was seen (`recovery.copying`), so one whose answer was
lost is found by the next comparison instead of being made twice.

Nothing is removed. A key whose newest version exists in the replica only is left alone, since
somebody writes there: after a failover the replica is the one to copy from.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from ledgerkeep.documents.recovery.belongings import needs_head
from ledgerkeep.documents.recovery.copying import Copier
from ledgerkeep.documents.recovery.decide import PlannedKey
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.documents.replica.check import Pair, versions_of
from ledgerkeep.documents.replica.contents import Contents
from ledgerkeep.documents.replica.differences import REPAIRABLE, Difference, Tally
from ledgerkeep.documents.replica.history import compare_history, is_diverged, pending
from ledgerkeep.documents.replica.merge import Step, merge, no_step
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.documents.replica.shards import Shard
from ledgerkeep.errors import (
    ObjectConflict,
    ObjectMissing,
    StorageError,
    StoreUnavailable,
)
from ledgerkeep.model import utc_now
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.patience import try_until
from ledgerkeep.storage.versions import NULL_VERSION, ObjectVersion, list_versions

_BATCH = 256
_ROUNDS = 10
"""How often a key is compared again because somebody else changed it meanwhile."""
_EXAMPLES = 5


@dataclass
class Brought:
    """What was done to bring keys up to date."""

    keys: int = 0
    """That are up to date now, as a comparison after the last copy showed."""
    versions: int = 0
    markers: int = 0
    bytes: int = 0
    diverged: int = 0
    """Keys that were left alone, since their newest version exists in the replica only."""
    failed: int = 0
    """Keys that could not be brought up to date."""
    examples: list[str] = field(default_factory=list)

    def add(self, other: "Brought") -> None:
        """Take another's counts on top of these."""
        for name in ("keys", "versions", "markers", "bytes", "diverged", "failed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.examples = (self.examples + other.examples)[:_EXAMPLES]

    def to_plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Repairer:
    """Brings keys of a replica up to date; threads may share it."""

    def __init__(
        self, pair: Pair, rules: Rules, *, read_bytes: int, other_account: bool = False
    ) -> None:
        """Take note of both sides; asks whether they keep locks.

        :param read_bytes: of each side, where nothing else tells contents apart.
        :param other_account: the replica's owner shall own what is copied into it.
        :raises StorageError:
        """
        replica = _given_away(pair.replica) if other_account else pair.replica
        self.pair = pair
        self.rules = replace(rules, ordered=True)
        self._contents = Contents(pair.source, pair.replica, read_limit=read_bytes)
        self._copier = Copier(
            # Each bucket is opened with its own identity, and only one of the same account may
            # read the other.
            Route(pair.source, replica, shares_identity=not other_account),
            asks_head=needs_head(pair.source, replica),
        )

    def bring_all(self, keys: Iterable[str], *, concurrency: int, step: Step = no_step) -> Brought:
        """Bring keys up to date, several at a time; each key's versions one after the other.

        One that fails holds up none of the others.

        :param step: gets the number of keys that were looked at, now and then.
        :raises StoreUnavailable: a store did not answer; run again.
        """
        total, waiting, looked_at = Brought(), iter(keys), 0
        with ThreadPoolExecutor(concurrency, "replica") as pool:
            while batch := list(islice(waiting, _BATCH)):
                for brought in pool.map(self.bring, batch):
                    total.add(brought)
                looked_at += len(batch)
                step(looked_at)
        return total

    def bring(self, key: str) -> Brought:
        """Bring one key up to date.

        :raises StoreUnavailable: a store did not answer; run again.
        """
        brought = Brought()
        try:
            try_until(self.pair.replica.patience, lambda: self._rounds(key, brought))
        except StoreUnavailable:
            raise
        except StorageError as problem:
            brought.failed = 1
            brought.examples.append(f"failed: {problem.message}")
        return brought

    def _rounds(self, key: str, brought: Brought) -> None:
        """Append and compare again until nothing is left to append."""
        for _ in range(_ROUNDS):
            source, replica = (versions_of(one, key) for one in self._sides)
            try:
                plan = self._plan(key, source, replica, brought)
                if not plan:
                    return
                self._append(plan, replica[0] if replica else None, brought)
            except (ObjectConflict, ObjectMissing):
                # Somebody else, or a copy of ours whose answer was lost: compare again.
                continue
        raise StorageError(
            f"{self.pair.replica.location}/{key} changed {_ROUNDS} times while it was brought "
            "up to date",
            hint="somebody else writes to the replica: stop that, then run again",
        )

    @property
    def _sides(self) -> tuple[Bucket, Bucket]:
        return self.pair.source, self.pair.replica

    def _plan(
        self,
        key: str,
        source: list[ObjectVersion],
        replica: list[ObjectVersion],
        brought: Brought,
    ) -> list[ObjectVersion]:
        rules = self.rules
        if compare_history(source, replica, rules).unclear:
            settled = self._contents.settle(source, replica)
            if settled is None:
                raise StorageError(
                    f"contents of {self.pair.source.location}/{key} cannot be compared with the "
                    "replica's",
                    hint="they have no checksums in common, and reading them goes beyond "
                    "read_mib of the policy",
                )
            known = {one.version_id: one for one in source}
            source, replica, _ = settled
            rules = replace(rules, plain_etags=True)
        else:
            known = {}
        plan = pending(source, replica, rules)
        if plan and is_diverged(source, replica, rules):
            brought.diverged = 1
            brought.examples.append(f"diverged: {key}")
            return []
        brought.keys = 0 if plan else 1
        return [known.get(one.version_id, one) for one in plan]

    def _append(
        self, plan: list[ObjectVersion], newest: ObjectVersion | None, brought: Brought
    ) -> None:
        for version in plan:
            if version.is_delete_marker:
                newest = self._mark_deleted(version)
                brought.markers += 1
                continue
            newest = self._copy(version, newest)
            brought.versions += 1
            brought.bytes += version.size

    def _copy(self, version: ObjectVersion, newest: ObjectVersion | None) -> ObjectVersion:
        copied = self._in_class(version).copy(
            PlannedKey(
                version.key,
                "copy",
                "the replica lacks it",
                version_id=version.version_id,
                size=version.size,
                etag=version.etag,
            ),
            newest,
        )
        return replace(version, version_id=copied.version_id, etag=copied.etag)

    def _in_class(self, version: ObjectVersion) -> Copier:
        """A copy lies in the storage class of its version."""
        if version.storage_class == "STANDARD":
            return self._copier
        route = self._copier.route
        there = replace(route.destination, storage_class=version.storage_class)
        return replace(self._copier, route=replace(route, destination=there))

    def _mark_deleted(self, version: ObjectVersion) -> ObjectVersion:
        replica = self.pair.replica
        answer = replica.ask(
            "delete",
            lambda: replica.client.delete_object(Bucket=replica.name, Key=version.key),
            key=version.key,
            # Asked twice it would make two markers; compared again, the first one is found.
            patience=0,
        )
        made = answer.get("VersionId", NULL_VERSION)
        return replace(version, version_id=made, modified_at=utc_now())


def _given_away(bucket: Bucket) -> Bucket:
    """The bucket, with every object that is created in it given to the bucket's owner.

    Without it the owner of another account could not read what we write there, unless the bucket
    takes all ownership itself. (AWS: S3 user guide, Controlling ownership of objects.)
    """
    return replace(bucket, encryption={**bucket.encryption, "ACL": "bucket-owner-full-control"})


def repairable_keys(differences: Iterable[Difference]) -> Iterator[str]:
    """The keys that copying can put right, each once; those of one key follow each other."""
    last = None
    for one in differences:
        if one.kind in REPAIRABLE and one.key != last:
            last = one.key
            yield last


def replicate_shard(
    repairer: Repairer, shard: Shard, *, concurrency: int, step: Step = no_step
) -> tuple[Tally, Brought]:
    """Bring one range of keys up to date: all that a comparison finds to be missing now.

    :raises StorageError: a listing failed; what was copied until then is found by the next run.
    """
    pair, tally = repairer.pair, Tally()
    source, replica = (
        list_versions(bucket, pair.prefix, after=shard.after, until=shard.until)
        for bucket in (pair.source, pair.replica)
    )
    found = merge(source, replica, repairer.rules, tally, names=pair.names, step=step)
    keys = (
        one.key
        for one in found
        if one.unclear or any(difference.kind in REPAIRABLE for difference in one.found)
    )
    return tally, repairer.bring_all(keys, concurrency=concurrency)
