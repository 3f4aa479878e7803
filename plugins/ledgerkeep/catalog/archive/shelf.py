"""What the vault itself says about the archives of one cluster: begun, and complete.

The vault is the authority on its own content. The record beside the catalog is a copy for reports
and for retention, and may be missing where a run was killed at its very end.
"""

from datetime import datetime

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.archive.copy import Wanted
from ledgerkeep.catalog.archive.record import BEGUN, COMPLETE, ArchiveBegun, YearlyArchive
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.storage.port import StoredObject


def archive_id(year: int, recovery_point_id: str) -> str:
    """The same for the same recovery point in the same year, whoever archives it."""
    return f"{year}-{recovery_point_id}"


class Shelf:
    """One cluster's archives in the vault."""

    def __init__(self, vault: Catalog, system_identifier: str) -> None:
        """Open it.

        :param vault: a catalog on the vault's bucket.
        """
        self._vault = vault
        self._system_identifier = system_identifier

    def completed(self, year: int, recovery_point_id: str | None) -> YearlyArchive | None:
        """The year's archive: of that recovery point, or of any."""
        for name in self._of_year(year):
            if recovery_point_id is None or name == archive_id(year, recovery_point_id):
                for archive in self._vault.read_all(self._key(name, COMPLETE), YearlyArchive):
                    return archive
        return None

    def begun(self, year: int) -> list[str]:
        """Recovery points whose archive was begun in that year."""
        return [
            begun.recovery_point_id
            for name in self._of_year(year)
            for begun in self._vault.read_all(self._key(name, BEGUN), ArchiveBegun)
        ]

    def begin(self, recovery_point_id: str, *, year: int, run: str, at: datetime) -> Wanted:
        """Say what is under way, before anything is copied; returns the object that says it."""
        name = archive_id(year, recovery_point_id)
        key = self._key(name, BEGUN)
        earlier = self._vault.read_all(key, ArchiveBegun)
        new = ArchiveBegun(id=name, recovery_point_id=recovery_point_id, run=run, at=at)
        begun = earlier[0] if earlier else new
        stored = self._vault.store.put(key, begun.to_json(), content_type="application/json")
        return Wanted(stored, cold=False)

    def complete(self, archive: YearlyArchive) -> StoredObject:
        """Write the record of an archive: from now on it exists."""
        key = self._key(archive.id, COMPLETE)
        return self._vault.store.put(key, archive.to_json(), content_type="application/json")

    def _of_year(self, year: int) -> list[str]:
        prefix = keys.archives(self._vault.environment, self._system_identifier)
        found = self._vault.store.list_directories(prefix)
        return [name for name in found if name.startswith(f"{year}-")]

    def _key(self, name: str, file: str) -> str:
        return keys.vault_archive(self._vault.environment, self._system_identifier, name) + file
