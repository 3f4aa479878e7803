"""A difference as a person reads it."""

from ledgerkeep.configuration.difference import describe
from ledgerkeep.configuration.items import Item, Marker, Secret
from ledgerkeep.configuration.source import Planned

MARKER = Marker(b"k" * 32)


def _lines(before: dict | None, after: dict | None) -> list[str]:
    old = MARKER.mark("the/key", before).item if before is not None else None
    new = MARKER.mark("the/key", after).item if after is not None else None
    action = "create" if old is None else "delete" if new is None else "update"
    return describe(Planned(action, "the/key", old, new))


def test_only_the_values_that_differ_are_shown() -> None:
    before = {"port": 22, "open": ["10.0.0.0/8"], "name": "db"}
    after = {"port": 443, "open": ["10.0.0.0/8", "0.0.0.0/0"], "name": "db"}
    assert _lines(before, after) == [
        "the/key differs, and would be changed",
        '  + /open/1: "0.0.0.0/0"',
        "  - /port: 22",
        "  + /port: 443",
    ]


def test_a_secret_that_differs_is_masked_on_both_sides() -> None:
    assert _lines({"password": Secret("old")}, {"password": Secret("new")}) == [
        "the/key differs, and would be changed",
        "  - /password: *** (secret)",
        "  + /password: *** (secret)",
    ]


def test_a_value_that_becomes_null_is_a_difference_from_one_that_is_gone() -> None:
    assert _lines({"a": None, "b": 1}, {"b": 1}) == [
        "the/key differs, and would be changed",
        "  - /a: null",
    ]


def test_a_document_kept_as_text_is_compared_inside() -> None:
    before, after = (
        '{"Effect": "Allow", "Action": "s3:*"}',
        '{"Action":"s3:GetObject","Effect":"Allow"}',
    )
    assert _lines({"policy": before}, {"policy": after}) == [
        "the/key differs, and would be changed",
        '  - /policy/Action: "s3:*"',
        '  + /policy/Action: "s3:GetObject"',
    ]


def test_a_text_of_many_lines_is_shown_as_changed_lines() -> None:
    assert _lines({"file": "one\ntwo\nthree\n"}, {"file": "one\n2\nthree\n"}) == [
        "the/key differs, and would be changed",
        "  /file:",
        "    @@ -1,3 +1,3 @@",
        "     one",
        "    -two",
        "    +2",
        "     three",
    ]


def test_what_is_missing_is_shown_whole() -> None:
    assert _lines(None, {"a": 1, "empty": []}) == [
        "the/key is missing, and would be created",
        "  + /a: 1",
        "  + /empty: []",
    ]


def test_what_nobody_knows_is_shown_as_going() -> None:
    assert _lines({"a": 1}, None) == [
        "the/key is not in the version, and would be deleted",
        "  - /a: 1",
    ]


def test_a_very_long_value_is_cut_and_its_length_told() -> None:
    (_, line) = _lines(None, {"a": "x" * 1000})
    assert line == f'  + /a: "{"x" * 299}… (1002 characters)'


def test_items_show_their_places_not_their_marks() -> None:
    lines = describe(Planned("create", "a", None, Item(key="a", content={"b": {"c": True}})))
    assert lines == ["a is missing, and would be created", "  + /b/c: true"]


def test_one_more_element_at_the_top_of_a_list_is_one_line() -> None:
    before = {"rules": [{"port": 443}, {"port": 5432}]}
    after = {"rules": [{"cidr": "0.0.0.0/0", "port": 22}, *before["rules"]]}
    assert _lines(before, after) == [
        "the/key differs, and would be changed",
        '  + /rules/0: {"cidr": "0.0.0.0/0", "port": 22}',
    ]


def test_one_element_that_differs_is_compared_inside() -> None:
    before = {"rules": [{"port": 443, "from": "10.0.0.0/8"}, {"port": 5432}]}
    after = {"rules": [{"port": 5432}, {"port": 443, "from": "0.0.0.0/0"}]}
    assert _lines(before, after) == [
        "the/key differs, and would be changed",
        '  - /rules/1/from: "10.0.0.0/8"',
        '  + /rules/1/from: "0.0.0.0/0"',
    ]


def test_another_order_alone_is_said() -> None:
    assert _lines({"steps": ["a", "b"]}, {"steps": ["b", "a"]}) == [
        "the/key differs, and would be changed",
        "  ~ /steps: the same elements in another order",
    ]


def test_a_document_written_in_another_way_is_said() -> None:
    assert _lines({"policy": '{"a": 1}'}, {"policy": '{"a":1}'}) == [
        "the/key differs, and would be changed",
        "  ~ /policy: the same, written in another way",
    ]


def test_secrets_inside_an_element_are_masked() -> None:
    before = {"keys": [{"id": "a", "key": Secret("one")}]}
    after = {"keys": [*before["keys"], {"id": "b", "key": Secret("two")}]}
    assert _lines(before, after) == [
        "the/key differs, and would be changed",
        '  + /keys/1: {"id": "b", "key": "*** (secret)"}',
    ]


def test_a_value_that_becomes_an_object_shows_both_whole() -> None:
    assert _lines({"a": "text"}, {"a": {"b": 1, "c": [2]}}) == [
        "the/key differs, and would be changed",
        '  - /a: "text"',
        "  + /a/b: 1",
        "  + /a/c/0: 2",
    ]
