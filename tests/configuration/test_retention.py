"""Which versions of a source stay, and the reason that is given for each."""

from datetime import UTC, datetime, timedelta

import pytest

from ledgerkeep.configuration.retention import (
    VersionDecision,
    describe_decisions,
    plan_versions,
    unreferenced,
)
from ledgerkeep.configuration.source import Scope
from ledgerkeep.configuration.versions import ConfigurationVersion
from ledgerkeep.policy.configuration import ConfigurationRetention
from ledgerkeep.storage.port import StoredObject

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TWO = ConfigurationRetention(versions=2, major=timedelta(days=365))
HASH = "0" * 64


def version(days_ago: float, *, major: str = "", attachment: str = "") -> ConfigurationVersion:
    stored = StoredObject(key=attachment or "items", size=1, sha256=HASH)
    return ConfigurationVersion(
        id=f"v{days_ago:g}",
        source="parameters",
        scope=Scope(environment="production", account="1"),
        created_at=NOW - timedelta(days=days_ago),
        made_by="ledgerkeep",
        run="cli",
        major=major,
        content_sha256=HASH,
        item_count=1,
        attachments={"main": stored} if attachment else {},
        previous_id=None,
        created=0,
        updated=0,
        deleted=0,
        items=stored,
    )


def plan(
    *versions: ConfigurationVersion,
    retention: ConfigurationRetention = TWO,
    keep: timedelta | None = None,
) -> dict[str, tuple[bool, str]]:
    found = plan_versions(versions, retention, keep=keep, now=NOW)
    return {one.version.id: (one.stays, one.because) for one in found}


def test_newest_versions_stay_however_old_they_are() -> None:
    found = plan(version(900), version(800), version(700))
    assert found == {
        "v900": (False, "there are 2 newer ones and it is no major version of the last 1y"),
        "v800": (True, "it is one of the newest 2"),
        "v700": (True, "it is the newest"),
    }


def test_major_version_stays_for_its_time() -> None:
    found = plan(version(366, major="1.0"), version(364, major="1.1"), version(2), version(1))
    assert found["v366"] == (
        False,
        "there are 2 newer ones and it is no major version of the last 1y",
    )
    assert found["v364"] == (True, "it is a major version (1.1)")


def test_what_was_live_within_the_sources_period_stays() -> None:
    """Also the one that was stored before: it says how the first days of the period were."""
    found = plan(
        version(80), version(70), version(20), version(10), version(1), keep=timedelta(weeks=8)
    )
    assert found == {
        "v80": (
            False,
            "there are 2 newer ones, it is no major version of the last 1y and it was not live "
            "within the last 8w",
        ),
        "v70": (True, "it was live within the last 8w"),
        "v20": (True, "it was live within the last 8w"),
        "v10": (True, "it is one of the newest 2"),
        "v1": (True, "it is the newest"),
    }


@pytest.mark.parametrize("count", [0, 1])
def test_what_is_live_never_goes(count: int) -> None:
    retention = ConfigurationRetention(versions=1, major=timedelta(0))
    found = plan(*[version(9000) for _ in range(count)], retention=retention)
    assert all(stays for stays, _ in found.values())


def test_plan_in_words_names_each_version_that_goes() -> None:
    decisions = plan_versions([version(3), version(2), version(1)], TWO, keep=None, now=NOW)
    assert describe_decisions("parameters", decisions) == [
        "parameters: 2 versions stay, 1 go",
        "  remove v3: there are 2 newer ones and it is no major version of the last 1y",
    ]


def test_attachment_goes_when_no_version_that_stays_refers_to_it() -> None:
    kept = [version(1, attachment="a"), version(2, attachment="b")]
    assert unreferenced(["a", "b", "c"], kept) == ["c"]


def test_decisions_come_in_the_order_of_the_versions() -> None:
    found = plan_versions([version(3), version(2)], TWO, keep=None, now=NOW)
    assert [type(one) for one in found] == [VersionDecision, VersionDecision]
    assert [one.version.id for one in found] == ["v3", "v2"]
