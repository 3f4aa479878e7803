"""The evidence chain: one order for any number of writers, and no change goes unseen."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from ledgerkeep.errors import EvidenceChainBroken
from ledgerkeep.evidence.chain import EvidenceLog, latest
from ledgerkeep.evidence.records import ChainHead, EvidenceLink
from ledgerkeep.model import utc_now
from ledgerkeep.storage.port import StoredObject
from tests.evidence.support import NOON, policy_of, record, replace
from tests.support.memory_store import MemoryStore

CHAIN = "development/evidence/chain/"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def log(store: MemoryStore) -> EvidenceLog:
    return EvidenceLog(store, policy_of("development"))


def later(store: MemoryStore) -> EvidenceLog:
    """The same log an hour on, when no record can still be waiting for its link."""
    return EvidenceLog(store, policy_of("development"), now=lambda: utc_now() + timedelta(hours=1))


def link_key(sequence: int) -> str:
    return f"{CHAIN}{sequence:012d}.json"


def test_evidence_begins_when_its_first_run_started(log: EvidenceLog) -> None:
    assert log.began_at() is None
    log.append(record(5))
    log.append(record(1))
    assert log.began_at() == NOON + timedelta(minutes=1)


def broken(log: EvidenceLog, known: ChainHead | None = None) -> str:
    with pytest.raises(EvidenceChainBroken) as caught:
        log.verify(known)
    assert caught.value.hint.startswith(("somebody may have changed it", "if a worker died"))
    return caught.value.message


def test_record_is_stored_by_day_and_linked_to_the_one_before(
    store: MemoryStore, log: EvidenceLog
) -> None:
    first, second = log.append(record(1)), log.append(record(2))
    assert first.record_key.startswith(
        "development/evidence/2026/03/14/120100Z-development_database_full_backup-"
    )
    assert (first.sequence, first.previous_sha256) == (1, None)
    assert second.sequence == 2
    assert second.previous_sha256 == first.digest()
    assert second.record_sha256 == record(2).digest()
    assert EvidenceLink.from_json(store.get(link_key(2))) == second


def test_evidence_is_locked_as_the_policy_says(store: MemoryStore) -> None:
    link = EvidenceLog(store, policy_of("production")).append(record(environment="production"))
    for key in (link.record_key, "production/evidence/chain/000000000001.json"):
        head = store.head(key)
        assert head is not None
        assert head.retention is not None
        assert head.retention.mode == "COMPLIANCE"
        assert head.retention.until - utc_now() > timedelta(days=7 * 365 - 1)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 33])
def test_head_is_found_in_a_few_requests(store: MemoryStore, log: EvidenceLog, count: int) -> None:
    links = [log.append(record(number)) for number in range(count)]
    head = log.head()
    assert head.sequence == count
    assert head.sha256 == (links[-1].digest() if links else None)


class RacedStore(MemoryStore):
    """Lets somebody else be quicker: `rival` runs right before the first link is put."""

    rival: Callable[[], object] | None = None

    def put(self, key: str, body: bytes | memoryview, **options: Any) -> StoredObject:
        if key.startswith(CHAIN) and self.rival is not None:
            rival, self.rival = self.rival, None
            rival()
        return super().put(key, body, **options)


def test_loser_of_the_race_takes_the_next_number_and_chains_to_the_winner() -> None:
    store = RacedStore()
    log = EvidenceLog(store, policy_of("development"))
    store.rival = lambda: log.append(record(2))
    link = log.append(record(1))
    winner = EvidenceLink.from_json(store.get(link_key(1)))
    assert (winner.record_sha256, link.sequence) == (record(2).digest(), 2)
    assert link.previous_sha256 == winner.digest()
    assert later(store).verify().sequence == 2


def test_loser_against_the_same_task_takes_the_winners_link() -> None:
    store = RacedStore()
    log = EvidenceLog(store, policy_of("development"))
    store.rival = lambda: log.append(record(1, ended_at=NOON + timedelta(minutes=9)))
    assert log.append(record(1)).sequence == 1
    assert log.verify().sequence == 1


def test_writers_at_once_make_one_chain_without_a_fork(store: MemoryStore) -> None:
    """Eight workers, forty runs: every run has exactly one link, and the chain holds."""

    def append(number: int) -> EvidenceLink:
        return EvidenceLog(store, policy_of("development")).append(record(number))

    with ThreadPoolExecutor(8) as pool:
        links = list(pool.map(append, range(40)))
    assert sorted(link.sequence for link in links) == list(range(1, 41))
    assert len({link.record_key for link in links}) == 40
    assert later(store).verify().sequence == 40


def test_retried_task_writes_nothing_twice(store: MemoryStore, log: EvidenceLog) -> None:
    """The retry ends later than the first try, but says the same about the run."""
    first = log.append(record(1))
    log.append(record(2))
    again = log.append(record(1, ended_at=NOON + timedelta(minutes=9)))
    assert again == first
    assert later(store).verify().sequence == 2


def test_same_task_tried_twice_at_once_has_one_link(store: MemoryStore) -> None:
    def append(attempt: int) -> EvidenceLink:
        ended = NOON + timedelta(minutes=9, seconds=attempt)
        return EvidenceLog(store, policy_of("development")).append(record(1, ended_at=ended))

    with ThreadPoolExecutor(8) as pool:
        links = set(pool.map(lambda attempt: append(attempt).to_json(), range(8)))
    assert len(links) == 1
    assert later(store).verify().sequence == 1


def test_record_left_without_link_by_a_dead_worker_is_linked_by_the_retry(
    store: MemoryStore, log: EvidenceLog
) -> None:
    key = log.append(record(1)).record_key
    store.delete_prefix(CHAIN)
    assert log.verify().sequence == 0  # young enough to be still about to get its link
    assert broken(later(store)) == f"evidence record {key} is in no link of the chain"
    assert log.append(record(1)).sequence == 1
    assert later(store).verify().sequence == 1


def test_different_outcome_of_a_run_is_kept_beside_and_counts(log: EvidenceLog) -> None:
    failed = record(1, outcome="failed")
    cleared = record(1, ended_at=NOON + timedelta(hours=2))
    assert log.append(failed).sequence == 1
    assert log.append(cleared).sequence == 2
    found = log.read(NOON, NOON + timedelta(days=1))
    assert found == [failed, cleared]
    assert latest(found) == [cleared]


def test_period_is_read_by_start_in_order(log: EvidenceLog) -> None:
    for number in (3, 1, 24 * 60, 2):
        log.append(record(number))
    found = log.read(NOON + timedelta(minutes=2), NOON + timedelta(days=1))
    assert found == [record(2), record(3)]


def test_changed_record_is_named(store: MemoryStore, log: EvidenceLog) -> None:
    keys = [log.append(record(number)).record_key for number in range(5)]
    replace(store, keys[2], record(2, outcome="failed").to_json())
    assert broken(log) == f"evidence record {keys[2]} was changed"


def test_missing_record_is_named(store: MemoryStore, log: EvidenceLog) -> None:
    keys = [log.append(record(number)).record_key for number in range(3)]
    store.delete_prefix(keys[1])
    assert broken(log) == f"evidence record {keys[1]} of link 2 is missing"


def test_changed_link_is_named(store: MemoryStore, log: EvidenceLog) -> None:
    """A record and its link are replaced together: the next link gives it away."""
    links = [log.append(record(number)) for number in range(5)]
    forged = record(2, outcome="failed").to_json()
    replace(store, links[2].record_key, forged)
    changed = json.loads(links[2].to_json()) | {
        "record_sha256": record(2, outcome="failed").digest()
    }
    replace(store, link_key(3), EvidenceLink.model_validate(changed).to_json())
    assert broken(log) == "evidence link 3 of development was changed"


def test_garbled_link_is_named(store: MemoryStore, log: EvidenceLog) -> None:
    for number in range(3):
        log.append(record(number))
    replace(store, link_key(2), b"{}")
    assert broken(log) == "evidence link 2 of development was changed"


@pytest.mark.parametrize("missing", range(1, 9))
def test_missing_link_is_named_and_nothing_is_appended_behind_it(
    store: MemoryStore, log: EvidenceLog, missing: int
) -> None:
    for number in range(9):
        log.append(record(number))
    store.delete_prefix(link_key(missing))
    message = f"evidence link {missing} of development is missing"
    assert broken(log) == message


@pytest.mark.parametrize("missing", [1, 4, 8])
def test_append_refuses_a_chain_with_a_hole(
    store: MemoryStore, log: EvidenceLog, missing: int
) -> None:
    """The numbers a head search looks at first: it must not take the hole for the end."""
    for number in range(9):
        log.append(record(number))
    store.delete_prefix(link_key(missing))
    with pytest.raises(EvidenceChainBroken) as caught:
        log.append(record(20))
    assert caught.value.message == f"evidence link {missing} of development is missing"


def test_chain_cut_at_its_end_is_found_by_the_record_left_over(
    store: MemoryStore, log: EvidenceLog
) -> None:
    keys = [log.append(record(number)).record_key for number in range(3)]
    store.delete_prefix(link_key(3))
    assert broken(later(store)) == f"evidence record {keys[2]} is in no link of the chain"


def test_chain_cut_with_its_records_is_found_by_a_head_noted_earlier(
    store: MemoryStore, log: EvidenceLog
) -> None:
    links = [log.append(record(number)) for number in range(3)]
    noted = log.verify()
    for key in (link_key(3), links[2].record_key):
        store.delete_prefix(key)
    assert later(store).verify().sequence == 2
    assert broken(log, noted) == "evidence link 3 of development is missing"


def test_chain_written_anew_is_found_by_a_head_noted_earlier(
    store: MemoryStore, log: EvidenceLog
) -> None:
    log.append(record(1))
    noted = log.verify()
    store.delete_prefix("development/")
    log.append(record(1, outcome="failed"))
    log.append(record(2))
    assert broken(log, noted) == "evidence link 1 of development was changed"


def test_retry_does_not_adopt_a_changed_record(store: MemoryStore, log: EvidenceLog) -> None:
    key = log.append(record(1)).record_key
    replace(store, key, record(1, outcome="failed").to_json())
    with pytest.raises(EvidenceChainBroken) as caught:
        log.append(record(1))
    assert caught.value.message == f"evidence record {key} was changed"
