"""Comparing two states, item by item."""

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item


def _items(**contents: int) -> dict[str, Item]:
    return {key: Item(key=key, content={"value": value}) for key, value in contents.items()}


def test_equal_states_need_nothing() -> None:
    assert compare(_items(a=1, b=2), _items(b=2, a=1)) == []


def test_what_is_new_gone_or_different_is_named_by_key() -> None:
    found = compare(_items(a=1, b=2, c=3), _items(b=5, c=3, d=4))
    assert [(one.action, one.key) for one in found] == [
        ("delete", "a"),
        ("update", "b"),
        ("create", "d"),
    ]


def test_a_change_carries_both_states() -> None:
    before, after = _items(b=2), _items(b=5)
    (change,) = compare(before, after)
    assert (change.before, change.after) == (before["b"], after["b"])


def test_another_mark_alone_is_no_change() -> None:
    old = Item(key="a", content={"value": 1}, mark="1")
    new = Item(key="a", content={"value": 1}, mark="2")
    assert compare({"a": old}, {"a": new}) == []
