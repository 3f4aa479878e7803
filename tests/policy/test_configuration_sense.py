"""Contradictions between the configuration's sections are refused, with the field to change."""

from typing import Any

import pytest

from ledgerkeep.policy.configuration import Configuration
from ledgerkeep.policy.configuration_sense import configuration_contradictions
from ledgerkeep.policy.load import load_environment

SERVICES = {"clusters": [{"name": "loans"}], "stable_within": "15m"}


def found(**changed: Any) -> list[tuple[str, str, str]]:
    shipped = load_environment("production").configuration
    assert shipped is not None
    section = Configuration.model_validate({**shipped.model_dump(mode="json"), **changed})
    return [
        (".".join(map(str, path)), what, allowed)
        for path, what, allowed in configuration_contradictions(section)
    ]


def test_no_configuration_contradicts_nothing() -> None:
    assert list(configuration_contradictions(None)) == []
    assert found() == []


def test_a_rollback_needs_services() -> None:
    assert found(sources={}) == [
        (
            "configuration.rollback",
            "services are to be rolled back that the policy does not name",
            "configuration.sources.services",
        )
    ]
    assert found(sources={}, rollback=None) == []


def test_what_is_planned_stays_longer_than_its_approval_may_take() -> None:
    recovery = {"approval": True, "response_timeout": "4h"}
    assert found(retention={"recovery_hold": "4h"}, recovery=recovery) == [
        (
            "configuration.retention.recovery_hold",
            "4h",
            "more than 4h, as configuration.recovery.response_timeout",
        )
    ]
    assert found(retention={"recovery_hold": "5h"}, recovery=recovery) == []


@pytest.mark.parametrize(
    ("changed", "field", "what", "allowed"),
    [
        ({"stable_within": "10s"}, "stable_within", "10s", "more than 10s, as poll"),
        (
            {"clusters": [{"name": "loans"}, {"name": "loans"}]},
            "clusters",
            "a cluster named twice",
            "each once, with all of its services",
        ),
    ],
)
def test_services_make_sense(changed: dict[str, Any], field: str, what: str, allowed: str) -> None:
    assert found(sources={"services": {**SERVICES, **changed}}) == [
        (f"configuration.sources.services.{field}", what, allowed)
    ]


@pytest.mark.parametrize("service", ["auth0", "docusign", "sendgrid"])
def test_a_test_tenant_has_a_connection_of_its_own(service: str) -> None:
    settings = {"connection_id": "theirs", "test_connection_id": "theirs"}
    assert found(sources={service: settings}, rollback=None) == [
        (
            f"configuration.sources.{service}.test_connection_id",
            "theirs",
            "the connection of another tenant, or null",
        )
    ]
    other = {**settings, "test_connection_id": "tests"}
    assert found(sources={service: other}, rollback=None) == []
