"""The evidence log: append-only, hash-chained, without a server that keeps the order.

    {environment}/evidence/{yyyy}/{mm}/{dd}/{time}-{dag}-{sha8}.json    the records
    {environment}/evidence/chain/{sequence:012d}.json                   the links

The record is written first, then its link under the next free number, created only if nobody else
has it (`If-None-Match: *`). Whoever loses that race takes the number after. So there is one chain
and never a fork, with any number of writers. Object Lock keeps what was written; the hashes show
when somebody put a newer version, or a delete marker, over it.

A worker that dies between the two leaves a record without a link. The task's retry finds the
record (its name is made from its content) and links it.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.errors import EvidenceChainBroken, ObjectConflict, ObjectCorrupt, ObjectMissing
from ledgerkeep.evidence.records import ChainHead, EvidenceLink, EvidenceRecord
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectStore

_TAMPERED = (
    "somebody may have changed it: compare the object's versions in {location}, where Object Lock "
    "keeps the first one, and find who wrote the newer one in the bucket's access log"
)
_UNLINKED = (
    "if a worker died between writing the record and its link, clear the run's verdict task and "
    "it is linked; otherwise somebody put the record there: look at the bucket's access log"
)
_LINKING = timedelta(minutes=10)
"""A record younger than this may still be about to get its link."""
_CLOCKS = timedelta(hours=1)
"""How far apart workers' clocks may be."""
_WINDOW = 256
"""Objects read ahead while a chain or a period is walked; bounds the memory."""


@dataclass(frozen=True)
class _Read:
    link: EvidenceLink
    sha256: str


