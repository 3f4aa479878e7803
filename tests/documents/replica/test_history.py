"""One key compared: what is missing, what differs, what has to be appended."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from ledgerkeep.documents.replica.history import (
    compare_history,
    is_diverged,
    pending,
    to_append,
)
from ledgerkeep.documents.replica.rules import Rules
from tests.documents.replica.samples import BY_CONTENT, BY_ID, NOON, history, letters


def told(source: str, replica: str, rules: Rules = BY_CONTENT, *, ids: str = "") -> list[str]:
    """Kind and version of each difference; by id, the replica's versions have these ids."""
    found = compare_history(history("k", source), history("k", replica, ids=ids), rules)
    return [f"{one.kind} {one.version_id}" for one in found.differences()]


# -- known by their content


@pytest.mark.parametrize(
    ("source", "replica", "differences"),
    [
        ("abc", "abc", []),
        ("abc", "ab", ["missing c2"]),
        ("abc", "", ["missing c2", "missing b1", "missing a0"]),
        ("abc", "ac", ["missing b1"]),
        ("ab", "abc", ["extra c2"]),
        ("ab-", "ab", ["marker_missing -2"]),
        ("ab", "ab-", ["marker_extra -2"]),
        ("a-b-", "a-b", ["marker_missing -3"]),
        ("aa", "a", ["missing a1"]),
        ("abc", "axc", ["different b1"]),
        ("abc", "acb", ["order c2"]),
        # What was appended once more does no harm but to be there.
        ("abc", "acbc", ["extra c3"]),
    ],
)
def test_difference_of_contents_is_named(source: str, replica: str, differences: list[str]) -> None:
    assert told(source, replica) == differences


def test_other_ids_are_no_difference_where_contents_are_compared() -> None:
    assert told("ab-", "ab-", ids="x y z") == []


# -- known by their id


@pytest.mark.parametrize(
    ("source", "replica", "ids", "differences"),
    [
        ("abc", "abc", "a0 b1 c2", []),
        ("abc", "ac", "a0 c2", ["missing b1"]),
        ("ab-", "ab", "a0 b1", ["marker_missing -2"]),
        ("ab", "ab-", "a0 b1 x", ["marker_extra x"]),
        ("ab", "abc", "a0 b1 x", ["extra x"]),
        ("abc", "axc", "a0 b1 c2", ["different b1"]),
        ("abc", "acb", "a0 c2 b1", ["order c2"]),
        ("ab", "ab", "a0 x", ["other_id b1"]),
        ("a-", "ab", "a0 -1", ["different -1"]),
    ],
)
def test_difference_of_ids_is_named(
    source: str, replica: str, ids: str, differences: list[str]
) -> None:
    assert told(source, replica, BY_ID, ids=ids) == differences


def test_order_is_not_looked_at_where_it_is_not_known() -> None:
    assert told("abc", "acb", replace(BY_ID, ordered=False), ids="a0 c2 b1") == []


# -- what is not expected


def test_what_is_younger_than_the_lag_is_on_its_way() -> None:
    young = replace(BY_CONTENT, young_from=NOON - timedelta(minutes=598))
    found = compare_history(history("k", "ab-c"), history("k", "a"), young)
    assert [f"{one.kind} {one.version_id}" for one in found.differences()] == ["missing b1"]
    assert found.young == 2


def test_what_was_replaced_so_long_ago_that_the_lifecycle_removed_it_is_not_missing() -> None:
    """`a` was replaced 599 minutes before noon, `b` 598 minutes; `c` is current."""
    rules = replace(BY_CONTENT, expired_before=NOON - timedelta(minutes=598, seconds=30))
    found = compare_history(history("k", "abc"), [], rules)
    assert letters(found.missing) == "cb"
    assert found.expired == 1
    assert letters(to_append(history("k", "abc"), [], rules)) == "bc"


# -- what ETags do not tell


def test_different_etags_of_multipart_uploads_or_of_kms_settle_nothing() -> None:
    one, other = history("k", "a")[0], history("k", "b")[0]
    assert BY_ID.judge(one, other) == "different"
    assert BY_ID.judge(replace(one, etag="aa-2"), other) == "doubtful"
    assert BY_ID.judge(replace(one, etag="aa-2"), replace(other, size=11)) == "different"
    assert replace(BY_ID, plain_etags=False).judge(one, other) == "doubtful"
    assert replace(BY_ID, plain_etags=False).judge(one, one) == "same"


def test_key_whose_contents_cannot_be_told_apart_asks_for_a_closer_look() -> None:
    kms = replace(BY_CONTENT, plain_etags=False)
    assert compare_history(history("k", "ab"), history("k", "ax"), kms).unclear
    assert not compare_history(history("k", "ab"), history("k", "a"), kms).unclear


# -- what has to be appended


@pytest.mark.parametrize(
    ("source", "replica", "appended"),
    [
        ("abc", "abc", ""),
        ("abc", "a", "bc"),
        ("ab-", "ab", "-"),
        ("a-b-", "", "a-b-"),
        # One that is missing in the middle takes all that followed it along, so that the
        # newest stays the newest.
        ("abc", "ac", "bc"),
        ("abc", "acb", "c"),
        ("abc", "acbc", ""),
        ("aab", "ab", "ab"),
        ("abc", "xabc", ""),
        ("abc", "axc", "bc"),
    ],
)
def test_what_is_appended_makes_the_replica_hold_everything_in_order(
    source: str, replica: str, appended: str
) -> None:
    plan = to_append(history("k", source), history("k", replica), BY_CONTENT)
    assert letters(plan) == appended


def test_stopped_after_any_copy_the_rest_is_appended_and_no_more() -> None:
    """For a thousand random histories, stopped after each of their copies."""
    drawn = random.Random(4)
    for _ in range(1000):
        source = "".join(drawn.choices("ab-", k=drawn.randrange(1, 7)))
        replica = "".join(drawn.choices("abx-", k=drawn.randrange(0, 5)))
        plan = letters(to_append(history("k", source), history("k", replica), BY_CONTENT))
        for done in range(len(plan) + 1):
            there = history("k", replica + plan[:done])
            rest = letters(to_append(history("k", source), there, BY_CONTENT))
            assert rest == plan[done:], (source, replica)
        after = history("k", replica + plan)
        found = compare_history(history("k", source), after, BY_CONTENT)
        assert [*found.missing, *found.different, *found.misordered] == [], (source, replica)
        if plan:
            assert letters(after)[0] == source[-1]


def test_version_with_the_same_id_need_not_have_the_same_etag() -> None:
    kms = replace(BY_ID, plain_etags=False)
    there = history("k", "xyz", ids="a0 b1 c2")
    assert to_append(history("k", "abc"), there, kms) == []
    assert letters(to_append(history("k", "abc"), there, BY_ID)) == "abc"


def test_nothing_is_appended_while_all_of_it_is_on_its_way() -> None:
    rules = replace(BY_ID, young_from=NOON - timedelta(minutes=598))
    source = history("k", "abc")
    assert pending(source, history("k", "ab"), rules) == []
    # What is old and missing takes what is young along: the newest stays the newest.
    assert letters(pending(source, history("k", "a"), rules)) == "bc"


def test_key_whose_newest_version_is_only_in_the_replica_has_diverged() -> None:
    source = history("k", "ab")
    assert is_diverged(source, history("k", "ax"), BY_CONTENT)
    assert not is_diverged(source, history("k", "xa"), BY_CONTENT)
    assert not is_diverged(source, [], BY_CONTENT)
