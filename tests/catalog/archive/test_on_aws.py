"""An archive into an account with roles and storage classes, as moto has them.

It refuses to read what lies in the cold, and it forgets a lock that comes with an upload in parts,
which makes it a store that does not do as it was told.
"""

import pytest

from ledgerkeep.catalog.archive.make import archives
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.errors import StorageError, StoreAccessDenied
from tests.catalog.archive.support import archive, own_catalog, stored_backup, volume
from tests.recovery.samples import SYSTEM
from tests.support.vault_account import ROLE, Account, account  # noqa: F401

pytestmark = pytest.mark.integration

SIZE = 6_000_000


def test_copy_through_the_role_is_cold_locked_and_never_read_back(
    account: Account,  # noqa: F811
) -> None:
    """A second run needs the objects' heads only: a cold one could not be read."""
    account.allow_the_role()
    catalog, vault = own_catalog(), account.open()
    backup = stored_backup(catalog, "b1", size=SIZE)

    made = archive(catalog, vault).archive

    classes = {one.key: one.storage_class for one in made.objects}
    assert classes[volume("b1", 1)] == "DEEP_ARCHIVE"
    assert {kind for key, kind in classes.items() if key.endswith(".json")} == {"STANDARD"}
    head = vault.records.head(volume("b1", 1))
    assert head.retention.mode == "COMPLIANCE"
    assert head.retention.until == made.locked_until
    assert Catalog(vault.records, catalog.policy).backups(SYSTEM) == [backup]
    with pytest.raises(StorageError, match="lies in cold storage and cannot be read yet"):
        list(vault.records.read(backup.archives[0].volumes[0]))
    assert not archive(catalog, vault, run="later/1").made


def test_without_the_role_nothing_is_copied(account: Account) -> None:  # noqa: F811
    catalog = own_catalog()
    stored_backup(catalog, "b1")
    with pytest.raises(StoreAccessDenied) as refused:
        archive(catalog, account.open())
    assert refused.value.message == f"the role {ROLE} may not be assumed (AccessDenied)"
    assert archives(catalog, SYSTEM) == []
    account.allow_the_role()
    assert list(account.open().records.list("")) == []
