"""Documents back to the versions that the rows of a restored database need."""

from collections.abc import Iterator

import pytest

from ledgerkeep.documents.metadata.snapshot import LineWriter
from ledgerkeep.documents.moment import MomentCheck
from ledgerkeep.documents.recovery.manifest import decisions_by_version, wanted_versions
from ledgerkeep.documents.recovery.request import DocumentRequest, ToManifest
from ledgerkeep.documents.recovery.scan import side_by_side
from ledgerkeep.errors import RecoveryError
from tests.documents.recovery.support import at, catalog_in_memory, marker, version

KEY = "development/documents/moments/1/moment.json"


def request(**selection: object) -> DocumentRequest:
    chosen = selection or {"prefix": ""}
    return DocumentRequest(goal=ToManifest(moment_check=KEY), **chosen)


def decided(wanted: list[tuple[str, str]], versions: list) -> Iterator[tuple[str, str, str]]:
    found = decisions_by_version(request(), side_by_side(versions), iter(wanted), in_place=True)
    return [(one.key, one.action, one.version_id) for one in found]


def test_each_key_goes_back_to_the_version_that_its_row_needs() -> None:
    """Also where the bucket showed another one at that moment."""
    versions = [
        version("a", 2),
        version("a", 1),
        version("b", 1),
        marker("c", 2),
        version("c", 1),
        version("not wanted", 1),
    ]
    wanted = [("a", "v1"), ("b", "v1"), ("c", "v1")]
    assert decided(wanted, versions) == [
        ("a", "copy", "v1"),
        ("b", "unchanged", ""),
        ("c", "copy", "v1"),
    ]


def test_versions_that_are_gone_since_are_missing_and_none_is_passed_over() -> None:
    wanted = [("a", "v1"), ("b", "v9"), ("c", "v1"), ("d", "v1")]
    versions = [version("b", 1), version("c", 1), version("c0", 1)]
    assert decided(wanted, versions) == [
        ("a", "missing", ""),
        ("b", "missing", ""),
        ("c", "unchanged", ""),
        ("d", "missing", ""),
    ]


def test_only_the_selection_of_the_manifest_is_wanted() -> None:
    catalog = catalog_in_memory()
    with catalog.store.writer("manifest") as writer:
        lines = LineWriter(writer)
        for key, number in (("a", 1), ("b/1", 2), ("b/1", 3), ("b/2", 4)):
            lines.add([key, f"v{number}", 1, "f" * 64, "there", True])
        stored = lines.commit()
    check = MomentCheck(
        at=at(0),
        run="test/1",
        checked_at=at(1),
        row_count=4,
        states={"there": 4},
        not_current=0,
        without_row=0,
        manifest=stored,
        findings=stored,
        compared={"store": 4},
        read_bytes=0,
    )
    catalog.write(KEY, check, None)

    def wanted(**selection: object) -> list[tuple[str, str]]:
        asked = request(**selection)
        return list(wanted_versions(catalog, asked.goal, asked))

    assert wanted() == [("a", "v1"), ("b/1", "v2"), ("b/2", "v4")]
    assert wanted(prefix="b/") == [("b/1", "v2"), ("b/2", "v4")]
    assert wanted(keys=("a", "b/2")) == [("a", "v1"), ("b/2", "v4")]


def test_check_that_is_not_there_is_told() -> None:
    with pytest.raises(RecoveryError) as caught:
        wanted_versions(catalog_in_memory(), ToManifest(moment_check=KEY), request())
    assert caught.value.message == f"there is no check of a moment '{KEY}'"
