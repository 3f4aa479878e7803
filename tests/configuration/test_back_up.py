"""Exporting a source: a version only when something changed, whole and of the right account."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest

from ledgerkeep.configuration.items import Item, Secret
from ledgerkeep.configuration.source import Attachment, Change, Found, Known, Scope, Source
from ledgerkeep.configuration.versions import Versions
from ledgerkeep.errors import ConfigurationError, ForeignVersion, ObjectCorrupt
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]


@dataclass
class Shelf(Source):
    """A source whose things are a dictionary; a fake at the port."""

    name: ClassVar[str] = "shelf"
    account: str = "1"
    things: dict[str, dict[str, object]] = field(default_factory=dict)
    bundles: dict[str, bytes] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    twice: bool = False
    bundles_name: str = ""
    read: list[str] = field(default_factory=list)

    def scope(self) -> Scope:
        return Scope(environment="production", account=self.account)

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        for key, content in self.things.items():
            if key in known and known[key] == self.marks.get(key):
                yield Known(key)
                continue
            self.read.append(key)
            attachment = (
                Attachment(lambda key=key: self._bundle(key), self.bundles_name)  # type: ignore[misc]
                if key in self.bundles
                else None
            )
            yield Found(key, content, self.marks.get(key, ""), attachment)  # type: ignore[arg-type]
            if self.twice:
                yield Known(key)

    def _bundle(self, key: str) -> Iterator[bytes]:
        self.read.append(f"bundle of {key}")
        yield self.bundles[key]

    def findings(self, items: Mapping[str, Item], before: Mapping[str, Item]) -> list[str]:
        return [f"{len(items)} thing is on the shelf, before there were {len(before)}"]

    def apply(self, change: Change) -> None:
        raise AssertionError("nothing is applied here")


@pytest.fixture
def account(aws: None) -> Account:
    return open_account(policy_with())


def test_nothing_changed_is_no_new_version_and_nothing_is_written(account: Account) -> None:
    shelf = Shelf(things={"a": {"x": 1}})
    first = account.back_up(shelf)
    before = set(account.store.objects)
    again = account.back_up(shelf)
    assert (first.is_new, again.is_new, again.version) == (True, False, first.version)
    assert set(account.store.objects) == before


def test_a_version_tells_what_changed_since_the_one_before(account: Account) -> None:
    first = account.back_up(Shelf(things={"a": {"x": 1}, "b": {"x": 2}})).version
    done = account.back_up(Shelf(things={"b": {"x": 3}, "c": {"x": 4}}))
    version = done.version
    assert (version.created, version.updated, version.deleted) == (1, 1, 1)
    assert version.previous_id == first.id
    assert [(one.action, one.key) for one in done.changes] == [
        ("delete", "a"),
        ("update", "b"),
        ("create", "c"),
    ]


def test_a_major_version_is_stored_although_nothing_changed(account: Account) -> None:
    shelf = Shelf(things={"a": {"x": 1}})
    first = account.back_up(shelf).version
    major = account.back_up(shelf, major="release 7").version
    assert major.id != first.id
    assert major.major == "release 7"
    assert major.content_sha256 == first.content_sha256


def test_what_is_unchanged_by_its_mark_is_not_read_and_is_in_the_version(account: Account) -> None:
    shelf = Shelf(things={"a": {"x": Secret("one")}, "b": {"x": 2}}, marks={"a": "1", "b": "1"})
    account.back_up(shelf)
    shelf.read.clear()
    shelf.things["b"], shelf.marks["b"] = {"x": 3}, "2"
    done = account.back_up(shelf)
    assert shelf.read == ["b"]
    assert (done.items, done.read_items) == (2, 1)
    assert sorted(account.versions.items(done.version)) == ["a", "b"]
    assert account.versions.values(done.version) == {"a": {"/x": "one"}}


def test_everything_is_read_anew_when_asked(account: Account) -> None:
    shelf = Shelf(things={"a": {"x": 1}}, marks={"a": "1"})
    account.back_up(shelf)
    shelf.things["a"] = {"x": 2}  # changed behind its mark
    assert not account.back_up(shelf).is_new
    assert account.back_up(shelf, reread=True).is_new


def test_attachments_are_stored_once_for_the_versions_they_belong_to(account: Account) -> None:
    shelf = Shelf(things={"a": {"x": 1}, "b": {"x": 1}}, bundles={"a": b"A1", "b": b"B1"})
    first = account.back_up(shelf).version
    shelf.things["b"], shelf.bundles["b"] = {"x": 2}, b"B2"
    shelf.read.clear()
    second = account.back_up(shelf).version
    assert "bundle of a" not in shelf.read
    assert second.attachments["a"] == first.attachments["a"]
    assert b"".join(account.versions.attachment(second, "b")) == b"B2"
    assert b"".join(account.versions.attachment(first, "b")) == b"B1"


def test_attachments_of_one_name_are_stored_once_however_many_items_they_belong_to(
    account: Account,
) -> None:
    shelf = Shelf(things={"a": {"x": 1}, "b": {"x": 1}}, bundles={"a": b"1", "b": b"1"})
    shelf.bundles_name = "f00d"
    first = account.back_up(shelf).version
    shelf.things["a"], shelf.bundles_name = {"x": 2}, "beef"
    second = account.back_up(shelf).version
    assert [one for one in shelf.read if "bundle" in one] == ["bundle of a", "bundle of a"]
    assert first.attachments["a"] == first.attachments["b"]
    assert second.attachments["a"] == second.attachments["b"] != first.attachments["b"]


def test_bytes_of_several_items_are_read_once_to_see_whether_they_are_whole(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(things={"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1}})
    shelf.bundles, shelf.bundles_name = {"a": b"1", "b": b"1"}, "f00d"
    version = account.back_up(shelf).version
    read: list[str] = []
    attachment = Versions.attachment
    monkeypatch.setattr(
        Versions, "attachment", lambda *asked: (read.append(asked[2]), attachment(*asked))[1]
    )
    account.versions.read_attachments(version, ["a", "b", "c"])
    assert len(read) == 1
    stored = account.store.objects[version.attachments["a"].key]
    account.store.objects[version.attachments["a"].key] = replace(stored, body=b"2")
    with pytest.raises(ObjectCorrupt):
        account.versions.read_attachments(version, ["b"])


def test_findings_are_told_in_every_run_whether_anything_changed_or_not(account: Account) -> None:
    shelf = Shelf(things={"a": {"x": 1}})
    told = [account.back_up(shelf).findings, account.back_up(shelf).findings]
    assert told == [
        ["1 thing is on the shelf, before there were 0"],
        ["1 thing is on the shelf, before there were 1"],
    ]


def test_another_account_is_refused_and_nothing_is_stored(account: Account) -> None:
    version = account.back_up(Shelf(things={"a": {}})).version
    before = set(account.store.objects)
    with pytest.raises(ForeignVersion) as caught:
        account.back_up(Shelf(account="2", things={"a": {"x": 1}}))
    assert caught.value.message == (
        f"version {version.id} of shelf is of 1 (production), and the connection leads to 2 "
        "(production)"
    )
    assert caught.value.hint == (
        "correct the connection in the policy; if the system has moved, let the new one have an "
        "environment or a bucket of its own"
    )
    assert set(account.store.objects) == before


def test_a_source_that_names_a_thing_twice_is_at_fault(account: Account) -> None:
    with pytest.raises(ConfigurationError) as caught:
        account.back_up(Shelf(things={"a": {}}, twice=True))
    assert caught.value.message == ("shelf tells of a twice, or of a state that is not stored")
    assert account.versions.newest("shelf") is None
