"""A recovery of configuration: planned, carried out, found again after a kill, verified."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.recovery.carry_out import (
    CarriedOut,
    carry_out,
    refuse_incomplete,
    without_secrets,
)
from ledgerkeep.configuration.recovery.journal import entries, unfinished
from ledgerkeep.configuration.recovery.plan import Planning, make_plan, read_plan
from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.configuration.recovery.verify import Verified, refuse_unverified, verify
from ledgerkeep.configuration.source import Change
from ledgerkeep.errors import (
    AwsRefused,
    AwsUnavailable,
    ConfigurationError,
    ForeignVersion,
    ObjectCorrupt,
    RecoveryIncomplete,
    RecoveryInterrupted,
    SealBroken,
    SourceChanged,
    VersionMissing,
)
from tests.configuration.recovery.shelf import Shelf, stocked
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]


@pytest.fixture
def account(aws: None) -> Account:
    return open_account(policy_with())


def plan(account: Account, shelf: Shelf, **asked: object) -> Planning:
    request = ConfigurationRequest.model_validate({"source": "shelf", **asked})
    return make_plan(shelf, account.versions, account.marker, request)


def recover(account: Account, shelf: Shelf, made: Planning) -> CarriedOut:
    found = read_plan(account.versions, made.short)
    return carry_out(shelf, account.versions, account.marker, found, run="dag/run")


def verified(account: Account, shelf: Shelf, made: Planning) -> Verified:
    return verify(shelf, account.versions, account.marker, made.plan)


def damage(shelf: Shelf) -> None:
    """A thing gone, one changed, a secret rotated, one added."""
    del shelf.things["a"]
    shelf.things["b"]["password"] = Secret("wrong pony")
    shelf.things["c"] = {"size": 4}
    shelf.things["new"] = {"size": 9}


def journal(account: Account, made: Planning) -> list[tuple[str | None, str | None]]:
    """(how the change before ended, what begins) of each entry."""
    prefix = keys.configuration_recovery("production", made.plan.id)
    found = list(entries(account.store, prefix))
    return [(one.ended and f"{one.ended.key} {one.ended.outcome}", one.begins) for one in found]


# -- what is planned


def test_plan_names_each_kind_of_damage_and_leaves_alone_what_it_does_not_know(
    account: Account,
) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    assert [(one.action, one.key) for one in made.plan.changes] == [
        ("create", "a"),
        ("update", "b"),
        ("update", "c"),
    ]
    assert (made.plan.unknown, made.plan.same, made.plan.outside) == (["new"], 0, 0)
    assert (made.short.created, made.short.updated, made.short.deleted) == (1, 2, 0)
    assert made.short.unknown == 1
    assert shelf.applied == []


def test_what_the_version_does_not_know_is_deleted_only_when_told(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    shelf.things["new"] = {"size": 9}
    made = plan(account, shelf, delete_unknown=True)
    assert [(one.action, one.key) for one in made.plan.changes] == [("delete", "new")]
    recover(account, shelf, made)
    assert sorted(shelf.things) == ["a", "b", "c"]


def test_plan_keeps_the_order_of_the_source_and_what_only_a_person_can_do_apart(
    account: Account,
) -> None:
    shelf = Shelf(things={"a": {"x": 1}, "hand-1": {"x": 1}, "z": {"x": 1}})
    account.back_up(shelf)
    shelf.things.clear()
    made = plan(account, shelf)
    assert [one.key for one in made.plan.changes] == ["z", "a"]
    assert [(one.key, one.by_hand) for one in made.plan.by_hand] == [("hand-1", "turn the key")]


def test_only_what_is_asked_for_is_planned(account: Account) -> None:
    shelf = Shelf(things={"loan/a": {"x": 1}, "loan/b": {"x": 1}, "user/[x]": {"x": 1}})
    account.back_up(shelf)
    shelf.things.clear()
    for asked, found in {
        ("loan/*",): ["loan/a", "loan/b"],
        ("loan/?", "user/[x]"): ["loan/a", "loan/b", "user/[x]"],
        ("loan/a",): ["loan/a"],
    }.items():
        made = plan(account, shelf, only=asked)
        assert [one.key for one in made.plan.changes] == found
        assert made.plan.outside == 3 - len(found)


def test_a_name_that_is_nowhere_is_refused_with_similar_ones(account: Account) -> None:
    shelf = Shelf(things={"loan/password": {"x": 1}})
    account.back_up(shelf)
    with pytest.raises(ConfigurationError) as caught:
        plan(account, shelf, only=("loan/pasword",))
    assert caught.value.message == "shelf has no loan/pasword, neither live nor in the version"
    assert caught.value.hint == "similar names are loan/password; * stands for anything"


def test_a_moment_means_the_version_that_was_the_newest_then(account: Account) -> None:
    shelf = stocked()
    first = account.back_up(shelf).version
    shelf.things["c"] = {"size": 4}
    second = account.back_up(shelf).version
    between = second.created_at - timedelta(microseconds=1)
    assert plan(account, shelf, at=between).plan.version_id == first.id
    assert plan(account, shelf, at=second.created_at).plan.version_id == second.id
    assert plan(account, shelf).plan.version_id == second.id
    with pytest.raises(VersionMissing, match="had no version yet at"):
        plan(account, shelf, at=first.created_at - timedelta(days=1))


def test_a_version_that_does_not_exist_is_refused_with_the_nearest(account: Account) -> None:
    shelf = stocked()
    version = account.back_up(shelf).version
    with pytest.raises(VersionMissing) as caught:
        plan(account, shelf, version_id="20200101T000000000000Z-abcdef")
    assert caught.value.hint == f"the nearest of 1 stored: {version.id}"


def test_a_source_that_was_never_exported_has_nothing_to_go_back_to(account: Account) -> None:
    with pytest.raises(VersionMissing) as caught:
        plan(account, stocked())
    assert caught.value.message == "shelf has no version yet"
    assert caught.value.hint == "configuration_backup has never exported shelf; let it run"


def test_a_version_of_another_account_or_environment_is_refused(account: Account) -> None:
    shelf = stocked()
    version = account.back_up(shelf).version
    with pytest.raises(ForeignVersion) as caught:
        plan(account, Shelf(account="2"))
    assert caught.value.message == (
        f"version {version.id} of shelf is of 1 (production), and the connection leads to 2 "
        "(production)"
    )
    strange = Shelf(environment="staging", things={"a": {}})
    moved = account.back_up(Shelf(environment="production", things={"a": {}})).version
    staging = account.policy.model_copy(update={"environment": "staging"})
    for key in [key for key in account.store.objects if key.startswith("production/")]:
        copied = key.replace("production/", "staging/", 1)
        account.store.objects[copied] = account.store.objects[key]
    there = type(account.versions)(account.store, staging, account.versions.sealer)
    with pytest.raises(ForeignVersion) as caught:
        make_plan(strange, there, account.marker, ConfigurationRequest(source="shelf"))
    assert caught.value.message == (
        f"version {moved.id} of shelf is of 1 (production), and this is staging"
    )


@pytest.mark.parametrize("part", ["items", "sealed"])
def test_what_was_changed_since_it_was_stored_is_refused_before_anything_is_touched(
    account: Account, part: str
) -> None:
    shelf = stocked()
    version = account.back_up(shelf).version
    made = plan(account, shelf)
    damage(shelf)
    account.store.objects[getattr(version, part).key].body = b"something else"
    for refused in (lambda: plan(account, shelf), lambda: recover(account, shelf, made)):
        with pytest.raises((ObjectCorrupt, SealBroken)):
            refused()
    assert shelf.applied == []


def test_attachment_that_was_changed_is_refused_before_anything_is_touched(
    account: Account,
) -> None:
    shelf = Shelf(things={"a": {"x": 1}, "b": {"x": 1}}, bundles={"b": b"bundle"})
    version = account.back_up(shelf).version
    shelf.things.clear()
    made = plan(account, shelf)
    account.store.objects[version.attachments["b"].key].body = b"bungle"
    with pytest.raises(ObjectCorrupt):
        recover(account, shelf, made)
    assert shelf.applied == []


def test_what_is_approved_is_every_byte_of_the_plan(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    assert made.short.stored.sha256 == made.plan.digest()
    assert read_plan(account.versions, made.short) == made.plan
    account.store.objects[made.short.stored.key].body = made.plan.to_json().replace(
        b"size", b"sise"
    )
    with pytest.raises(ObjectCorrupt):
        recover(account, shelf, made)
    assert shelf.applied == []


def test_plan_and_journal_are_locked_as_evidence(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    recover(account, shelf, made)
    prefix = keys.configuration_recovery("production", made.plan.id)
    found = {
        key.removeprefix(prefix): one.retention
        for key, one in account.store.objects.items()
        if key.startswith(prefix)
    }
    assert sorted(found)[-3:] == ["plan.json", "plan.md", "recovery.json"]
    assert len(found) == 7
    assert all(one is not None and one.mode == "COMPLIANCE" for one in found.values())


# -- what is carried out


def test_everything_is_as_it_was_and_a_second_plan_finds_nothing(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    done = recover(account, shelf, made)
    assert (done.applied, done.already, done.failed) == (["a", "b", "c"], [], {})
    assert shelf.things == {**stocked().things, "new": {"size": 9}}
    found = verified(account, shelf, made)
    refuse_unverified(found)
    assert (found.right, found.wrong, found.others) == (["a", "b", "c"], [], [])
    again = plan(account, shelf)
    assert (again.plan.changes, again.plan.unknown, again.plan.same) == ([], ["new"], 3)


def test_what_belongs_to_an_item_comes_back_with_it(account: Account) -> None:
    shelf = Shelf(things={"a": {"x": 1}}, bundles={"a": b"bundle"})
    account.back_up(shelf)
    shelf.things.clear()
    shelf.bundles.clear()
    recover(account, shelf, plan(account, shelf))
    assert shelf.bundles == {"a": b"bundle"}


def test_somebody_who_changed_it_since_is_not_gone_over(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    shelf.things["c"] = {"size": 5}
    with pytest.raises(SourceChanged) as caught:
        recover(account, shelf, made)
    assert caught.value.message == (
        "1 of the 3 things that the plan changes are not as they were when it was made: c"
    )
    assert caught.value.hint == (
        "nothing was changed; find out who has changed them, then start the recovery again for a "
        "plan of what is live now"
    )
    assert shelf.applied == []


def test_what_is_as_it_is_wanted_already_is_not_done_again(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    shelf.things["c"] = {"size": 3}
    done = recover(account, shelf, made)
    assert (done.applied, done.already) == (["a", "b"], ["c"])


def test_change_that_fails_does_not_stop_the_others_and_running_again_finishes(
    account: Account,
) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    shelf.failing["b"] = AwsRefused("the parameter b is refused", hint="")
    shelf.half.add("b")
    done = recover(account, shelf, made)
    with pytest.raises(RecoveryIncomplete) as caught:
        refuse_incomplete(done)
    assert caught.value.message == (
        "2 of 3 changes are made, 1 failed: b: the parameter b is refused"
    )
    assert caught.value.hint == (
        "what was applied stays; remove the causes, then clear the task apply: it goes on with "
        "what is missing"
    )
    assert journal(account, made) == [
        (None, "a"),
        ("a applied", "b"),
        ("b failed", "c"),
        ("c applied", None),
    ]
    shelf.failing.clear()
    again = recover(account, shelf, made)
    assert (again.applied, again.already) == (["b"], ["a", "c"])
    assert shelf.things["b"] == stocked().things["b"]


def test_service_that_stops_answering_stops_everything_to_be_gone_on_with(
    account: Account,
) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    shelf.failing["b"] = AwsUnavailable("ssm does not answer", hint="")
    with pytest.raises(RecoveryInterrupted) as caught:
        recover(account, shelf, made)
    assert caught.value.retryable
    assert caught.value.message == (
        "1 of 3 changes are made, 1 failed, 1 were not begun: b: ssm does not answer"
    )
    shelf.failing.clear()
    assert recover(account, shelf, made).applied == ["b", "c"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def kill_at(key: str, *, after: Callable[[Change], None] = lambda _: None) -> Callable[..., None]:
    def before_apply(change: Change) -> None:
        if change.key == key:
            after(change)
            raise Killed

    return before_apply


def test_killed_run_tells_what_it_applied_and_the_next_goes_on(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    shelf.before_apply = kill_at(
        "b", after=lambda change: shelf.things.update({change.key: {"user": "half"}})
    )
    with pytest.raises(Killed):
        recover(account, shelf, made)
    assert journal(account, made) == [(None, "a"), ("a applied", "b")]
    prefix = keys.configuration_recovery("production", made.plan.id)
    assert unfinished(account.store, prefix) == {"b"}
    shelf.before_apply = None
    done = recover(account, shelf, made)
    assert (done.applied, done.already) == (["b", "c"], ["a"])
    assert shelf.things["b"] == stocked().things["b"]
    assert unfinished(account.store, prefix) == frozenset()


def test_change_that_was_killed_after_it_had_deleted_is_a_creation_now(account: Account) -> None:
    """Some services replace a thing by deleting it first."""
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    shelf.before_apply = kill_at("b", after=lambda change: shelf.things.pop(change.key))
    with pytest.raises(Killed):
        recover(account, shelf, made)
    shelf.before_apply = None
    recover(account, shelf, made)
    assert shelf.applied == [("create", "a"), ("create", "b"), ("update", "c")]


def test_what_was_begun_and_is_done_is_noted_so_that_a_later_change_is_refused(
    account: Account,
) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    wanted = stocked().things["b"]
    shelf.before_apply = kill_at("b", after=lambda _: shelf.things.update({"b": wanted}))
    with pytest.raises(Killed):
        recover(account, shelf, made)
    shelf.before_apply = kill_at("c")
    with pytest.raises(Killed):
        recover(account, shelf, made)
    shelf.before_apply = None
    shelf.things["b"] = {"user": "somebody else"}
    with pytest.raises(SourceChanged, match="when it was made: b"):
        recover(account, shelf, made)


def test_somebody_who_changes_another_thing_between_two_attempts_is_not_gone_over(
    account: Account,
) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    shelf.before_apply = kill_at("b")
    with pytest.raises(Killed):
        recover(account, shelf, made)
    shelf.before_apply = None
    shelf.things["a"] = {"size": 77}
    with pytest.raises(SourceChanged, match="when it was made: a"):
        recover(account, shelf, made)


# -- what is verified


def test_change_that_does_not_hold_is_found_by_reading_back(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    recover(account, shelf, made)
    shelf.things["c"] = {"size": 4}
    found = verified(account, shelf, made)
    with pytest.raises(RecoveryIncomplete) as caught:
        refuse_unverified(found)
    assert caught.value.message == "1 of 3 changes read otherwise after they were applied: c"
    assert caught.value.hint == (
        "somebody or something changes them at the same time; look who, then start the recovery "
        "again"
    )


def test_service_that_is_not_well_fails_the_verification(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    recover(account, shelf, made)
    shelf.unsettled = ["the service loans does not come up"]
    with pytest.raises(RecoveryIncomplete) as caught:
        refuse_unverified(verified(account, shelf, made))
    assert caught.value.message == (
        "everything is as the version holds it, but the service loans does not come up"
    )


def test_verification_names_what_began_to_differ_and_what_a_person_has_still_to_do(
    account: Account,
) -> None:
    shelf = Shelf(things={"a": {"x": 1}, "b": {"x": 1}, "hand-1": {"x": 1}})
    account.back_up(shelf)
    shelf.things.update({"a": {"x": 2}, "hand-1": {"x": 2}})
    made = plan(account, shelf)
    recover(account, shelf, made)
    shelf.things["b"] = {"x": 5}
    found = verified(account, shelf, made)
    refuse_unverified(found)
    assert (found.right, found.others) == (["a"], ["b"])
    assert [one.by_hand for one in found.by_hand] == ["turn the key"]


# -- secrets


def test_no_secret_is_in_the_plan_the_journal_or_any_message(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    damage(shelf)
    made = plan(account, shelf)
    told: list[str] = []
    shelf.failing["b"] = AwsRefused("'correct horse' is no password for wrong pony", hint="")
    done = carry_out(
        shelf, account.versions, account.marker, made.plan, run="dag/run", tell=told.append
    )
    assert done.failed == {"b": "'***' is no password for ***"}
    everything = [one.body for one in account.store.objects.values()]
    everything += [json.dumps(told).encode(), repr(done).encode(), repr(made).encode()]
    for secret in (b"correct horse", b"wrong pony"):
        assert [one for one in everything if secret in one] == []


def test_secret_that_a_service_repeats_is_taken_out_of_its_message() -> None:
    said = 'value "pass\\"word" of loans is refused: pass"word'
    assert without_secrets(said, {"/a": 'pass"word'}) == 'value "***" of loans is refused: ***'
    assert without_secrets("a refused", {"/a": "a"}) == "a refused"
