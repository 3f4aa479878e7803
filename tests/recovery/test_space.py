"""How much a chain's files take, from what its manifests list."""

from ledgerkeep.database.postgres.manifest import Manifest, ManifestFile
from ledgerkeep.recovery.space import CombinedSize, combined_size


def manifest(**sizes: int) -> Manifest:
    """A manifest of files in one directory."""
    files = [ManifestFile(f"base/5/{name}", size, 0) for name, size in sizes.items()]
    return Manifest(files, [], "1")


def incremental(**sizes: int) -> Manifest:
    """A manifest of incremental files."""
    return manifest(**{f"INCREMENTAL.{name}": size for name, size in sizes.items()})


def test_only_what_a_file_may_grow_by_is_not_shared():
    chain = [manifest(still=8000, busy=8000), incremental(still=12, busy=4012)]
    assert combined_size(chain) == CombinedSize(whole=8000 + 12000, grown=4000)


def test_change_in_a_backup_between_counts():
    chain = [manifest(once=8000), incremental(once=4012), incremental(once=12)]
    assert combined_size(chain) == CombinedSize(whole=12000, grown=4000)


def test_file_that_a_later_backup_brings_whole_begins_anew_there():
    chain = [manifest(truncated=90_000), manifest(truncated=8000), incremental(truncated=12)]
    assert combined_size(chain) == CombinedSize(whole=8000, grown=0)


def test_file_that_is_gone_at_the_end_takes_nothing():
    assert combined_size([manifest(dropped=8000, kept=10), manifest(kept=20)]) == CombinedSize(
        whole=20, grown=0
    )
