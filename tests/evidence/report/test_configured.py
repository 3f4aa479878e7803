"""The configuration in the report: what is kept, when it was looked at, how far it is shown."""

from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.proof import ConfigurationProof
from ledgerkeep.configuration.source import Scope
from ledgerkeep.configuration.versions import ConfigurationVersion
from ledgerkeep.evidence.report.model import ComplianceReport, ConfigurationRow
from ledgerkeep.evidence.report.render import render_html
from ledgerkeep.evidence.report.write import make_report
from ledgerkeep.policy.configuration import Configuration
from ledgerkeep.storage.port import StoredObject
from tests.evidence.month import SINCE, Month

DAY = timedelta(days=1)


@pytest.fixture
def month() -> Month:
    month = Month()
    configuration = Configuration.model_validate(
        {
            "connection_id": "aws",
            "region": "eu-central-1",
            "sealing_key": "alias/sealing",
            "schedule": None,
            "sources": {"parameters": {"paths": ["/loan/"]}},
        }
    )
    month.policy = month.policy.model_copy(update={"configuration": configuration})
    return month


def _version(month: Month, day: int, major: str = "") -> ConfigurationVersion:
    at = SINCE + day * DAY
    version = ConfigurationVersion(
        id=f"{at:%Y%m%dT%H%M%S%fZ}-abcdef",
        source="parameters",
        scope=Scope(environment="production", account="1"),
        created_at=at,
        made_by="ledgerkeep 0.1.0",
        run="production_configuration_backup/1",
        major=major,
        content_sha256="0" * 64,
        item_count=12,
        previous_id=None,
        created=12,
        updated=0,
        deleted=0,
        items=StoredObject(key="items", size=1, sha256="0" * 64),
        secret_count=3,
    )
    prefix = keys.configuration_version("production", "parameters", version.id)
    month.store.put(prefix + keys.RECOVERY_POINT, version.to_json())
    return version


def _prove(month: Month, version: ConfigurationVersion) -> None:
    at = version.created_at + DAY
    proof = ConfigurationProof(
        source="parameters",
        version_id=version.id,
        level="proven",
        run="production_test_application_configuration_recovery/1",
        shown_at=at,
        items=12,
    )
    key = keys.configuration_proof("production", "parameters", version.id, at, "proven")
    month.store.put(key, proof.to_json())


def _report(month: Month) -> ComplianceReport:
    until = SINCE + 10 * DAY
    return make_report(
        month.store, month.policy, since=SINCE, until=until, now=until, history=month.history
    )


def _row(month: Month) -> ConfigurationRow:
    (row,) = _report(month).configuration
    return row


def test_a_source_that_was_never_exported_is_an_exception(month: Month) -> None:
    report = _report(month)
    (row,) = report.configuration
    assert (row.newest_id, row.stops_because) == (None, "nothing was exported yet")
    assert "the policy names parameters, and nothing of it was ever exported" in [
        one.what for one in report.exceptions
    ]
    assert "never exported" in render_html(report).decode()


def test_the_newest_version_and_when_it_was_compared_are_told_apart(month: Month) -> None:
    _version(month, -40)
    newest = _version(month, 2, major="release 7")
    at = SINCE + 8 * DAY
    month.run("configuration_backup", at, 60, recovery_point_ids=[f"parameters/{newest.id}"])
    row = _row(month)
    assert (row.newest_id, row.newest_at, row.major) == (newest.id, SINCE + 2 * DAY, "release 7")
    assert row.looked_at == at + timedelta(seconds=60)
    assert (row.versions, row.made, row.items, row.secrets) == (2, 1, 12, 3)
    assert row.title == "Parameter Store"


def test_what_nobody_compared_in_the_period_is_said(month: Month) -> None:
    _version(month, -40)
    month.run("configuration_backup", SINCE + DAY, 60, recovery_point_ids=["iam/1"])
    report = _report(month)
    assert report.configuration[0].looked_at is None
    assert "not in this period" in render_html(report).decode()


def test_the_level_is_of_the_version_it_was_shown_of(month: Month) -> None:
    first = _version(month, 1)
    newest = _version(month, 5)
    _prove(month, first)
    row = _row(month)
    assert (row.level, row.shown_id, row.stops_because) == ("proven", first.id, "")
    page = render_html(_report(month)).decode()
    assert f"version {first.id}" in page
    _prove(month, newest)
    assert _row(month).shown_id == newest.id


def test_a_version_that_was_not_restored_is_only_recorded(month: Month) -> None:
    _version(month, 1)
    row = _row(month)
    assert (row.level, row.stops_because) == ("recorded", "it was not restored yet")
