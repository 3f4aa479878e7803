"""Chains of base backups: what must be there to restore one, and what falls with one."""

import pytest

from ledgerkeep.catalog.chain import by_id, chain_of, descendants, is_whole
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.errors import ChainBroken
from tests.recovery.samples import backup


def _on(parent: str | None, name: str) -> BaseBackup:
    made = backup(name, stop=1, at=1)
    method = "incremental" if parent else "full"
    return made.model_copy(update={"method": method, "parent_id": parent})


KNOWN = [_on(None, "full"), _on("full", "a"), _on("a", "b"), _on("a", "c"), _on(None, "other")]


def test_a_chain_leads_from_the_full_backup_to_the_one_that_is_wanted() -> None:
    """Siblings and other chains are no part of it."""
    chain = chain_of(KNOWN[3], by_id(KNOWN))
    assert [one.id for one in chain] == ["full", "a", "c"]
    assert chain_of(KNOWN[0], by_id(KNOWN)) == [KNOWN[0]]


def test_a_missing_parent_breaks_the_chain_and_is_named() -> None:
    """Also when it is not the direct one."""
    known = by_id(one for one in KNOWN if one.id != "full")
    with pytest.raises(ChainBroken) as refused:
        chain_of(KNOWN[2], known)
    assert refused.value.message == "backup b builds on full, which is gone"
    assert refused.value.hint == (
        "it cannot be restored; choose another backup, and take a new full one"
    )
    assert not is_whole(KNOWN[2], known)
    assert is_whole(KNOWN[2], by_id(KNOWN))


def test_everything_that_builds_on_a_backup_falls_with_it() -> None:
    """Over several generations and branches."""
    assert descendants("full", KNOWN) == {"a", "b", "c"}
    assert descendants("b", KNOWN) == set()
