"""Two sorted streams merged: every difference once, in constant memory, however many they are."""

import json
import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from include.bench.simulated_versions import known
from ledgerkeep.documents.replica import merge as merging
from ledgerkeep.documents.replica.differences import Difference, Tally
from ledgerkeep.documents.replica.merge import merge
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.errors import StorageError
from ledgerkeep.storage.versions import ObjectVersion
from tests.conftest import ROOT
from tests.documents.replica.samples import BY_CONTENT, BY_ID, NOON, history

Stream = Iterable[ObjectVersion]


def merged(source: Stream, replica: Stream, rules: Rules) -> tuple[list[Difference], Tally]:
    tally = Tally()
    found = [one for key in merge(source, replica, rules, tally) for one in key.found]
    for one in found:
        tally.note(one)
    return found, tally


def test_keys_of_one_side_and_of_both_come_in_order() -> None:
    source = [*history("a", "x"), *history("b", "xy"), *history("d", "-")]
    replica = [*history("b", "x"), *history("c", "z"), *history("d", "-")]
    found, tally = merged(source, replica, BY_CONTENT)
    assert [(one.kind, one.key, one.version_id) for one in found] == [
        ("missing", "a", "x0"),
        ("missing", "b", "y1"),
        ("extra", "c", "z0"),
    ]
    assert (tally.source_versions, tally.replica_versions, tally.same) == (4, 3, 2)
    assert tally.missing_bytes == 20
    assert (tally.faults, tally.repairable) == (2, 2)


def test_keys_sort_by_their_bytes_whatever_their_characters() -> None:
    keys = ["a b", "a%20b", "a+b", "a/../b", "b" * 1024, "ß", "\uffee", "🙂"]
    assert sorted(keys) == sorted(keys, key=str.encode)
    source = [version for key in sorted(keys, key=str.encode) for version in history(key, "xy")]
    assert merged(source, source[:], BY_ID)[0] == []
    assert len(merged(source, [], BY_ID)[0]) == 16


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "b", "a"]])
def test_listing_that_is_out_of_order_is_refused(keys: list[str]) -> None:
    """Taken as it comes it would show differences that are none."""
    listing = [version for key in keys for version in history(key, "x")]
    with pytest.raises(StorageError) as refused:
        merged(sorted(listing, key=lambda one: one.key), listing, BY_ID)
    assert refused.value.message == (
        "the listing of the replica is out of order: 'a' came after 'b'"
    )
    assert refused.value.hint == (
        "nothing was compared or copied from here on; a store that lists keys in "
        "another order than that of their bytes cannot be compared"
    )


def test_pair_that_etags_do_not_tell_apart_is_handed_on() -> None:
    doubted = []
    rules = replace(BY_ID, plain_etags=False)
    source, replica = history("a", "xyz"), history("a", "xqz", ids="x0 y1 z2")
    tally = Tally()
    assert list(merge(source, replica, rules, tally, doubt=lambda *two: doubted.append(two))) == []
    assert [(one.version_id, other.version_id) for one, other in doubted] == [("y1", "y1")]
    assert tally.how == {"etag": 2}


def test_merge_finds_what_comparing_each_key_alone_finds() -> None:
    drawn = random.Random(1)
    for _ in range(300):
        source: list[ObjectVersion] = []
        replica: list[ObjectVersion] = []
        expected: list[str] = []
        for key in "abcd":
            one = history(key, "".join(drawn.choices("xy-", k=drawn.randrange(0, 6))))
            gone = drawn.randrange(0, 3)
            other = [version for version in one if drawn.random() > gone / 4]
            source, replica = source + one, replica + other
            there = {version.version_id for version in other}
            expected += [f"{key} {v.version_id}" for v in one if v.version_id not in there]
        found, _ = merged(source, replica, BY_ID)
        assert [f"{one.key} {one.version_id}" for one in found] == expected


@pytest.mark.parametrize("rules", [BY_ID, BY_CONTENT])
def test_key_of_very_many_versions_is_compared_without_holding_them(
    rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica lacks the newest, one in the middle, and has one that differs."""
    monkeypatch.setattr(merging, "GATHERED", 10)
    old = NOON - timedelta(days=1)

    def versions(*, but: tuple[int, ...] = (), other: int = -1) -> Iterator[ObjectVersion]:
        for number in range(3000, 0, -1):
            if number not in but:
                etag = f"{number + 10_000 * (number == other):032x}"
                yield ObjectVersion("k", f"v{number}", old, 10, etag)

    tracemalloc.start()
    found, tally = merged(versions(), versions(but=(3000, 1500), other=7), rules)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000
    kinds = sorted(f"{one.kind} {one.version_id}" for one in found)
    assert kinds == ["different v7", "missing v1500", "missing v3000"]
    assert tally.same == 2997


_MILLION = """
import json, resource
from ledgerkeep.documents.replica.differences import Tally
from ledgerkeep.documents.replica.merge import merge
from include.bench.simulated_versions import RULES, simulated
count, tally = 1_000_000, Tally()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for key in merge(simulated(count), simulated(count, replica=True), RULES, tally):
    for one in key.found:
        tally.note(one)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([tally.to_plain(), peak - before]))
"""


def test_a_million_versions_are_compared_in_constant_memory() -> None:
    """Both sides as streams, with known differences; in a process of its own, to see its memory."""
    paths = os.pathsep.join([str(ROOT / "plugins"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", _MILLION],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    plain, kilobytes = json.loads(done.stdout)
    tally = Tally.from_plain(plain)
    assert tally.source_versions == 1_000_000
    assert tally.counts == known(1_000_000)
    assert tally.young == 10
    # Held at once, one side alone would take more than 300 MB.
    assert kilobytes < 3_000
