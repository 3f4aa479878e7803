"""The form of a rollback, read without guessing."""

from typing import Any

import pytest

from ledgerkeep.configuration.rollback.request import RollbackRequest, choose, read_form
from ledgerkeep.errors import RecoveryError

LIVE = ["loans/backend", "loans/worker", "other/worker"]


def form(**fields: Any) -> dict[str, Any]:
    return {"version": "12", "services": None, "scenario": "x", "reason": "INC-7", **fields}


@pytest.mark.parametrize("text", ["12", "backend:12", "arn:aws:ecs:eu-1:1:task-definition/b:3"])
def test_a_revision_is_told_by_its_form(text: str) -> None:
    assert read_form(form(version=f" {text} ")) == RollbackRequest(revision=text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("newest", "backend, worker, back to the newest version"),
        (
            "20260301T120000000000Z-abcdef",
            "backend, worker, back to version 20260301T120000000000Z-abcdef",
        ),
        ("2026-03-01T12:00:00+01:00", "backend, worker, back to what it was at 2026-03-01"),
    ],
)
def test_anything_else_is_a_stored_version_or_a_time(text: str, words: str) -> None:
    request = read_form(form(version=text, services=["backend", " worker", "backend"]))
    assert request.words.startswith(words)
    assert (request.revision, request.services) == ("", ("backend", "worker"))


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        (
            {"version": ""},
            "nothing says back to what",
            "write a revision such as backend:12, a version's id, a time with its offset from "
            "UTC, or newest",
        ),
        (
            {"version": "v1.2.3"},
            "'v1.2.3' is neither a version's id nor a time",
            "write newest, an id as `ledgerkeep configuration list` shows it, or a time such as "
            "2026-03-01T14:30:00+00:00",
        ),
        (
            {"version": "2026-03-01T12:00:00"},
            "the time '2026-03-01T12:00:00' has no offset from UTC",
            "write it as 2026-03-01T14:30:00+00:00; add +00:00 if it is UTC",
        ),
        (
            {"services": [1]},
            "the services are no list of texts",
            "write one name to a line",
        ),
        (
            {"force": True},
            "the form has no field force",
            "its fields are reason, scenario, services, version",
        ),
    ],
)
def test_what_is_not_meant_is_refused_in_words(
    fields: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(RecoveryError) as caught:
        read_form(form(**fields))
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_services_are_chosen_by_name_or_by_cluster_and_name() -> None:
    assert choose([], LIVE) == LIVE
    assert choose(["backend", "other/worker"], LIVE) == ["loans/backend", "other/worker"]


@pytest.mark.parametrize(
    ("asked", "live", "message", "hint"),
    [
        (
            ["front"],
            LIVE,
            "there is no service front",
            "choose among loans/backend, loans/worker, other/worker",
        ),
        (
            ["worker"],
            LIVE,
            "there is more than one service worker",
            "choose among loans/worker, other/worker",
        ),
        (
            [],
            [],
            "there is no service to roll back",
            "correct configuration.sources.services.clusters in the policy",
        ),
    ],
)
def test_a_service_that_is_not_known_for_sure_is_refused(
    asked: list[str], live: list[str], message: str, hint: str
) -> None:
    with pytest.raises(RecoveryError) as caught:
        choose(asked, live)
    assert (caught.value.message, caught.value.hint) == (message, hint)
