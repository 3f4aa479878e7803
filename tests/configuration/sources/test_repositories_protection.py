"""Branch protection through GitHub's API, and what must hold of default branches and releases.

The API is a stand-in that follows its published description: what a request must name, what a
token may do, pages, and the two ways in which it says that there were too many requests.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.saas.github import GitHub as StandIn
from include.sandbox.saas.github import Repository
from include.sandbox.saas.server import SaasServer, running
from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Planned, Source
from ledgerkeep.configuration.sources.repositories.findings import findings_in
from ledgerkeep.configuration.sources.repositories.github import content_of, request_of, slug_of
from ledgerkeep.errors import ServiceRefused, ServiceUnavailable
from ledgerkeep.policy.configuration_sources import Repositories
from tests.support.configuration import Account, aws, open_account, policy_with
from tests.support.repositories import Origin, git, stocked_origin
from tests.support.saas import put_back

__all__ = ["aws"]
pytestmark = pytest.mark.integration

CODE, SLUG = "infrastructure", "acme/infrastructure"
KEY = f"{CODE}/protection/main"
STRICT: dict[str, Any] = {
    "required_status_checks": {
        "strict": True,
        "checks": [{"context": "plan", "app_id": 15368}, {"context": "lint", "app_id": -1}],
    },
    "enforce_admins": True,
    "required_pull_request_reviews": {
        "dismiss_stale_reviews": True,
        "require_code_owner_reviews": True,
        "require_last_push_approval": False,
        "required_approving_review_count": 2,
        "bypass_pull_request_allowances": {"users": [], "teams": ["release"], "apps": []},
    },
    "restrictions": {"users": ["ann"], "teams": ["platform", "core"], "apps": ["deployer"]},
    "required_linear_history": True,
    "required_conversation_resolution": True,
}


@pytest.fixture
def github(tmp_path: Path) -> StandIn:
    made = StandIn({"t0ken-write": "write", "t0ken-read": "read", "t0ken-code": ""})
    made.repositories[SLUG] = Repository(
        branches={"main", "release/1", "feature/queues"},
        protections={"main": dict(STRICT), "release/1": {**STRICT, "restrictions": None}},
        signed={"main"},
    )
    return made


@pytest.fixture
def server(github: StandIn) -> Iterator[SaasServer]:
    with running(SaasServer(github)) as server:
        yield server


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    return stocked_origin(tmp_path)


def opened(origin: Origin, server: SaasServer, token: str = "t0ken-write", **more: Any) -> Account:
    code = {"name": CODE, "url": origin.url, "host": "github"}
    policy = policy_with(
        repositories={"repositories": [code], "connection_id": "git", "patience": "5s", **more}
    )
    return open_account(policy, {"git": Login(server.url, password=token)})


@pytest.fixture
def account(aws: None, origin: Origin, server: SaasServer) -> Account:
    return opened(origin, server, release_tags="v*")


@pytest.fixture
def source(account: Account) -> Source:
    return open_source("repositories", account.access, account.policy)


def contents(source: Source) -> dict[str, Mapping[str, Any]]:
    return {one.key: one.content for one in source.export({}) if isinstance(one, Found)}


# -- reading


def test_the_protection_of_every_protected_branch_is_exported_without_addresses_and_ids(
    source: Source,
) -> None:
    found = contents(source)
    assert sorted(key for key in found if "/protection/" in key) == [
        KEY,
        f"{CODE}/protection/release/1",
    ]
    assert found[KEY] == {
        "required_status_checks": {
            "strict": True,
            "checks": [{"context": "lint", "app_id": None}, {"context": "plan", "app_id": 15368}],
        },
        "enforce_admins": True,
        "required_pull_request_reviews": {
            "dismiss_stale_reviews": True,
            "require_code_owner_reviews": True,
            "require_last_push_approval": False,
            "required_approving_review_count": 2,
            "dismissal_restrictions": None,
            "bypass_pull_request_allowances": {"users": [], "teams": ["release"], "apps": []},
        },
        "restrictions": {"users": ["ann"], "teams": ["core", "platform"], "apps": ["deployer"]},
        "required_linear_history": True,
        "allow_force_pushes": False,
        "allow_deletions": False,
        "block_creations": False,
        "required_conversation_resolution": True,
        "lock_branch": False,
        "allow_fork_syncing": False,
        "required_signatures": True,
    }


def test_refs_of_pull_requests_are_no_items_at_a_host_that_keeps_them_to_itself(
    account: Account, source: Source, tmp_path: Path
) -> None:
    version = account.back_up(source).version
    assert not [key for key in account.versions.items(version) if "/refs/pull/" in key]
    bundle = tmp_path / "stored.bundle"
    bundle.write_bytes(b"".join(account.versions.attachment(version, CODE)))
    assert "refs/pull/7/head" in git(tmp_path, "bundle", "list-heads", str(bundle))


def test_protected_branches_are_listed_page_by_page(
    source: Source, github: StandIn, server: SaasServer
) -> None:
    there = github.repositories[SLUG]
    for number in range(120):
        there.branches.add(f"release/{number:03}")
        there.protections[f"release/{number:03}"] = {**STRICT, "restrictions": None}
    assert len([key for key in contents(source) if "/protection/" in key]) == 122
    assert [path for _, path in server.requests if "page=" in path] == [
        f"/repos/{SLUG}/branches?protected=true&per_page=100&page={page}" for page in (1, 2)
    ]


def test_protection_that_changes_while_no_ref_moves_is_a_change_and_copies_nothing(
    account: Account, source: Source, github: StandIn
) -> None:
    account.back_up(source)
    github.repositories[SLUG].protections["main"]["enforce_admins"] = False
    done = account.back_up(source)
    assert [(one.action, one.key) for one in done.changes] == [("update", KEY)]
    assert done.read_items == 2
    assert not account.back_up(source).is_new


# -- restoring


def test_every_damage_to_protection_is_undone_and_undoing_it_again_changes_nothing(
    account: Account, source: Source, github: StandIn
) -> None:
    before = contents(source)
    there = github.repositories[SLUG]
    there.protections["main"] = {
        **STRICT,
        "required_pull_request_reviews": {
            "required_approving_review_count": 0,
            "dismissal_restrictions": {"users": ["eve"]},
        },
        "allow_force_pushes": True,
    }
    there.signed.clear()
    del there.protections["release/1"]
    there.protections["feature/queues"] = {**STRICT}
    there.default_branch = "feature/queues"
    assert put_back(source, before) == []
    assert contents(source) == before
    assert "feature/queues" not in there.protections
    requests = len(account.back_up(source).changes)
    assert put_back(source, before) == []
    assert requests == len(before)


def test_the_default_branch_is_set_through_the_api(
    source: Source, github: StandIn, origin: Origin
) -> None:
    github.repositories[SLUG].default_branch = "release/1"
    wanted = {"url": origin.url, "default_branch": "main"}
    source.apply(Change("update", CODE, {**wanted, "default_branch": "release/1"}, wanted))
    assert github.repositories[SLUG].default_branch == "main"


def test_a_persons_repository_is_not_asked_for_lists_of_people(
    source: Source, github: StandIn
) -> None:
    there = github.repositories[SLUG]
    there.personal = True
    reviews = {"required_approving_review_count": 1}
    there.protections = {
        "main": {**STRICT, "restrictions": None, "required_pull_request_reviews": reviews}
    }
    before = contents(source)
    there.protections["main"]["enforce_admins"] = False
    assert put_back(source, before) == []
    assert contents(source) == before


def test_a_list_of_people_that_shall_not_be_there_is_emptied() -> None:
    told = {
        "required_pull_request_reviews": {
            "required_approving_review_count": 1,
            "dismissal_restrictions": {"users": [{"login": "eve"}], "teams": [], "apps": []},
        }
    }
    live = content_of(told)
    wanted = content_of({"required_pull_request_reviews": {"required_approving_review_count": 1}})
    sent = request_of(wanted, live)["required_pull_request_reviews"]
    assert isinstance(sent, dict)
    assert sent["dismissal_restrictions"] == {}
    assert "bypass_pull_request_allowances" not in sent


def test_protection_without_an_api_is_left_to_a_person(aws: None, origin: Origin) -> None:
    settings = {"name": CODE, "url": "https://git.example/acme/infrastructure.git"}
    account = open_account(policy_with(repositories={"repositories": [settings]}))
    source = open_source("repositories", account.access, account.policy)
    item = Item(key=KEY, content={})
    assert source.by_hand(Planned("create", KEY, None, item)) == (
        "protect the branch as the version says: the policy names no API of the host of "
        "infrastructure"
    )
    after = Item(key=CODE, content={"url": settings["url"], "default_branch": "trunk"})
    assert source.by_hand(Planned("update", CODE, after, after)) == (
        "make trunk its default branch: the policy names no API of the host of infrastructure"
    )


def test_an_isolated_place_takes_protection_too_and_tells_github_nothing(
    account: Account, source: Source, server: SaasServer
) -> None:
    before = contents(source)
    version = account.back_up(source).version
    asked = len(server.requests)
    beside = source.beside("run-1")
    assert beside is not None
    attachments = {
        key: (lambda key=key: account.versions.attachment(version, key)) for key in before
    }
    assert put_back(beside, before, attachments) == []
    assert contents(beside) == before
    beside.apply(Change("delete", KEY, before[KEY], None))
    assert KEY not in contents(beside)
    beside.clear()
    assert len(server.requests) == asked


# -- what may be wrong


@pytest.mark.parametrize(
    ("token", "message", "hint"),
    [
        (
            "t0ken-code",
            f"github refused to read the protection of main of {SLUG}: Administration: read is "
            "missing",
            f"give the token of the connection git the permission Administration: read on {SLUG}",
        ),
        (
            "nobody",
            f"github refused to list the protected branches of {SLUG}: the credentials are wrong",
            "correct the login and password of the connection git",
        ),
    ],
)
def test_a_missing_permission_is_named(
    aws: None, origin: Origin, server: SaasServer, token: str, message: str, hint: str
) -> None:
    account = opened(origin, server, token)
    with pytest.raises(ServiceRefused) as caught:
        contents(open_source("repositories", account.access, account.policy))
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_token_that_may_only_read_cannot_protect(
    aws: None, origin: Origin, server: SaasServer
) -> None:
    account = opened(origin, server, "t0ken-read")
    source = open_source("repositories", account.access, account.policy)
    live = contents(source)[KEY]
    with pytest.raises(ServiceRefused) as caught:
        source.apply(Change("update", KEY, live, {**live, "enforce_admins": False}))
    assert caught.value.message == (
        f"github refused to protect main of {SLUG}: Administration: write is missing"
    )
    assert caught.value.hint == (
        f"give the token of the connection git the permission Administration: write on {SLUG}"
    )


@pytest.mark.parametrize(
    "headers",
    [{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, {"Retry-After": "0"}],
    ids=["requests spent", "too fast"],
)
def test_a_refusal_that_means_too_many_requests_is_waited_for(
    source: Source, github: StandIn, headers: dict[str, str]
) -> None:
    github.limits = [headers]
    assert KEY in contents(source)
    assert github.limits == []


@pytest.mark.parametrize("status", [429, 502])
def test_a_host_that_fails_is_asked_again(source: Source, server: SaasServer, status: int) -> None:
    server.fail(status, 1, "/protection", Retry_After="0")
    assert KEY in contents(source)


def test_a_host_that_stays_busy_may_answer_later(source: Source, github: StandIn) -> None:
    github.limits = [{"Retry-After": "60"}] * 9
    with pytest.raises(ServiceUnavailable) as caught:
        contents(source)
    assert caught.value.retryable
    assert caught.value.message == (
        f"github has had too many requests to read the protection of main of {SLUG}, and asks to "
        "wait 60 s; given up after 5 s"
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/infrastructure.git",
        "https://github.com/acme/infrastructure/",
        "ssh://git@github.com/acme/infrastructure.git",
        "git@github.com:acme/infrastructure.git",
    ],
)
def test_a_repository_is_known_to_its_host_by_its_address(url: str) -> None:
    assert slug_of(url) == SLUG


# -- findings


def test_what_must_hold_holds(account: Account, source: Source) -> None:
    assert account.back_up(source).findings == []
    assert account.back_up(source).findings == []


def test_a_release_that_moved_vanished_or_is_nobodys_is_a_finding(
    account: Account, source: Source, origin: Origin
) -> None:
    account.back_up(source)
    was = git(origin.work, "rev-parse", "--short=12", "v1.1.0^{}")
    first = git(origin.work, "rev-parse", "--short=12", "v1.0.0^{}")
    git(origin.work, "tag", "-f", "-a", "v1.1.0", "-m", "Moved", "v1.0.0^{}")
    git(origin.work, "tag", "v1.2.0")
    git(origin.work, "tag", "-f", "nightly", "v1.0.0^{}")
    origin.push("--force", "--tags", ":refs/tags/v1.0.0")
    assert account.back_up(source).findings == [
        f"the tag v1.0.0 of {CODE} is gone; it was {first}",
        f"the tag v1.1.0 of {CODE} was moved from {was} to {first}",
        f"the tag v1.2.0 of {CODE} is not annotated: nobody stands for it",
    ]


def test_weak_protection_of_the_default_branch_is_a_finding_in_every_run(
    account: Account, source: Source, github: StandIn
) -> None:
    github.repositories[SLUG].protections["main"] = {
        "required_status_checks": None,
        "enforce_admins": False,
        "required_pull_request_reviews": None,
        "restrictions": None,
        "allow_force_pushes": True,
        "allow_deletions": True,
    }
    start = f"the protection of the default branch main of {CODE}"
    weak = [
        f"{start} asks for 0 approving reviews, not 1",
        f"{start} asks for no status check",
        f"{start} does not hold for administrators",
        f"{start} allows force pushes",
        f"{start} allows its deletion",
    ]
    assert account.back_up(source).findings == weak
    assert account.back_up(source).findings == weak
    del github.repositories[SLUG].protections["main"]
    assert account.back_up(source).findings == [
        f"the default branch main of {CODE} is not protected"
    ]


def test_a_repository_without_releases_is_a_finding_and_one_without_an_api_is_not_looked_at() -> (
    None
):
    settings = Repositories.model_validate(
        {"repositories": [{"name": "a", "url": "https://h/a"}], "release_tags": "v*"}
    )
    items = {"a": Item(key="a", content={"url": "https://h/a", "default_branch": "main"})}
    assert list(findings_in(settings, items, {})) == ["a has no tag v*: no release can be named"]
    quiet = settings.model_copy(update={"release_tags": None})
    assert list(findings_in(quiet, items, {})) == []
