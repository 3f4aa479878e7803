"""A replica that the store itself keeps in step, with the same version ids, between two regions."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from include.sandbox.documents import document
from ledgerkeep.documents.replica.check import Checked, Pair, check_shard
from ledgerkeep.documents.replica.repair import Brought, Repairer
from ledgerkeep.documents.replica.shards import Shard
from ledgerkeep.documents.replica.summary import Summary
from tests.documents.replica.conftest import BOUNDS, EVERYTHING
from tests.sandbox.test_replication import Regions, end, regions  # noqa: F401
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.integration

BY_ID = replace(EVERYTHING, by_id=True)
KEYS = [f"documents/{number:010d}/1-y.pdf" for number in range(12)]


def check(regions: Regions) -> tuple[Checked, list[str]]:  # noqa: F811
    ledger = MemoryStore()
    checked = check_shard(
        Pair(regions.primary, regions.replica),
        Shard(1, 1),
        BY_ID,
        BOUNDS,
        into=lambda: (ledger, "lines"),
        seed="run",
    )
    return checked, [f"{one.kind} {one.key}" for one in Summary.of([checked]).differences(ledger)]


@pytest.fixture
def in_step(regions: Regions) -> Iterator[Regions]:  # noqa: F811
    """Documents that were replicated, some deleted and some overwritten; then it ended."""
    daemon = regions.start()
    regions.written.put_all(map(document, KEYS))
    regions.written.put(document(KEYS[1], "again"))
    regions.written.remove(KEYS[2])
    regions.become_in_step()
    end(daemon)
    return regions


def test_replica_is_compared_by_ids_and_repaired_by_content(in_step: Regions) -> None:
    checked, lines = check(in_step)
    assert lines == []
    assert checked.tally.same == checked.tally.source_versions >= len(KEYS) + 2

    in_step.written.put(document(KEYS[3], "after replication had ended"))
    in_step.written.remove(KEYS[4])
    in_step.written_there.put(document(KEYS[5], "written by somebody else"))
    _, lines = check(in_step)
    assert lines == [
        f"missing {KEYS[3]}",
        f"marker_missing {KEYS[4]}",
        f"extra {KEYS[5]}",
    ]

    repairer = Repairer(Pair(in_step.primary, in_step.replica), BY_ID, read_bytes=0)
    assert repairer.bring(KEYS[3]).versions == 1
    assert repairer.bring(KEYS[4]).markers == 1
    assert repairer.bring(KEYS[5]) == Brought(keys=1)
    checked, lines = check(in_step)
    # The copies have ids of their own; what they hold is there, and in order.
    assert checked.tally.faults == 0
    assert lines == [f"other_id {KEYS[3]}", f"other_id {KEYS[4]}", f"extra {KEYS[5]}"]
