"""Restore tests: restored beside, compared, proven, removed; and what each of them says."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.models import ProofLevel
from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.recovery.beside import (
    RestoredBeside,
    refuse_difference,
    restore_beside,
)
from ledgerkeep.configuration.recovery.beside_evidence import (
    criteria_of_test,
    findings_beside,
    measurements_of,
)
from ledgerkeep.configuration.recovery.places import (
    clear_old_places,
    clear_place,
    label_of,
    refuse_left,
)
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Found, Known, Source
from ledgerkeep.errors import (
    AwsRefused,
    ConfigurationError,
    ObjectCorrupt,
    ProofMismatch,
    RestoreFailed,
    SealBroken,
    ValidationFailed,
    VersionMissing,
)
from ledgerkeep.model import utc_now
from tests.configuration.recovery.shelf import NoPlace, Shelf, stocked
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]

RUN = "production_test/manual__1"


@pytest.fixture
def account(aws: None) -> Account:
    return open_account(policy_with(parameters={"paths": ["/loan/"]}))


def beside(account: Account, source: Source) -> RestoredBeside:
    label = label_of(RUN, source.name)
    return restore_beside(source, account.versions, account.marker, label=label, run=RUN)


def place_of(shelf: Shelf) -> Shelf:
    return shelf.places[label_of(RUN, shelf.name)]


def notes(account: Account) -> list[str]:
    prefix = keys.configuration_places("production")
    return [key for key in account.store.objects if key.startswith(prefix)]


class LateShelf(Shelf):
    """Lists in its place nothing that is not asked for by name, and clears nothing else."""

    asked: frozenset[str] = frozenset()

    def looking_for(self, keys: Iterable[str]) -> Shelf:
        self.asked = frozenset(keys)
        return self

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        return (one for one in super().export(known) if one.key in self.asked)

    def clear(self) -> None:
        self.things = {key: one for key, one in self.things.items() if key not in self.asked}


class WithLatePlace(Shelf):
    def beside(self, label: str) -> Shelf:
        return self.places.setdefault(label, LateShelf())


def test_place_whose_service_lists_too_late_is_read_and_cleared_by_name(account: Account) -> None:
    shelf = WithLatePlace(things=stocked().things)
    account.back_up(shelf)
    refuse_difference(beside(account, shelf))
    place = place_of(shelf)
    assert place.things == shelf.things
    place.looking_for([])
    assert clear_place(shelf, account.versions, label_of(RUN, "shelf"))
    assert place.things == {}


def test_newest_version_is_restored_beside_and_so_proven(account: Account) -> None:
    shelf = stocked()
    version = account.back_up(shelf).version
    before = dict(shelf.things)
    found = beside(account, shelf)
    refuse_difference(found)
    assert shelf.things == before
    assert shelf.applied == []
    assert place_of(shelf).things == before
    assert (found.level, found.items, found.wrong, found.drift_count) == ("proven", 3, [], 0)
    assert found.words == (
        f"3 of 3 items of version {version.id} were restored and read back the same"
    )
    assert account.versions.level(version) is ProofLevel.PROVEN
    (proof,) = account.versions.proofs(version)
    assert (proof.run, proof.version_id, proof.items, proof.stops_because) == (
        RUN,
        version.id,
        3,
        "",
    )
    assert clear_place(shelf, account.versions, label_of(RUN, "shelf"))
    assert (place_of(shelf).things, notes(account)) == ({}, [])


def test_a_version_that_nobody_tried_is_only_recorded(account: Account) -> None:
    version = account.back_up(stocked()).version
    assert account.versions.level(version) is ProofLevel.RECORDED


def test_parameters_are_restored_below_a_path_of_their_own(account: Account) -> None:
    """Of a real source, on moto."""
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/loan/password", Value="correct horse", Type="SecureString")
    source = open_source("parameters", account.access, account.policy)
    account.back_up(source)
    found = beside(account, source)
    refuse_difference(found)
    assert found.level == "proven"
    label = label_of(RUN, "parameters")
    copy = f"/ledgerkeep-restore-test/{label}/loan/password"
    assert (
        ssm.get_parameter(Name=copy, WithDecryption=True)["Parameter"]["Value"] == "correct horse"
    )
    clear_place(source, account.versions, label)
    described = ssm.describe_parameters()["Parameters"]
    assert [one["Name"] for one in described] == ["/loan/password"]


def test_attempt_that_was_killed_is_gone_on_with(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    label = label_of(RUN, "shelf")
    half = shelf.beside(label)
    assert half is not None
    half.things.update({"a": {"size": 1}, "b": {"half": "done"}, "left": {}})
    found = beside(account, shelf)
    refuse_difference(found)
    assert found.level == "proven"
    assert sorted(half.applied) == [("create", "c"), ("delete", "left"), ("update", "b")]


def test_drift_is_told_and_fails_nothing(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    shelf.things["b"]["password"] = Secret("wrong pony")
    found = beside(account, shelf)
    refuse_difference(found)
    assert (found.level, found.drift) == ("proven", ["b"])
    assert findings_beside(found) == [
        {
            "what": "shelf: 1 things are live otherwise than the newest version holds them: b",
            "severity": "warning",
        }
    ]
    assert 0 < measurements_of({"shelf": found})["rpo_seconds"] < 60


def test_without_a_place_the_version_is_shown_to_be_whole(account: Account) -> None:
    shelf = NoPlace(things=stocked().things)
    version = account.back_up(shelf).version
    found = beside(account, shelf)
    refuse_difference(found)
    assert found.level == "intact"
    assert found.words == (
        f"version {version.id} opens and all of its hashes hold; it was not restored, because "
        "there is one shelf to a room"
    )
    assert account.versions.level(version) is ProofLevel.INTACT
    assert [one["severity"] for one in findings_beside(found)] == ["info"]
    criteria = {one["name"]: one["met"] for one in criteria_of_test({"shelf": found})}
    assert criteria == {
        "data integrity": True,
        "application works": None,
        "performance within range": None,
    }
    assert not clear_place(shelf, account.versions, label_of(RUN, "shelf"))


@pytest.mark.parametrize("part", ["items", "sealed"])
@pytest.mark.parametrize("kind", [Shelf, NoPlace])
def test_damaged_version_fails_the_test_with_or_without_a_place(
    account: Account, kind: type[Shelf], part: str
) -> None:
    shelf = kind(things=stocked().things)
    version = account.back_up(shelf).version
    account.store.objects[getattr(version, part).key].body = b"something else"
    with pytest.raises((ObjectCorrupt, SealBroken)):
        beside(account, shelf)
    assert account.versions.level(version) is ProofLevel.RECORDED


def test_damaged_attachment_fails_the_test(account: Account) -> None:
    shelf = NoPlace(things={"a": {"x": 1}}, bundles={"a": b"bundle"})
    version = account.back_up(shelf).version
    account.store.objects[version.attachments["a"].key].body = b"bungle"
    with pytest.raises(ObjectCorrupt):
        beside(account, shelf)


def test_source_without_any_version_fails_the_test(account: Account) -> None:
    with pytest.raises(VersionMissing, match="shelf has no version yet"):
        beside(account, stocked())


def test_what_the_service_refuses_fails_the_test_and_proves_nothing(account: Account) -> None:
    shelf = stocked()
    version = account.back_up(shelf).version
    shelf.failing["b"] = AwsRefused("'correct horse' is refused", hint="")
    found = beside(account, shelf)
    with pytest.raises(RestoreFailed) as caught:
        refuse_difference(found)
    assert caught.value.message == (
        f"version {version.id} of shelf could not be restored whole: b: '***' is refused"
    )
    assert found.level is None
    assert account.versions.proofs(version) == []
    assert notes(account)
    clear_place(shelf, account.versions, label_of(RUN, "shelf"))
    assert place_of(shelf).things == {}


def test_what_reads_otherwise_fails_the_test(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    found = beside(account, shelf).model_copy(update={"wrong": ["a"], "wrong_count": 1})
    with pytest.raises(ProofMismatch) as caught:
        refuse_difference(found)
    assert caught.value.message == (
        "1 of 3 restored items of shelf read otherwise than they are stored: a"
    )


def test_what_does_not_work_is_restored_and_no_more(account: Account) -> None:
    shelf = stocked()
    shelf.unsettled.append("nobody can open b")
    version = account.back_up(shelf).version
    found = beside(account, shelf)
    with pytest.raises(ValidationFailed) as caught:
        refuse_difference(found)
    assert caught.value.message == "shelf is restored as it is stored, but nobody can open b"
    assert account.versions.level(version) is ProofLevel.RESTORED


def test_what_no_program_can_restore_keeps_it_from_being_proven(account: Account) -> None:
    shelf = Shelf(things={"a": {}, "hand-1": {}})
    version = account.back_up(shelf).version
    found = beside(account, shelf)
    refuse_difference(found)
    assert account.versions.level(version) is ProofLevel.RESTORED
    assert found.words.startswith("1 of 2 items")
    assert found.words.endswith("; 1 were left out")
    assert findings_beside(found) == [
        {
            "what": "shelf: 1 of 2 things were left out of the test: turn the key",
            "severity": "info",
        }
    ]


def test_source_that_told_nothing_has_shown_nothing(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    found = {"shelf": beside(account, shelf), "iam": None}
    criteria = criteria_of_test(found)
    assert [one["met"] for one in criteria] == [False, False, None]
    assert criteria[0]["words"].endswith("read back the same. iam: not restored")
    assert measurements_of(found) == {}


# -- what killed tests leave behind


def test_places_of_killed_tests_are_found_again_and_removed(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    beside(account, shelf)
    day = timedelta(days=1)

    def sweep(now_in: timedelta) -> list[str]:
        cleared, left = clear_old_places(
            account.versions, lambda _: shelf, keep=day, now=utc_now() + now_in
        )
        assert left == []
        return [one.run for one in cleared]

    assert sweep(timedelta()) == []
    assert place_of(shelf).things
    assert sweep(2 * day) == [RUN]
    assert place_of(shelf).things == {}
    assert sweep(2 * day) == []


def test_place_that_cannot_be_removed_is_named_and_stays_noted(account: Account) -> None:
    shelf = stocked()
    account.back_up(shelf)
    beside(account, shelf)

    def denied(_: str) -> Source:
        raise AwsRefused("nobody may delete", hint="allow it")

    later = utc_now() + timedelta(days=2)
    _, left = clear_old_places(account.versions, denied, keep=timedelta(days=1), now=later)
    with pytest.raises(ConfigurationError) as caught:
        refuse_left(left)
    label = label_of(RUN, "shelf")
    assert caught.value.message == (
        f"the isolated place {label} of shelf, of {RUN}, could not be removed: nobody may delete"
    )
    assert caught.value.hint == "allow it"
    assert len(notes(account)) == 1


def test_each_run_has_places_of_its_own() -> None:
    assert label_of(RUN, "iam") == label_of(RUN, "iam")
    assert len({label_of(RUN, "iam"), label_of(RUN, "kms"), label_of("other", "iam")}) == 3
