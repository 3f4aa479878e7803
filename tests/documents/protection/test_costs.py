"""What a month costs: every figure here was worked out by hand."""

from typing import Any

import pytest

from ledgerkeep.documents.protection.costs import GIB, KIB, Scenario, usd_per_month
from ledgerkeep.documents.protection.judge import compare_costs
from ledgerkeep.policy.document_protection import DocumentCosts, Transition

PRICES = DocumentCosts.model_validate(
    {
        "prices": {
            "STANDARD": {"usd_per_gb_month": 0.02},
            "STANDARD_IA": {
                "usd_per_gb_month": 0.01,
                "usd_per_1000_transitions": 0.01,
                "minimum_days": 30,
                "minimum_kib": 128,
            },
            "GLACIER_IR": {
                "usd_per_gb_month": 0.005,
                "usd_per_1000_transitions": 0.02,
                "minimum_days": 90,
                "minimum_kib": 128,
            },
            "GLACIER": {
                "usd_per_gb_month": 0.004,
                "usd_per_1000_transitions": 0.05,
                "minimum_days": 90,
                "overhead_kib": 32,
                "standard_overhead_kib": 8,
            },
        }
    }
).prices
IN_GLACIER = 0.004 + 0.004 / 32_768 + 0.02 / 131_072
"""1 GiB and 32 KiB at its own price, 8 KiB at that of STANDARD."""


def scenario(*steps: tuple[str, str], expire_days: int | None = 2555) -> Scenario:
    transitions = [
        Transition.model_validate({"after": after, "storage_class": name}) for after, name in steps
    ]
    return Scenario(transitions, PRICES, expire_days)


def procedures() -> Scenario:
    return scenario(("30d", "STANDARD_IA"), ("90d", "GLACIER"))


@pytest.mark.parametrize(
    ("size", "name", "usd"),
    [
        (GIB, "STANDARD", 0.02),
        (GIB, "STANDARD_IA", 0.01),
        (GIB, "GLACIER", IN_GLACIER),
        (0, "STANDARD", 0),
        # Billed as 128 KiB, the 8192nd part of a GiB.
        (64 * KIB, "STANDARD_IA", 0.01 / 8192),
        (1, "STANDARD_IA", 0.01 / 8192),
        # 128 + 32 KiB are 10 of the 65536 parts of 16 KiB, and 8 KiB more in STANDARD.
        (128 * KIB, "GLACIER", 10 * 0.004 / 65_536 + 0.02 / 131_072),
    ],
)
def test_an_object_costs_its_size_or_the_least_that_is_billed(
    size: int, name: Any, usd: float
) -> None:
    assert usd_per_month(size, name, PRICES) == pytest.approx(usd, rel=1e-12)


def test_month_of_the_procedures_lifecycle() -> None:
    found = procedures()
    for age, present in [(10, "STANDARD"), (40, "STANDARD_IA"), (100, "GLACIER"), (200, "GLACIER")]:
        found.add(GIB, age, present)
    assert found.storage_usd == pytest.approx(0.02 + 0.01 + 2 * IN_GLACIER)
    # Within 30 days one of them went to STANDARD_IA and one to GLACIER.
    assert found.moves_usd == pytest.approx(0.00001 + 0.00005)
    # 60 days in STANDARD_IA are more than its minimum.
    assert found.early_usd == 0
    assert found.versions_to_move == 0


def test_other_transition_is_compared_with_the_present_one() -> None:
    """The 100 GiB that are 40 days old would lie in GLACIER instead of STANDARD_IA."""
    present, other = procedures(), scenario(("30d", "GLACIER"))
    for found in (present, other):
        for _ in range(100):
            found.add(GIB, 40, "STANDARD_IA")
    # 100 GiB at 0.01, and 100 moves at 0.01 per 1000.
    assert present.usd == pytest.approx(1.0 + 0.001)
    # 100 GiB at 0.004 with the overhead, and 100 moves at 0.05 per 1000.
    assert other.usd == pytest.approx(100 * IN_GLACIER + 0.005)
    assert (other.versions_to_move, other.at_once_usd) == (100, pytest.approx(0.005))
    assert compare_costs(present, other) == (
        "GLACIER after 30 d instead of STANDARD_IA after 30 d and GLACIER after 90 d: "
        "0.60 USD a month less; moving 100 versions there costs 0.00 USD once"
    )


def test_other_transition_may_cost_more() -> None:
    present, other = procedures(), scenario(("90d", "STANDARD_IA"))
    for found in (present, other):
        found.add(100 * GIB, 40, "STANDARD_IA")
    # 100 GiB: 2.00 in STANDARD against 1.00 in STANDARD_IA and its move.
    assert compare_costs(present, other).startswith(
        "STANDARD_IA after 90 d instead of STANDARD_IA after 30 d and GLACIER after 90 d: "
        "1.00 USD a month more; moving 1 version there costs 0.00 USD once"
    )


def test_leaving_a_class_before_its_minimum_is_billed() -> None:
    """15 days in GLACIER_IR of the 90 that are billed: 75 of 30 days at 0.005."""
    found = scenario(("30d", "GLACIER_IR"), ("45d", "GLACIER"))
    found.add(GIB, 50, "GLACIER")
    assert found.early_usd == pytest.approx(2.5 * 0.005)
    old = scenario(("30d", "GLACIER_IR"), ("45d", "GLACIER"))
    old.add(GIB, 75, "GLACIER")
    assert old.early_usd == 0


@pytest.mark.parametrize(
    ("age", "moves"), [(29, 0), (30, 0.00001), (59, 0.00001), (60, 0), (90, 0.00005)]
)
def test_a_move_counts_for_thirty_days(age: int, moves: float) -> None:
    found = procedures()
    found.add(GIB, age, "STANDARD")
    assert found.moves_usd == pytest.approx(moves)


def test_small_objects_are_never_moved() -> None:
    """Below 128 KiB S3 leaves them in STANDARD."""
    found = procedures()
    found.add(128 * KIB - 1, 100, "STANDARD")
    assert found.storage_usd == pytest.approx((128 * KIB - 1) / GIB * 0.02)
    assert (found.moves_usd, found.versions_to_move) == (0, 0)


def test_what_has_expired_costs_nothing() -> None:
    found = procedures()
    found.add(GIB, 2555, "GLACIER")
    assert found.usd == 0
    kept = scenario(expire_days=None)
    kept.add(GIB, 9999, "STANDARD")
    assert kept.usd == pytest.approx(0.02)
    assert kept.words == "no transition"
