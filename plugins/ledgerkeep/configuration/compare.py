"""Comparing: what has to be done so that one state becomes another. Pure.

Both sides are items by key, in their canonical form; which of them is stored and which is live,
or whether both are stored, makes no difference to the comparison.
"""

from collections.abc import Mapping

from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.source import Planned


def compare(before: Mapping[str, Item], after: Mapping[str, Item]) -> list[Planned]:
    """What is created, updated and deleted so that `before` becomes `after`, by key."""
    found: list[Planned] = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is None:
            found.append(Planned("create", key, None, new))
        elif new is None:
            found.append(Planned("delete", key, old, None))
        elif old.content != new.content:
            found.append(Planned("update", key, old, new))
    return found
