"""Requests to management APIs: waiting, masking, and what is sent of a change."""

import re
import time

import httpx
import pytest

from include.sandbox.saas.server import Reply, Request, SaasServer, Service, running
from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.kinds import Shape, with_secrets
from ledgerkeep.configuration.management_api import (
    ApiKey,
    Dialect,
    ManagementApi,
    asked_to_wait,
    masked,
    secrets_in,
)
from ledgerkeep.configuration.owner import Place, Register
from ledgerkeep.errors import ConfigurationError, ServiceRefused, ServiceUnavailable


class Echo(Service):
    """Refuses everything, and repeats what it was sent."""

    name = "echo"

    def concerns(self, request: Request) -> bool:
        return True

    def answer(self, request: Request) -> Reply:
        return Reply(400, {"message": f"no good: {request.body.decode()}"})

    def busy(self) -> object:
        return {}


def api(url: str, patience: float = 2) -> ManagementApi:
    dialect = Dialect(
        service="echo",
        connection="echo_connection",
        reason=lambda body: str(body["message"]),
        missing=lambda body: "",
        grant="grant {permission} to {connection}",
    )
    return ManagementApi(dialect, url, ApiKey("key"), patience)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Thu, 01 Jan 1970 00:16:50 GMT"}, 10),
        ({"X-RateLimit-Reset": "1030"}, 30),
        ({"Retry-After": "2", "X-RateLimit-Reset": "1030"}, 2),
        ({"X-RateLimit-Reset": "900"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({}, 0),
    ],
)
def test_how_long_a_service_asks_to_wait(headers: dict[str, str], seconds: float) -> None:
    assert asked_to_wait(httpx.Headers(headers), now=1000) == seconds


def test_secrets_are_found_at_any_depth_and_masked() -> None:
    body = {"a": [{"b": Secret("one")}, "plain"], "c": Secret("one-two")}
    assert sorted(secrets_in(body)) == ["one", "one-two"]
    assert masked("one-two is\n not one", list(secrets_in(body))) == "*** is not ***"


def test_a_secret_that_a_service_echoes_is_not_told() -> None:
    with running(SaasServer(Echo())) as server, pytest.raises(ServiceRefused) as caught:
        api(server.url).ask("set it", "PUT", "/it", body={"password": Secret("pa55")})
    assert caught.value.message == "echo refused to set it (400)"
    assert caught.value.hint == 'no good: {"password":"***"}'


def test_an_unavailable_service_is_given_up_after_our_patience() -> None:
    with running(SaasServer(Echo())) as server:
        server.fail(503, times=99)
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable) as caught:
            api(server.url, patience=1).ask("read it", "GET", "/it")
    assert caught.value.message == "echo failed to read it (503); given up after 1 s"
    assert caught.value.hint == (
        "look at the status page of echo, and run it again: what is done already is found again"
    )
    assert time.monotonic() - began < 5


def test_a_post_is_repeated_only_where_it_was_not_carried_out() -> None:
    with running(SaasServer(Echo())) as server:
        server.fail(503, times=1)
        with pytest.raises(ServiceRefused):
            api(server.url).ask("make it", "POST", "/it", body={})
        assert len(server.requests) == 2
        server.fail(500, times=1)
        with pytest.raises(ServiceUnavailable) as caught:
            api(server.url).ask("make it", "POST", "/it", body={})
        assert len(server.requests) == 3
    assert caught.value.message == "echo failed to make it (500)"


def test_an_api_key_that_does_not_hold_is_not_renewed() -> None:
    with running(SaasServer(Echo())) as server:
        server.fail(401, times=9)
        with pytest.raises(ServiceRefused) as caught:
            api(server.url).ask("read it", "GET", "/it")
        assert len(server.requests) == 1
    assert caught.value.message == "echo refused to read it: the credentials are wrong"


def test_only_what_differs_is_sent_and_what_shall_be_gone_is_null() -> None:
    shape = Shape(fixed=frozenset({"kind"}), merged=frozenset({"tags"}))
    live = {"name": "a", "kind": "x", "old": 1, "tags": {"a": "1", "b": "2"}, "key": Secret("s")}
    wanted = {"name": "a", "kind": "y", "new": 2, "tags": {"a": "1"}, "key": Secret("s")}
    assert shape.difference(live, wanted) == {
        "new": 2,
        "old": None,
        "tags": {"a": "1", "b": None},
    }


def test_what_a_service_sets_itself_is_left_out_at_both_depths() -> None:
    shape = Shape(left_out=frozenset({"id", "flags.fixed"}), unordered=frozenset({"scopes"}))
    row = {"id": 1, "flags": {"fixed": 1, "on": True}, "scopes": ["b", "a"], "none": None}
    assert shape.content(row) == {"flags": {"on": True}, "scopes": ["a", "b"]}


def test_texts_whose_names_fit_are_secrets() -> None:
    pattern = re.compile("secret$")
    found = with_secrets("", {"a_secret": "x", "list_secret": ["y"], "b": "z"}, pattern)
    assert found == {"a_secret": Secret("x"), "list_secret": [Secret("y")], "b": "z"}


def test_what_others_refer_to_must_be_there() -> None:
    register = Register("roles of echo", lambda: [{"name": "a", "id": 7}])
    assert (register.needed("a"), register.name_of("7")) == ("7", "a")
    with pytest.raises(ConfigurationError) as caught:
        register.needed("b")
    assert (
        caught.value.message == "there is none of the roles of echo named b, which others refer to"
    )
    assert caught.value.hint == "put it back first, or together with what refers to it"


def test_a_place_knows_its_own_names() -> None:
    place = Place("drill-")
    assert place.outward("a") == "drill-a"
    assert place.inward("drill-a") == "a"
    assert place.inward("a") is None
