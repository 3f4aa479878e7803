"""Every source of production, restored beside itself, on the stand-ins that the sandbox stocks."""

from collections.abc import Iterator

import pytest

from include.sandbox import environment
from ledgerkeep.configuration.back_up import Asked, back_up, read_live
from ledgerkeep.configuration.hash_key import hash_key
from ledgerkeep.configuration.items import Marker
from ledgerkeep.configuration.recovery.beside import refuse_difference, restore_beside
from ledgerkeep.configuration.recovery.places import clear_place, label_of
from ledgerkeep.configuration.registry import configuration_of, source_names
from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.configuration.versions import Versions
from ledgerkeep.policy.load import load_environment
from tests.sandbox.test_lender import Lender, lending
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.integration

NAMES = source_names(load_environment("production", environment.POLICIES))
RUN = "production_test/manual__1"
LEVELS = {
    # What people have set by hand, no program sets elsewhere.
    "manual_settings": "intact",
    # Of a tenant there is one: what is the tenant's own is left out of the test tenant.
    "auth0": "restored",
    "docusign": "restored",
    "sendgrid": "restored",
}


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lender]:
    with lending(tmp_path_factory.mktemp("lender")) as found:
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_newest_version_is_restored_beside_what_is_live_which_stays_as_it_is(
    lender: Lender, name: str
) -> None:
    store, section = MemoryStore(), configuration_of(lender.policy)
    sealer = Sealer(section.sealing_key, lender.account.client("kms", section.region))
    versions = Versions(store, lender.policy, sealer)
    marker = Marker(hash_key(store, lender.policy, sealer))
    source, label = lender.source(name), label_of(RUN, name)
    version = back_up(source, versions, marker, Asked(run="test")).version

    found = restore_beside(source, versions, marker, label=label, run=RUN)

    try:
        refuse_difference(found)
        assert found.drift == []
        assert versions.level(version).word == LEVELS.get(name, "proven")
    finally:
        clear_place(source, versions, label)
    assert read_live(source, marker, {}).items == versions.items(version)
    place = source.beside(label)
    assert place is None or list(place.export({})) == []
