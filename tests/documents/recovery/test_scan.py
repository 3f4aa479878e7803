"""The versions that matter, in few listings."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from ledgerkeep.documents.recovery import scan
from ledgerkeep.documents.recovery.scan import newest_of, of_keys, side_by_side, versions_of
from ledgerkeep.errors import StorageError
from ledgerkeep.storage.versions import ObjectVersion
from tests.documents.recovery.support import marker, to_moment, version

BUCKET: list[ObjectVersion] = [
    one
    for name in sorted(
        [f"p/{number:04}" for number in range(5_000)]
        + ["p/0007.txt", "p/0007/x", "q", "ü", "p/0007 "],
        key=str.encode,
    )
    for one in (marker(name, 2), version(name, 1))
]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Listings of the bucket above; every page that was asked for."""
    asked: list[str] = []

    def listing(
        bucket: object, prefix: str = "", *, after: str = "", until: str = ""
    ) -> Iterator[ObjectVersion]:
        rows = [
            one
            for one in BUCKET
            if one.key.startswith(prefix) and one.key.encode() > after.encode()
        ]
        for first in range(0, max(1, len(rows)), scan.PAGE):
            asked.append(f"{prefix} {after}")
            for one in rows[first : first + scan.PAGE]:
                if until and one.key.encode() > until.encode():
                    return
                yield one

    monkeypatch.setattr(scan, "list_versions", listing)
    return asked


def found(keys: list[str], common: str = "") -> list[str]:
    rows = list(of_keys(None, sorted(keys, key=str.encode), common))  # type: ignore[arg-type]
    assert [one.is_delete_marker for one in rows] == [True, False] * (len(rows) // 2)
    return [one.key for one in rows[::2]]


def test_key_is_not_taken_for_a_prefix(requests: list[str]) -> None:
    """The procedures' own script restores `p/0007.txt` with `p/0007`."""
    assert found(["p/0007"]) == ["p/0007"]
    assert len(requests) == 1


def test_keys_that_lie_together_are_one_listing(requests: list[str]) -> None:
    keys = [f"p/{number:04}" for number in range(2_000)]
    assert found(keys, "p/") == keys
    assert len(requests) <= 1 + 2 * 2_005 // scan.PAGE + 1


def test_keys_that_lie_far_apart_are_jumped_to(requests: list[str]) -> None:
    keys = ["p/0000", "p/4000", "ü"]
    assert found(keys) == keys
    # Each itself, and at most one page behind it.
    assert len(requests) <= 2 * len(keys)


def test_keys_that_do_not_exist_are_passed_over(requests: list[str]) -> None:
    assert found(["a", "p/0007", "p/0007a", "p/9999", "zzz"]) == ["p/0007"]
    assert found(["ü", "üü", "üüü"]) == ["ü"]


def test_newest_is_the_first_of_each_key(requests: list[str]) -> None:
    newest = newest_of(None, ["p/0001", "p/9999"], "p/")  # type: ignore[arg-type]
    assert {key: one.version_id for key, one in newest.items()} == {"p/0001": "d2"}


def test_sides_are_matched_by_key_and_named_keys_are_never_lost() -> None:
    """Keys sort by their bytes: a surrogate pair behind everything else."""
    source = [version("a", 2), version("a", 1), version("c", 1), version("\uff5e", 1)]
    destination = [marker("a", 9), version("a", 8), version("b", 7), version("🙂", 6)]
    seen = [
        (
            one.key,
            one.current.version_id if one.current else None,
            [v.version_id for v in one.versions],
        )
        for one in side_by_side(source, destination, ["a", "aa", "c"])
    ]
    assert seen == [
        ("a", "d9", ["v2", "v1"]),
        ("aa", None, []),
        ("b", "v7", []),
        ("c", None, ["v1"]),
        ("\uff5e", None, ["v1"]),
        ("🙂", "v6", []),
    ]


def test_what_is_not_read_of_one_key_does_not_show_up_with_the_next() -> None:
    source = [version("a", 3), version("a", 2), version("a", 1), version("b", 1)]
    assert [next(one.versions).version_id for one in side_by_side(source)] == ["v3", "v1"]


def test_listing_out_of_order_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deciding from it would be deciding twice about one key."""
    bucket = SimpleNamespace(location="s3://b")
    rows = [version("a", 1), version("b", 1), marker("a", 2)]
    monkeypatch.setattr(scan, "list_versions", lambda *_: iter(rows))
    with pytest.raises(StorageError) as refused:
        list(versions_of(bucket, to_moment(0)))  # type: ignore[arg-type]
    assert refused.value.message == "s3://b lists 'a' behind 'b'"