class EvidenceLog:
    """The evidence of one environment."""

    def __init__(
        self, store: ObjectStore, policy: Policy, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.store = store
        self._now = now
        self.environment = policy.environment
        self._root = keys.evidence(policy.environment)
        self._catalog = Catalog(store, policy)
        self._threads = policy.storage.concurrency

    # -- writing

    def append(self, record: EvidenceRecord) -> EvidenceLink:
        """Write a record and chain it.

        Appending the same run with the same content again (a task that is retried) gives the link
        it already has. A run that ended differently after all is a new record; both are kept and
        the newer one counts.

        :raises EvidenceChainBroken: when the chain has a hole where it should go on.
        """
        key, digest, existed = self._write_record(record)
        head = self.head()
        if existed and (found := self._link_of(key, head)) is not None:
            return found
        return self._link(key, digest, head)

    def _write_record(self, record: EvidenceRecord) -> tuple[str, str, bool]:
        """(key, SHA-256, whether it was there before)."""
        key = (
            f"{self._root}{record.started_at:%Y/%m/%d/%H%M%SZ}"
            f"-{record.dag_id}-{record.substance()[:8]}.json"
        )
        if self.store.head(key) is None:
            try:
                return key, self._put(key, record.to_json()), False
            except ObjectConflict:
                pass  # another try of the same task was quicker: its record stands
        body = self.store.get(key)
        if self._parse(body, key).substance() != record.substance():
            raise self._changed_record(key)
        return key, hashlib.sha256(body).hexdigest(), True

    def _link(self, key: str, digest: str, head: ChainHead) -> EvidenceLink:
        """Take the next free number for a record."""
        sequence, previous = head.sequence, head.sha256
        while True:
            sequence += 1
            link = EvidenceLink(
                sequence=sequence,
                record_key=key,
                record_sha256=digest,
                previous_sha256=previous,
                at=self._now(),
            )
            try:
                self._put(self._link_key(sequence), link.to_json())
            except ObjectConflict:
                winner = self._read_link(sequence)
                if winner.link.record_key == key:
                    return winner.link
                previous = winner.sha256
            else:
                return link

    def _link_of(self, key: str, head: ChainHead) -> EvidenceLink | None:
        """The link of a record that was there already, looked for from the end."""
        written = self.store.head(key)
        if written is None:
            return None
        for sequence in range(head.sequence, 0, -1):
            link = self._read_link(sequence).link
            if link.record_key == key:
                return link
            if link.at < written.modified_at - _CLOCKS:
                return None
        return None

    # -- reading

    def head(self) -> ChainHead:
        """The end of the chain, found in a few requests however long it is.

        :raises EvidenceChainBroken: when links exist behind a missing one.
        """
        low, high = 0, 1
        while self._has_link(high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._has_link(middle) else (low, middle)
        # A missing link would look like the end, and others may append meanwhile: look behind.
        for sequence in self._sequences(after=low):
            if sequence != low + 1:
                raise self._missing(low + 1)
            low = sequence
        return ChainHead(sequence=low, sha256=self._read_link(low).sha256 if low else None)

    def began_at(self) -> datetime | None:
        """When the first run of which there is evidence started; None: there is none.

        Records' names begin with that moment, and they are listed before the links.
        """
        first = next(self.store.list(self._root), None)
        if first is None or first.key.startswith(f"{self._root}chain/"):
            return None
        moment = first.key.removeprefix(self._root)[: len("2026/03/01/120000Z")]
        return datetime.strptime(moment, "%Y/%m/%d/%H%M%SZ").replace(tzinfo=UTC)

    def read(self, since: datetime, until: datetime) -> list[EvidenceRecord]:
        """Records of the runs that started in [since, until), oldest first.

        A run may have several; see `latest`.
        """
        day, found = since.astimezone(UTC).date(), []
        while day <= until.astimezone(UTC).date():
            listed = [item.key for item in self.store.list(f"{self._root}{day:%Y/%m/%d}/")]
            found += [self._parse(body, key) for key, body in self._bodies(listed)]
            day += timedelta(days=1)
        inside = [record for record in found if since <= record.started_at < until]
        return sorted(inside, key=lambda record: (record.started_at, record.ended_at))

    # -- verifying

    def verify(self, known: ChainHead | None = None) -> ChainHead:
        """Walk the whole chain and every record, and give its end.

        :param known: a head noted earlier (in a report): the chain must still contain it.
        :raises EvidenceChainBroken: names the first link or record that is not as it was.
        """
        linked: set[str] = set()
        head = ChainHead(sequence=0, sha256=None)
        for read, body in self._walk():
            self._check(read.link, head, body)
            linked.add(read.link.record_key)
            head = ChainHead(sequence=head.sequence + 1, sha256=read.sha256)
            if known and known.sequence == head.sequence and known.sha256 != head.sha256:
                raise self._changed_link(head.sequence)
        if known and known.sequence > head.sequence:
            raise self._missing(head.sequence + 1)
        self._refuse_unlinked(linked)
        return head

    def _walk(self) -> Iterator[tuple[_Read, bytes | None]]:
        """Every link in order with its record's bytes (None: gone)."""
        sequences, expected = list(self._sequences()), 1
        for start in range(0, len(sequences), _WINDOW):
            window = sequences[start : start + _WINDOW]
            with ThreadPoolExecutor(self._threads) as pool:
                links = list(pool.map(self._read_link, window))
                bodies = list(pool.map(self._body, [read.link.record_key for read in links]))
            for sequence, read, body in zip(window, links, bodies, strict=True):
                if sequence != expected:
                    raise self._missing(expected)
                expected += 1
                yield read, body

    def _check(self, link: EvidenceLink, before: ChainHead, body: bytes | None) -> None:
        if link.sequence != before.sequence + 1:
            raise self._changed_link(before.sequence + 1)
        if link.previous_sha256 != before.sha256:
            raise self._changed_link(before.sequence or 1)
        if body is None:
            raise EvidenceChainBroken(
                f"evidence record {link.record_key} of link {link.sequence} is missing",
                hint=self._hint(),
            )
        if hashlib.sha256(body).hexdigest() != link.record_sha256:
            raise self._changed_record(link.record_key)

    def _refuse_unlinked(self, linked: set[str]) -> None:
        settled = self._now() - _LINKING
        for item in self.store.list(self._root):
            is_link = item.key.startswith(f"{self._root}chain/")
            if not is_link and item.key not in linked and item.modified_at < settled:
                raise EvidenceChainBroken(
                    f"evidence record {item.key} is in no link of the chain", hint=_UNLINKED
                )

    # -- inside

    def _link_key(self, sequence: int) -> str:
        return f"{self._root}chain/{sequence:012d}.json"

    def _has_link(self, sequence: int) -> bool:
        return self.store.head(self._link_key(sequence)) is not None

    def _sequences(self, *, after: int = 0) -> Iterator[int]:
        start = self._link_key(after) if after else ""
        for item in self.store.list(f"{self._root}chain/", start_after=start):
            yield int(item.key.rpartition("/")[2].removesuffix(".json"))

    def _read_link(self, sequence: int) -> _Read:
        try:
            body = self.store.get(self._link_key(sequence))
        except ObjectMissing:
            raise self._missing(sequence) from None
        except ObjectCorrupt as problem:
            raise self._changed_link(sequence) from problem
        try:
            return _Read(EvidenceLink.from_json(body), hashlib.sha256(body).hexdigest())
        except ValidationError as problem:
            raise self._changed_link(sequence) from problem

    def _bodies(self, listed: list[str]) -> Iterator[tuple[str, bytes]]:
        for start in range(0, len(listed), _WINDOW):
            window = listed[start : start + _WINDOW]
            with ThreadPoolExecutor(self._threads) as pool:
                yield from zip(window, pool.map(self.store.get, window), strict=True)

    def _body(self, key: str) -> bytes | None:
        try:
            return self.store.get(key)
        except ObjectMissing:
            return None
        except ObjectCorrupt as problem:
            raise self._changed_record(key) from problem

    def _parse(self, body: bytes, key: str) -> EvidenceRecord:
        try:
            return EvidenceRecord.from_json(body)
        except ValidationError as problem:
            raise EvidenceChainBroken(
                f"evidence record {key} is not readable: {problem.error_count()} fields do not fit",
                hint=self._hint(),
            ) from problem

    def _put(self, key: str, body: bytes) -> str:
        retention = self._catalog.retention("evidence")
        stored = self.store.put(key, body, retention=retention, content_type="application/json")
        return stored.sha256

    def _hint(self) -> str:
        return _TAMPERED.format(location=self.store.location)

    def _missing(self, sequence: int) -> EvidenceChainBroken:
        return EvidenceChainBroken(
            f"evidence link {sequence} of {self.environment} is missing", hint=self._hint()
        )

    def _changed_record(self, key: str) -> EvidenceChainBroken:
        return EvidenceChainBroken(f"evidence record {key} was changed", hint=self._hint())

    def _changed_link(self, sequence: int) -> EvidenceChainBroken:
        return EvidenceChainBroken(
            f"evidence link {sequence} of {self.environment} was changed", hint=self._hint()
        )


def latest(records: list[EvidenceRecord]) -> list[EvidenceRecord]:
    """The record that counts for each run: the one that ended last, in order of the start."""
    counts: dict[str, EvidenceRecord] = {}
    for record in sorted(records, key=lambda record: record.ended_at):
        counts[record.run] = record
    return sorted(counts.values(), key=lambda record: record.started_at)
