"""The lender's accounts: every source reads them, and a restart finds them as they were."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.sandbox import environment
from include.sandbox.lender.account import LenderAccount
from include.sandbox.lender.stock import secret_values, stock
from ledgerkeep.configuration.back_up import Live, read_live
from ledgerkeep.configuration.items import Marker, content_digest
from ledgerkeep.configuration.registry import open_source, source_names
from ledgerkeep.policy.load import load_environment
from tests.support.lender import access, account, serving

pytestmark = pytest.mark.integration

POLICY = load_environment("production", environment.POLICIES)
OF_AWS = [
    name
    for name in source_names(POLICY)
    if name
    in {"parameters", "secrets", "services", "terraform_state", "iam", "security_groups"}
    | {"kms", "waf"}
]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LenderAccount]:
    with serving(tmp_path_factory.mktemp("aws")) as url:
        held = account(url)
        stock(held, POLICY)
        yield held


def read(held: LenderAccount, name: str) -> Live:
    source = open_source(name, access(held), POLICY)
    return read_live(source, Marker(b"k" * 32), {})


@pytest.mark.parametrize("name", OF_AWS)
def test_source_finds_something_and_stocking_again_changes_nothing(
    stocked: LenderAccount, name: str
) -> None:
    before = read(stocked, name).items
    stock(stocked, POLICY)
    assert before
    assert read(stocked, name).items == before


def test_every_secret_is_found_and_none_of_them_in_the_clear(stocked: LenderAccount) -> None:
    found, plain = "", ""
    for name in OF_AWS:
        live = read(stocked, name)
        found += json.dumps(live.values, ensure_ascii=False)
        plain += json.dumps([item.content for item in live.items.values()], ensure_ascii=False)
    for what, value in secret_values(stocked).items():
        quoted = json.dumps(value, ensure_ascii=False)[1:-1]
        assert quoted in found, what
        assert quoted not in plain, what


def test_account_holds_the_same_after_a_restart(stocked: LenderAccount, tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        again = account(url)
        stock(again, POLICY)
        for name in OF_AWS:
            before, after = read(stocked, name).items, read(again, name).items
            assert content_digest(after.values()) == content_digest(before.values()), name
