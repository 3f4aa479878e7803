"""Items: one canonical form, marks where the secrets are, and back."""

import pytest

from ledgerkeep.configuration.items import (
    Item,
    Marker,
    Secret,
    content_digest,
    is_mark,
    marks,
    opened,
    revealed,
)

CONTENT = {"host": "db", "login": {"user": "loan", "password": Secret("open sesame")}}


def test_the_order_of_members_does_not_change_an_item() -> None:
    one = Item(key="a", content={"x": 1, "y": [1, 2]})
    other = Item(key="a", content={"y": [1, 2], "x": 1})
    assert one.digest() == other.digest()


def test_the_order_of_a_list_does() -> None:
    assert (
        Item(key="a", content={"y": [1, 2]}).digest()
        != Item(key="a", content={"y": [2, 1]}).digest()
    )


def test_the_mark_of_a_state_is_no_part_of_the_content() -> None:
    assert (
        Item(key="a", content={}, mark="1").digest() == Item(key="a", content={}, mark="2").digest()
    )


def test_a_secret_is_replaced_by_its_mark_and_kept_apart() -> None:
    marked = Marker(b"k" * 32).mark("a", CONTENT)
    login = marked.item.content["login"]
    assert isinstance(login, dict)
    assert is_mark(login["password"])
    assert marked.secrets == {"/login/password": "open sesame"}
    assert b"sesame" not in marked.item.to_json()


def test_a_secret_shows_in_no_representation() -> None:
    marked = Marker(b"k" * 32).mark("a", CONTENT)
    assert "sesame" not in f"{marked!r} {CONTENT!r} {CONTENT['login']!s} {Secret('sesame')!s}"


def test_equal_secrets_of_one_place_have_equal_marks_and_of_two_places_have_not() -> None:
    marker = Marker(b"k" * 32)
    content = {"one": Secret("same"), "two": Secret("same")}
    first, again = marker.mark("a", content).item, marker.mark("a", content).item
    assert first == again
    assert first.content["one"] != first.content["two"]
    assert marker.mark("b", content).item.content["one"] != first.content["one"]


def test_another_key_makes_other_marks() -> None:
    content = {"one": Secret("same")}
    assert Marker(b"a" * 32).mark("a", content) != Marker(b"b" * 32).mark("a", content)


def test_a_marked_item_is_revealed_as_it_was() -> None:
    content = {"a/b": {"~": [Secret("x"), {"y": Secret("z")}]}, "n": None}
    marked = Marker(b"k" * 32).mark("a", content)
    assert revealed(marked.item, marked.secrets) == content
    assert sorted(marks(marked.item)) == ["/a~1b/~0/0", "/a~1b/~0/1/y"]


def test_a_missing_value_is_not_replaced_by_anything() -> None:
    marked = Marker(b"k" * 32).mark("a", CONTENT)
    with pytest.raises(KeyError):
        revealed(marked.item, {})


def test_content_that_looks_like_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a has a member \$secret, which is ours$"):
        Marker(b"k" * 32).mark("a", {"inner": {"$secret": "hmac-sha256:00"}})


def test_opened_content_is_plain_json() -> None:
    assert opened(CONTENT) == {"host": "db", "login": {"user": "loan", "password": "open sesame"}}


def test_the_digest_of_all_items_does_not_depend_on_their_order() -> None:
    one, two = Item(key="a", content={"x": 1}), Item(key="b", content={"x": 2})
    assert content_digest([one, two]) == content_digest([two, one])
    assert content_digest([one]) != content_digest([one, two])
