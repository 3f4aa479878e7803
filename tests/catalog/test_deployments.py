"""Deployments and their backups: what is known, verified once, and refused."""

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.deployments import (
    check_deployment_id,
    deployed_backups,
    mark_verified,
    refuse_verified,
    verified_deployments,
)
from ledgerkeep.catalog.models import BaseBackup, Deployment, DeploymentVerified
from ledgerkeep.errors import CatalogError, RecoveryPointMissing
from ledgerkeep.policy.load import load_environment
from tests.conftest import ROOT
from tests.recovery.samples import NOON, SYSTEM, backup
from tests.support.memory_store import MemoryStore


@pytest.fixture
def catalog() -> Catalog:
    policy = load_environment("production", ROOT / "include" / "policies")
    return Catalog(MemoryStore(), policy)


def before(catalog: Catalog, name: str, deployment: str | None, at: float = 0) -> BaseBackup:
    """A recorded backup, taken before that deployment."""
    made = backup(name, stop=1, at=at).model_copy(
        update={"deployment": Deployment(id=deployment) if deployment else None}
    )
    catalog.commit_backup(made)
    return made


def test_backups_are_known_by_their_deployment_and_each_is_kept(catalog: Catalog) -> None:
    """Also where a deployment was backed up twice; a scheduled backup is of no deployment."""
    first = before(catalog, "a", "v1", 1)
    again = before(catalog, "b", "v1", 2)
    other = before(catalog, "c", "v2", 3)
    before(catalog, "d", None, 4)
    assert deployed_backups(catalog, SYSTEM) == {"v1": [first, again], "v2": [other]}
    assert verified_deployments(catalog, SYSTEM) == {}


def test_deployment_is_verified_once_and_by_whom_stays(catalog: Catalog) -> None:
    both = [before(catalog, "a", "v1", 1), before(catalog, "b", "v1", 2)]
    done = mark_verified(catalog, SYSTEM, "v1", by="dana")
    assert (done.record.verified_by, done.backups, done.already) == ("dana", both, False)
    again = mark_verified(catalog, SYSTEM, "v1", by="emil")
    assert (again.record, again.already) == (done.record, True)
    assert verified_deployments(catalog, SYSTEM) == {"v1": done.record}


def test_verified_deployment_is_not_backed_up_again(catalog: Catalog) -> None:
    """Retention would let the new backup go at once, as the old ones."""
    before(catalog, "a", "v1")
    refuse_verified(catalog, SYSTEM, "v1")
    done = mark_verified(catalog, SYSTEM, "v1", by="dana")
    with pytest.raises(CatalogError) as refused:
        refuse_verified(catalog, SYSTEM, "v1")
    assert refused.value.message == (
        f"deployment v1 was verified on {done.record.verified_at:%Y-%m-%d} by dana; "
        "a backup before it would not be kept"
    )
    assert refused.value.hint == "give the next deployment an id of its own"
    refuse_verified(catalog, SYSTEM, "v2")
    with pytest.raises(CatalogError):
        refuse_verified(catalog, SYSTEM, "v/1")


def test_id_that_begins_like_another_is_not_that_one(catalog: Catalog) -> None:
    before(catalog, "a", "v1")
    before(catalog, "b", "v1.1")
    mark_verified(catalog, SYSTEM, "v1.1", by="dana")
    assert not mark_verified(catalog, SYSTEM, "v1", by="dana").already


def test_verification_of_somebody_quicker_holds(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(catalog, "a", "v1")
    key = keys.deployment_verified("production", SYSTEM, "v1")
    theirs = DeploymentVerified(deployment_id="v1", verified_by="emil", verified_at=NOON)
    write = catalog.write

    def write_second(*what: object) -> None:
        catalog.store.put(key, theirs.to_json())
        write(*what)

    monkeypatch.setattr(catalog, "write", write_second)
    done = mark_verified(catalog, SYSTEM, "v1", by="dana")
    assert (done.record, done.already) == (theirs, True)


def test_unknown_deployment_is_refused_with_those_there_are(catalog: Catalog) -> None:
    with pytest.raises(RecoveryPointMissing) as none:
        mark_verified(catalog, SYSTEM, "v9", by="dana")
    assert none.value.message == "no backup was taken before a deployment v9"
    assert none.value.hint == (
        "check the id (there is none so far); backups before deployments are taken by the DAG "
        "production_database_pre_deployment_backup"
    )
    before(catalog, "a", "v1", 1)
    before(catalog, "b", "v2", 2)
    with pytest.raises(RecoveryPointMissing) as others:
        mark_verified(catalog, SYSTEM, "v9", by="dana")
    assert "(the newest are v2, v1)" in others.value.hint
    assert verified_deployments(catalog, SYSTEM) == {}


@pytest.mark.parametrize("good", ["1", "2026.11.3", "loan-api_v4.2-rc1", "a" * 100])
def test_ids_of_releases_are_taken(good: str) -> None:
    assert check_deployment_id(good) == good


@pytest.mark.parametrize(
    "bad", ["", "a/b", "../x", ".hidden", "-x", "a b", "a\n", "ü", "a" * 101, "{{ x }}"]
)
def test_what_could_not_be_part_of_a_key_is_refused(catalog: Catalog, bad: str) -> None:
    with pytest.raises(CatalogError) as refused:
        mark_verified(catalog, SYSTEM, bad, by="dana")
    assert refused.value.message.endswith(" is not a deployment id")
    assert refused.value.hint == (
        "1 to 100 letters, digits, dots, hyphens and underscores, beginning with a "
        "letter or a digit, such as 2026.11.3"
    )
    assert catalog.store.objects == {}


def test_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(CatalogError) as refused:
        check_deployment_id("x" * 300)
    assert refused.value.message == f"'{'x' * 100}…' is not a deployment id"
