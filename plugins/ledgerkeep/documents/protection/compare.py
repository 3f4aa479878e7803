"""All comparisons of a bucket with its policy, in the order in which they are read."""

from ledgerkeep.documents.protection.access import compare_access
from ledgerkeep.documents.protection.lifecycle import compare_lifecycle
from ledgerkeep.documents.protection.lines import Line
from ledgerkeep.documents.protection.plain import (
    compare_encryption,
    compare_logging,
    compare_object_lock,
    compare_ownership,
    compare_public_access,
    compare_versioning,
)
from ledgerkeep.documents.protection.replication import compare_replication
from ledgerkeep.documents.protection.settings import Settings
from ledgerkeep.documents.protection.wanted import Wanted

_COMPARISONS = (
    compare_versioning,
    compare_replication,
    compare_encryption,
    compare_lifecycle,
    compare_object_lock,
    compare_public_access,
    compare_access,
    compare_ownership,
    compare_logging,
)


def compare(settings: Settings, wanted: Wanted) -> list[Line]:
    """One line per property that the policy asks something of."""
    return [line for comparison in _COMPARISONS for line in comparison(settings, wanted)]
