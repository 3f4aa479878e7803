"""The lender's accounts: every source reads them, and a restart finds them as they were."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from include.sandbox import environment
from include.sandbox.lender import infrastructure
from include.sandbox.lender.account import LenderAccount
from include.sandbox.lender.stock import secret_values, stock
from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.back_up import Live, read_live
from ledgerkeep.configuration.items import Marker, content_digest
from ledgerkeep.configuration.registry import configuration_of, open_source, source_names
from ledgerkeep.configuration.source import Source
from ledgerkeep.policy.load import load_environment
from ledgerkeep.policy.model import Policy
from tests.support.lender import SEED, access, account, saas_logins, serving, serving_saas

pytestmark = pytest.mark.integration

SHIPPED = load_environment("production", environment.POLICIES)
NAMES = source_names(SHIPPED)


@dataclass(frozen=True)
class Lender:
    """Production of a sandbox."""

    account: LenderAccount
    policy: Policy
    logins: dict[str, Login]

    def source(self, name: str) -> Source:
        return open_source(name, access(self.account, self.logins), self.policy)

    def read(self, name: str) -> Live:
        return read_live(self.source(name), Marker(b"k" * 32), {})

    def stock(self) -> None:
        """As a start of the sandbox does."""
        stock(self.account, self.policy)
        infrastructure.stock([self.policy], self.account.url, SEED)


@contextmanager
def lending(home: Path) -> Iterator[Lender]:
    """A lender with all servers, stocked."""
    placed = infrastructure.place_policies(environment.POLICIES, home, [SHIPPED])
    policy = load_environment("production", placed)
    with serving(home) as url, serving_saas(home) as elsewhere:
        found = Lender(account(url), policy, saas_logins(elsewhere))
        found.stock()
        yield found


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lender]:
    with lending(tmp_path_factory.mktemp("lender")) as found:
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_source_finds_something_and_stocking_again_changes_nothing(
    lender: Lender, name: str
) -> None:
    before = lender.read(name).items
    lender.stock()
    assert before
    assert lender.read(name).items == before


def test_every_secret_is_found_and_none_of_them_in_the_clear(lender: Lender) -> None:
    found, plain = "", ""
    for name in NAMES:
        live = lender.read(name)
        found += json.dumps(live.values, ensure_ascii=False)
        plain += json.dumps([item.content for item in live.items.values()], ensure_ascii=False)
    for what, value in secret_values(lender.account).items():
        quoted = json.dumps(value, ensure_ascii=False)[1:-1]
        assert quoted in found, what
        assert quoted not in plain, what


def test_everything_holds_the_same_after_a_restart(lender: Lender, tmp_path: Path) -> None:
    """So that a restart is no change, and what was sealed before can be compared and put back."""
    with lending(tmp_path) as again:
        # Repositories are files, which a restart leaves where they are.
        for name in set(NAMES) - {"repositories"}:
            before, after = lender.read(name).items, again.read(name).items
            assert content_digest(after.values()) == content_digest(before.values()), name


@pytest.mark.skipif(shutil.which("terraform") is None, reason="needs terraform on the PATH")
def test_terraform_finds_its_code_and_state_in_agreement(lender: Lender) -> None:
    states = configuration_of(lender.policy).sources.terraform_state
    assert states is not None
    assert lender.source("terraform_state").settled(states.keys) == []
