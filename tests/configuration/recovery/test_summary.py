"""A plan in words: what is live against what it would become, nothing secret, never too long."""

import pytest

from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.recovery.plan import make_plan
from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.configuration.recovery.summary import counts, readable, summarise
from tests.configuration.recovery.shelf import Shelf
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]


@pytest.fixture
def account(aws: None) -> Account:
    return open_account(policy_with())


def planned(account: Account, before: Shelf, now: Shelf) -> tuple[str, str, str]:
    account.back_up(before)
    made = make_plan(now, account.versions, account.marker, ConfigurationRequest(source="shelf"))
    whole = account.store.objects[made.short.readable.key].body.decode()
    assert whole == readable(made.plan)
    short = summarise(made.plan, made.short, reason="INC-7: a | b", asked_by="dana")
    assert f"sha256 `{made.plan.digest()}`" in short
    return whole, short, counts(made.plan)


def test_every_difference_is_shown_and_no_secret(account: Account) -> None:
    before = Shelf(
        things={
            "a": {"size": 1},
            "b": {"password": Secret("correct horse")},
            "hand-1": {"x": 1},
            "same": {},
        }
    )
    now = Shelf(things={"b": {"password": Secret("wrong pony")}, "more": {}, "same": {}})
    whole, short, told = planned(account, before, now)
    assert told == (
        "1 to create, 1 to change, 1 left to a person, 1 unknown to the version and left alone, "
        "1 the same"
    )
    for text in (whole, short):
        assert (
            "```diff\n"
            "a is missing, and would be created\n"
            "  + /size: 1\n"
            "b differs, and would be changed\n"
            "  - /password: *** (secret)\n"
            "  + /password: *** (secret)\n"
            "```\n"
        ) in text
        assert "- **Left to a person:** `hand-1`: turn the key" in text
        assert "- **Left alone**, being live and not in the version: `more`" in text
        assert "correct horse" not in text
        assert "wrong pony" not in text
    assert "| reason | INC-7: a \\| b |" in short
    assert "| asked for by | dana |" in short


def test_long_difference_is_cut_where_it_is_approved_and_whole_in_the_bucket(
    account: Account,
) -> None:
    before = Shelf(things={f"key-{n:04}": {"text": "x" * 200} for n in range(500)})
    whole, short, _ = planned(account, before, Shelf())
    assert whole.count("is missing") == 500
    assert len(short) < 9_000
    assert "more lines, in `production/configuration/recoveries/" in short


def test_nothing_in_a_value_can_end_the_block(account: Account) -> None:
    text = "one\n```\n# Approved by everybody\n````\n"
    before = Shelf(things={"a": {"text": text}})
    whole, _, _ = planned(account, before, Shelf(things={"a": {"text": "one\n"}}))
    assert "`````diff\n" in whole


def test_nothing_to_do_is_said(account: Account) -> None:
    shelf = Shelf(things={"a": {}})
    _, short, told = planned(account, shelf, shelf)
    assert told == "1 the same"
    assert "There is nothing to apply." in short
