"""One pass over a listing: counts, costs, ages and the newest versions."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerkeep.documents.protection.judge import best_saving, judge_tally
from ledgerkeep.documents.protection.versions import counted_by_the_store, tally_versions
from ledgerkeep.policy.document_protection import DocumentProtection
from ledgerkeep.storage.versions import ObjectVersion
from tests.documents.protection.test_costs import GIB, PRICES

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def version(key: str, days: float, *, size: int = GIB, **more: Any) -> ObjectVersion:
    return ObjectVersion(
        key=key,
        version_id=f"{key}-{days:g}",
        modified_at=NOW - timedelta(days=days),
        size=size,
        **more,
    )


def marker(key: str, days: float, **more: Any) -> ObjectVersion:
    return version(key, days, size=0, is_delete_marker=True, **more)


def protection(**more: Any) -> DocumentProtection:
    return DocumentProtection.model_validate({"schedule": None, **more})


COSTS = {
    "prices": {name: price.model_dump() for name, price in PRICES.items()},
    "alternatives": [[{"after": "30d", "storage_class": "GLACIER"}]],
}
LIFECYCLE = {
    "transitions": [
        {"after": "30d", "storage_class": "STANDARD_IA"},
        {"after": "90d", "storage_class": "GLACIER"},
    ],
    "expire_after": "7y",
}


def test_current_and_old_versions_are_counted_by_class() -> None:
    found = tally_versions(
        [
            version("a", 1, is_latest=True),
            version("a", 50, size=2 * GIB, storage_class="STANDARD_IA"),
            marker("b", 2, is_latest=True),
            version("b", 90),
        ],
        protection(costs=COSTS),
        now=NOW,
    )
    told = [(kind, name, count.versions, count.size) for kind, name, count in found.counts]
    assert told == [
        ("current", "STANDARD", 1, GIB),
        ("old", "STANDARD", 1, GIB),
        ("old", "STANDARD_IA", 1, 2 * GIB),
    ]
    assert found.delete_markers == 1
    assert found.usd == pytest.approx(0.02 + 0.02 + 2 * 0.01)


def test_age_of_an_old_version_begins_when_the_next_one_was_written() -> None:
    """Written 500 days ago, replaced 40 days ago: it lies in the class of 40 days."""
    found = tally_versions(
        [version("a", 40, is_latest=True), version("a", 500, storage_class="STANDARD_IA")],
        protection(costs=COSTS, lifecycle=LIFECYCLE),
        now=NOW,
    )
    assert found.present is not None
    assert found.present.storage_usd == pytest.approx(0.01)
    assert found.present.versions_to_move == 0


def test_deletion_makes_a_version_old() -> None:
    found = tally_versions(
        [marker("a", 100, is_latest=True), version("a", 500, storage_class="GLACIER")],
        protection(costs=COSTS, lifecycle=LIFECYCLE),
        now=NOW,
    )
    assert found.present is not None
    assert found.present.versions_to_move == 0
    assert found.alternatives[0].versions_to_move == 0


def test_newest_versions_come_first_and_no_more_than_asked_for() -> None:
    versions = [version(f"k{number}", days) for number, days in enumerate([5, 1, 9, 3, 3, 7])]
    found = tally_versions([*versions, marker("z", 2)], protection(sample=4), now=NOW)
    assert [one.version_id for one in found.newest] == ["k1-1", "z-2", "k3-3", "k4-3"]


def test_listing_of_any_length_takes_the_same_memory() -> None:
    def listing(count: int) -> Iterator[ObjectVersion]:
        for number in range(count):
            yield version(f"{number // 3:09}", number % 3, is_latest=number % 3 == 0)

    def peak(count: int) -> int:
        tracemalloc.start()
        tally_versions(listing(count), protection(costs=COSTS, lifecycle=LIFECYCLE), now=NOW)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)
    assert peak(30_000) < peak(1_000) + 20_000


def test_what_is_found_is_told_in_sentences() -> None:
    found = tally_versions(
        [
            *(version(f"a{number}", 1, is_latest=True) for number in range(100)),
            *(
                one
                for number in range(100)
                for one in (
                    marker(f"b{number}", 40, is_latest=True),
                    version(f"b{number}", 300, storage_class="STANDARD_IA"),
                )
            ),
            version("c", 1, is_latest=True, storage_class="DEEP_ARCHIVE"),
        ],
        protection(costs=COSTS, lifecycle=LIFECYCLE),
        now=NOW,
    )
    assert list(judge_tally("documents", found)) == [
        (
            "info",
            "s3://documents: 1 current version (1.1 GB) in DEEP_ARCHIVE",
        ),
        (
            "info",
            "s3://documents: 100 current versions (107.4 GB) in STANDARD, 2.00 USD a month",
        ),
        ("info", "s3://documents: 100 old versions (107.4 GB) in STANDARD_IA, 1.00 USD a month"),
        ("info", "s3://documents: 100 delete markers"),
        (
            "warning",
            "s3://documents: the policy has no price of DEEP_ARCHIVE, whose versions are in no "
            "cost",
        ),
        (
            "info",
            "s3://documents: GLACIER after 30 d instead of STANDARD_IA after 30 d and GLACIER "
            "after 90 d: 0.60 USD a month less; moving 100 versions there costs 0.00 USD once",
        ),
    ]
    assert best_saving(found.present, found.alternatives) == pytest.approx(0.5959, abs=1e-4)


def test_bucket_without_prices_is_counted_all_the_same() -> None:
    found = tally_versions([version("a", 1, is_latest=True)], protection(), now=NOW)
    assert list(judge_tally("documents", found)) == [
        ("info", "s3://documents: 1 current version (1.1 GB) in STANDARD")
    ]
    assert best_saving(found.present, found.alternatives) == 0


def test_figures_of_the_store_are_priced_by_the_byte() -> None:
    found = counted_by_the_store({"STANDARD": 100 * GIB, "GLACIER": 1000 * GIB}, PRICES)
    assert list(judge_tally("documents", found)) == [
        (
            "info",
            "s3://documents: 1.1 TB of versions, current and old, in GLACIER, 4.00 USD a month",
        ),
        (
            "info",
            "s3://documents: 107.4 GB of versions, current and old, in STANDARD, 2.00 USD a month",
        ),
    ]
