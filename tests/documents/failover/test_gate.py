"""What the application would miss in the other bucket."""

from datetime import UTC, datetime, timedelta

from ledgerkeep.documents.failover.gate import what_is_lacking
from ledgerkeep.documents.failover.plan import Behind
from ledgerkeep.storage.versions import ObjectVersion

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def version(
    key: str, etag: str, *, minutes: int = 10, latest: bool = True, size: int = 1
) -> ObjectVersion:
    return ObjectVersion(
        key=key,
        version_id=f"{key}-{etag}-{minutes}",
        modified_at=NOW - timedelta(minutes=minutes),
        size=size if etag else 0,
        etag=etag,
        is_latest=latest,
        is_delete_marker=not etag,
    )


def lacking(used: list[ObjectVersion], other: list[ObjectVersion]) -> Behind:
    return what_is_lacking(used, other, plain_etags=True, now=NOW)


def test_same_current_content_under_other_ids_is_enough() -> None:
    used = [version("a", "1"), version("a", "0", latest=False), version("b", "2")]
    other = [version("a", "1", minutes=3), version("b", "2", minutes=3)]
    assert lacking(used, other) == Behind(compared=2, lacking=0)


def test_missing_and_older_content_are_lacking_and_the_oldest_is_told() -> None:
    used = [version("a", "new", minutes=5), version("b", "1", minutes=20), version("c", "1")]
    other = [version("a", "old", minutes=40), version("c", "1")]
    assert lacking(used, other) == Behind(
        compared=3, lacking=2, examples=["a", "b"], oldest_seconds=1200
    )


def test_document_deleted_here_and_alive_there_is_lacking_its_deletion() -> None:
    used = [version("a", ""), version("b", "")]
    other = [version("b", "1")]
    assert lacking(used, other) == Behind(compared=2, lacking=1, examples=["b"], oldest_seconds=600)


def test_what_only_the_other_bucket_has_is_not_lacking() -> None:
    assert lacking([version("b", "1")], [version("a", "1"), version("b", "1")]).lacking == 0


def test_content_that_cannot_be_told_apart_counts_as_lacking() -> None:
    """Two multipart ETags of one size: nobody knows, so nobody promises."""
    found = lacking([version("a", "x-2")], [version("a", "y-3")])
    assert found.lacking == 1


def test_what_access_tests_wrote_is_no_document() -> None:
    test = version("ledgerkeep-access-test/1", "1")
    assert lacking([test], []) == Behind(compared=0, lacking=0)
