"""The recovery tests' history of a real cluster in a real bucket, with nothing verified yet."""

from collections.abc import Iterator

import pytest

from ledgerkeep.catalog import keys
from tests.recovery.conftest import History
from tests.recovery.conftest import history as lived

__all__ = ["lived"]


@pytest.fixture
def history(lived: History) -> Iterator[History]:
    """A backup and three stretches of WAL."""
    yield lived
    catalog = lived.catalog
    catalog.store.delete_prefix(keys.checked(catalog.environment, lived.system_identifier))
    for proof in catalog.proofs(lived.system_identifier)[lived.backup.id][1:]:
        name = f"{proof.shown_at:%Y%m%dT%H%M%S%fZ}-{proof.level}"
        key = keys.proof(catalog.environment, lived.system_identifier, lived.backup.id, name)
        catalog.store.delete_prefix(key)
