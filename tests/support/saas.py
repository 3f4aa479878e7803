"""What tests of sources behind management APIs share: export, compare, put back."""

from collections.abc import Mapping
from typing import Any

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item, Marker
from ledgerkeep.configuration.source import Change, Found, Planned, Source

Contents = dict[str, Mapping[str, Any]]


def exported(source: Source) -> Contents:
    """Everything, by key."""
    found = [one for one in source.export({}) if isinstance(one, Found)]
    assert len({one.key for one in found}) == len(found)
    return {one.key: one.content for one in found}


def marked(contents: Contents) -> dict[str, Item]:
    """The same as items, under one key."""
    marker = Marker(b"k" * 32)
    return {key: marker.mark(key, one).item for key, one in contents.items()}


def differences(before: Contents, after: Contents) -> list[Planned]:
    """What has to be done so that `before` becomes `after`."""
    return compare(marked(before), marked(after))


def words(changes: list[Planned]) -> list[str]:
    """As `update kind/name`."""
    return [f"{one.action} {one.key}" for one in changes]


def put_back(
    source: Source, stored: Contents, attachments: Mapping[str, Any] | None = None
) -> list[str]:
    """Apply everything that differs, in the source's order; what is left to a person."""
    live = exported(source)
    left: list[str] = []
    for one in source.order(differences(live, stored)):
        text = source.by_hand(one)
        if text:
            left.append(text)
            continue
        bytes_of = (attachments or {}).get(one.key)
        source.apply(Change(one.action, one.key, live.get(one.key), stored.get(one.key), bytes_of))
    return left
