"""What a policy says of states and repositories must be able to be meant together."""

from typing import Any

import pytest
from pydantic import ValidationError

from ledgerkeep.policy.configuration_sources import Repositories, TerraformState
from ledgerkeep.policy.infrastructure_sense import infrastructure_contradictions
from tests.support.configuration import policy_with

STATE = {"bucket": "states", "keys": ["a.tfstate"]}
CODE = {"name": "code", "url": "https://git.example/acme/code.git"}


@pytest.mark.parametrize(
    ("source", "settings", "found"),
    [
        pytest.param(
            "terraform_state",
            {"bucket": "states"},
            ("bucket", "no state in it", "terraform_state.prefixes, or keys"),
            id="a bucket and nothing in it",
        ),
        pytest.param(
            "terraform_state",
            {**STATE, "plans": [{"key": "b.tfstate", "directory": "/code"}]},
            (
                "plans.0.key",
                "'b.tfstate', which is not exported",
                "a key of terraform_state.keys, or one below terraform_state.prefixes",
            ),
            id="a plan of another state",
        ),
        pytest.param(
            "terraform_state",
            {**STATE, "plans": [{"key": "a.tfstate", "directory": "code"}]},
            ("plans.0.directory", "'code'", "an absolute path"),
            id="a directory relative to nothing",
        ),
        pytest.param(
            "repositories",
            {"repositories": [{**CODE, "url": "https://me:pa55@git.example/code.git"}]},
            ("repositories.0.url", "a password in it", "connection_id, and no password"),
            id="a password in an address",
        ),
        pytest.param(
            "repositories",
            {"repositories": [{**CODE, "url": "http://git.example/code.git"}]},
            ("repositories.0.url", "http, which is not encrypted", "https or ssh"),
            id="code in the clear",
        ),
        pytest.param(
            "repositories",
            {"repositories": [{**CODE, "host": "github"}]},
            (
                "repositories.0.host",
                "'github' without a connection to its API",
                "connection_id, or host: none",
            ),
            id="an api without its address",
        ),
    ],
)
def test_contradiction_is_found(
    source: str, settings: dict[str, Any], found: tuple[str, str, str]
) -> None:
    policy = policy_with(**{source: settings})
    told = [
        (".".join(map(str, field[3:])), words, allowed)
        for field, words, allowed in infrastructure_contradictions(policy.configuration)
    ]
    assert told == [found]


def test_two_repositories_of_one_name_are_refused() -> None:
    policy = policy_with(repositories={"repositories": [CODE, CODE]})
    told = list(infrastructure_contradictions(policy.configuration))
    assert [(words, allowed) for _, words, allowed in told] == [
        ("'code' twice", "a name of its own")
    ] * 2


def test_what_can_be_meant_is_accepted() -> None:
    policy = policy_with(
        terraform_state={
            **STATE,
            "prefixes": ["p/"],
            "plans": [{"key": "p/x.tfstate", "directory": "/c"}],
        },
        repositories={"repositories": [CODE], "connection_id": "git"},
    )
    assert list(infrastructure_contradictions(policy.configuration)) == []


@pytest.mark.parametrize(
    "url", ["-oProxyCommand=touch", "ext::sh -c x", "https://a b/", "git@host:-x", "/srv/code"]
)
def test_addresses_that_are_no_repository_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Repositories.model_validate({"repositories": [{**CODE, "url": url}]})


@pytest.mark.parametrize("key", ["/a", "", "a b"])
def test_keys_that_no_backend_writes_are_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        TerraformState.model_validate({"bucket": "b", "keys": [key]})
