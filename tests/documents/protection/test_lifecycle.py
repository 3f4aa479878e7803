"""What lifecycle rules must do to old versions, and must not do to any document."""

from typing import Any

import pytest

from ledgerkeep.documents.protection.lifecycle import compare_lifecycle
from ledgerkeep.documents.protection.settings import Untold
from ledgerkeep.documents.protection.store import SEAWEEDFS
from tests.documents.protection.samples import fulfilled, settings, told, wanted

PROCEDURES = {
    "transitions": [
        {"after": "30d", "storage_class": "STANDARD_IA"},
        {"after": "90d", "storage_class": "GLACIER"},
    ],
    "expire_after": "7y",
    "abort_uploads_after": "7d",
}


def rule(name: str = "ours", prefix: str = "", **actions: Any) -> dict[str, Any]:
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, **actions}


def moves(*steps: tuple[int, str]) -> list[dict[str, Any]]:
    return [{"NoncurrentDays": days, "StorageClass": name} for days, name in steps]


WHOLE = rule(
    NoncurrentVersionTransitions=moves((30, "STANDARD_IA"), (90, "GLACIER")),
    NoncurrentVersionExpiration={"NoncurrentDays": 2555},
    AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7},
)


def compare(*rules: dict, prefix: str = "", **asked: Any) -> list[tuple[str, str]]:
    lifecycle = {**PROCEDURES, **asked}
    lines = compare_lifecycle(
        settings(lifecycle={"Rules": list(rules)}), wanted(prefix, lifecycle=lifecycle)
    )
    return [(severity, words.removeprefix("s3://documents: ")) for severity, words in told(lines)]


def test_lifecycle_of_the_procedures_holds() -> None:
    assert compare(WHOLE) == []
    lines = compare_lifecycle(settings(lifecycle={"Rules": [WHOLE]}), wanted(lifecycle=PROCEDURES))
    assert fulfilled(lines) == [
        "expiry of current documents",
        "move of current documents",
        "old versions to STANDARD_IA",
        "old versions to GLACIER",
        "expiry of old versions",
        "end of uploads that were never completed",
    ]


def test_without_rules_each_step_is_missed_and_nothing_is_lost() -> None:
    assert compare() == [
        ("warning", "old versions to STANDARD_IA: expected after 30 d, found never"),
        ("warning", "old versions to GLACIER: expected after 90 d, found never"),
        ("warning", "expiry of old versions: expected after 2555 d, found never"),
        ("warning", "end of uploads that were never completed: expected after 7 d, found never"),
    ]


@pytest.mark.parametrize(
    "narrow",
    [
        {"Filter": {"Prefix": "loans/"}},
        {"Filter": {"Tag": {"Key": "kind", "Value": "draft"}}},
        {"Filter": {"And": {"Prefix": "", "Tags": [{"Key": "kind", "Value": "draft"}]}}},
        {"Filter": {"ObjectSizeGreaterThan": 1}},
        {"Status": "Disabled"},
    ],
)
def test_rule_for_some_documents_does_nothing_for_all(narrow: dict) -> None:
    assert len(compare({**WHOLE, **narrow})) == 4


def test_rule_for_a_wider_prefix_holds_and_one_for_another_is_nobodys_business() -> None:
    assert compare({**WHOLE, "Filter": {"Prefix": "loans/"}}, prefix="loans/2026/") == []
    elsewhere = rule("tmp", "tmp/", Expiration={"Days": 1})
    assert compare(WHOLE | {"Filter": {"Prefix": "loans/"}}, elsewhere, prefix="loans/") == []


def test_rule_of_the_old_form_carries_its_prefix_itself() -> None:
    old = {name: value for name, value in WHOLE.items() if name != "Filter"}
    assert compare({**old, "Prefix": ""}) == []
    assert len(compare({**old, "Prefix": "loans/"})) == 4


