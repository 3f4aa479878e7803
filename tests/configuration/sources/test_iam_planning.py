"""The order of changes, and what is left to a person: pure decisions, their words exactly."""

from typing import Any

import pytest

from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.source import Action, Planned
from ledgerkeep.configuration.sources.iam.planning import hand_work, in_order
from tests.support.iam_account import OWN, trust


def create(key: str, **content: Any) -> Planned:
    return Planned("create", key, None, Item(key=key, content=content))


def role(name: str, *trusted: str) -> Planned:
    document = trust({"AWS": [f"{OWN}role/loan/{one}" for one in trusted]})
    return create(f"role/{name}", trust=document)


def delete(key: str) -> Planned:
    return Planned("delete", key, Item(key=key, content={}), None)


def keys(changes: list[Planned]) -> list[str]:
    return [one.key for one in changes]


def test_what_is_referred_to_comes_first_and_deletions_go_the_other_way_round() -> None:
    kinds = ["account/alias", "instance-profile/a", "user/a", "group/a", "policy/a"]
    changes = [
        *(create(key) for key in [*kinds, "oidc-provider/a", "saml-provider/a"]),
        role("a"),
        *(delete(key) for key in ["policy/z", "role/z", "user/z", "group/z", "policy/y"]),
        delete("instance-profile/z"),
    ]
    assert keys(in_order(changes)) == [
        "oidc-provider/a",
        "saml-provider/a",
        "policy/a",
        "group/a",
        "user/a",
        "role/a",
        "instance-profile/a",
        "account/alias",
        "instance-profile/z",
        "role/z",
        "user/z",
        "group/z",
        "policy/z",
        "policy/y",
    ]


def test_a_role_comes_after_those_that_its_trust_names() -> None:
    changes = [role("a", "b", "elsewhere"), role("b", "c", "b"), role("c"), role("d")]
    assert keys(in_order(changes)) == ["role/c", "role/d", "role/b", "role/a"]


def test_roles_that_name_each_other_have_some_order() -> None:
    changes = [role("a", "b"), role("b", "a"), role("c", "a")]
    assert keys(in_order(changes)) == ["role/a", "role/b", "role/c"]


def hand(action: Action, key: str, before: Any, after: Any) -> str:
    return hand_work(action, key, before, after)


LINKED = {"path": "/aws-service-role/ecs.amazonaws.com/", "tags": {}}


def test_a_service_linked_role_is_left_to_its_service() -> None:
    key = "role/AWSServiceRoleForECS"
    assert hand("create", key, None, LINKED) == (
        "role/AWSServiceRoleForECS is linked to the service ecs.amazonaws.com, which makes it when "
        "it is used; or run "
        "`aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`"
    )
    assert hand("update", key, LINKED, {**LINKED, "tags": {"a": "b"}}) == (
        "role/AWSServiceRoleForECS is linked to the service ecs.amazonaws.com, and only that "
        "changes it: leave it"
    )
    assert hand("delete", key, LINKED, None) == (
        "role/AWSServiceRoleForECS is linked to the service ecs.amazonaws.com: once no resource of "
        "it is left, run "
        "`aws iam delete-service-linked-role --role-name AWSServiceRoleForECS`; or leave it"
    )


def test_a_role_of_identity_center_is_left_to_it() -> None:
    path = {"path": "/aws-reserved/sso.amazonaws.com/eu-central-1/"}
    assert hand("delete", "role/AWSReservedSSO_Admin", path, None) == (
        "role/AWSReservedSSO_Admin is kept by IAM Identity Center: change its permission set there"
    )


@pytest.mark.parametrize("kind", ["role", "policy", "instance-profile"])
def test_what_has_a_path_for_ever_is_not_moved(kind: str) -> None:
    assert hand("update", f"{kind}/a", {"path": "/"}, {"path": "/loan/"}) == (
        f"{kind}/a is at the path / and cannot be moved to /loan/, since IAM sets a path only when "
        "something is made: delete it, once nothing uses it any more, and run the recovery again, "
        "which makes it there"
    )


@pytest.mark.parametrize("kind", ["user", "group"])
def test_users_and_groups_are_moved(kind: str) -> None:
    assert hand("update", f"{kind}/a", {"path": "/"}, {"path": "/loan/"}) == ""


def test_only_a_description_that_alone_differs_is_left_to_a_person() -> None:
    before = {"path": "/", "description": "", "document": {"Statement": []}, "tags": {}}
    after = {**before, "description": "Reads loans"}
    assert hand("update", "policy/LoanRead", before, after) == (
        "policy/LoanRead differs only in its description, which IAM sets only when a policy is "
        "made: leave it; or delete it, once nothing uses it any more, and run the recovery again"
    )
    assert hand("update", "policy/LoanRead", before, {**after, "tags": {"a": "b"}}) == ""
    assert hand("create", "policy/LoanRead", None, after) == ""