def test_expiry_of_current_documents_is_critical_even_for_a_tag() -> None:
    tagged = {"Tag": {"Key": "kind", "Value": "draft"}}
    bad = rule("drafts", Expiration={"Days": 5}) | {"Filter": tagged}
    assert compare(WHOLE, bad) == [
        ("critical", "expiry of current documents: expected never, found after 5 d by rule drafts")
    ]


def test_removal_of_markers_with_nothing_behind_them_expires_no_document() -> None:
    assert compare(WHOLE, rule("tidy", Expiration={"ExpiredObjectDeleteMarker": True})) == []


def test_current_documents_in_an_archive_are_critical_and_elsewhere_a_warning() -> None:
    archived = rule("cold", Transitions=[{"Days": 60, "StorageClass": "DEEP_ARCHIVE"}])
    assert compare(WHOLE, archived) == [
        (
            "critical",
            "move of current documents: expected never, "
            "found to DEEP_ARCHIVE after 60 d by rule cold",
        )
    ]
    cheaper = rule("warm", Transitions=[{"Days": 60, "StorageClass": "STANDARD_IA"}])
    assert [severity for severity, _ in compare(WHOLE, cheaper)] == ["warning"]


def test_versions_that_expire_too_early_are_critical_even_below_one_prefix() -> None:
    early = rule("letters", "letters/", NoncurrentVersionExpiration={"NoncurrentDays": 365})
    assert compare(WHOLE, early) == [
        (
            "critical",
            "expiry of old versions: expected after 2555 d, found after 365 d by rule letters",
        )
    ]


def test_any_expiry_is_too_early_where_versions_are_kept_for_ever() -> None:
    ((severity, words),) = compare(WHOLE, expire_after=None)
    assert severity == "critical"
    assert words.endswith("expected never, found after 2555 d by rule ours")


def test_expiry_that_comes_late_or_spares_some_is_a_warning() -> None:
    late = WHOLE | {"NoncurrentVersionExpiration": {"NoncurrentDays": 3000}}
    assert compare(late) == [
        ("warning", "expiry of old versions: expected after 2555 d, found after 3000 d")
    ]
    spared = {"NoncurrentDays": 2555, "NewerNoncurrentVersions": 3}
    assert compare(WHOLE | {"NoncurrentVersionExpiration": spared}) == [
        (
            "warning",
            "expiry of old versions: expected after 2555 d, "
            "found after 2555 d but for the newest 3",
        )
    ]


def test_step_to_another_class_or_at_another_time_is_named() -> None:
    steps = moves((45, "STANDARD_IA"), (90, "GLACIER"), (180, "DEEP_ARCHIVE"))
    assert compare(WHOLE | {"NoncurrentVersionTransitions": steps}) == [
        ("warning", "old versions to STANDARD_IA: expected after 30 d, found after 45 d"),
        ("warning", "old versions to DEEP_ARCHIVE: expected never, found after 180 d"),
    ]


def test_policy_without_lifecycle_still_lets_no_current_document_expire() -> None:
    bad = settings(lifecycle={"Rules": [rule("all", Expiration={"Days": 9})]})
    (found,) = told(compare_lifecycle(bad, wanted()))
    assert found[0] == "critical"


def test_store_that_moves_nothing_says_so_for_each_step() -> None:
    rules = {"Rules": [rule(NoncurrentVersionExpiration={"NoncurrentDays": 2555})]}
    lines = compare_lifecycle(
        settings(SEAWEEDFS, lifecycle=rules),
        wanted(lifecycle={**PROCEDURES, "abort_uploads_after": None}),
    )
    assert [line.words for line in lines if line.verdict == "not applicable"] == [
        "s3://documents: old versions to STANDARD_IA: not applicable here: SeaweedFS has none "
        "(expected after 30 d)",
        "s3://documents: old versions to GLACIER: not applicable here: SeaweedFS has none "
        "(expected after 90 d)",
    ]
    assert "expiry of old versions" in fulfilled(lines)


def test_lifecycle_that_may_not_be_read_is_critical() -> None:
    lines = compare_lifecycle(settings(lifecycle=Untold("s3:GetLifecycleConfiguration")), wanted())
    assert [line.is_grave for line in lines] == [True]
