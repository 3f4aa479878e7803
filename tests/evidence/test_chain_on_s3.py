"""The chain against a real store: its conditional create is what keeps it from forking."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.errors import ObjectConflict
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.evidence.records import EvidenceLink
from ledgerkeep.model import utc_now
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.worker import WorkerSettings
from tests.evidence.support import policy_of, record

pytestmark = pytest.mark.integration


@pytest.fixture
def store(s3: ObjectStoreServer, bucket: str) -> S3Store:
    storage = policy_of("production").storage.model_copy(update={"bucket": bucket})
    access = StoreAccess(
        endpoint_url=s3.endpoint, access_key=s3.user.access_key, secret_key=s3.user.secret_key
    )
    return open_store(storage, WorkerSettings(store_encryption="none"), access)


def test_workers_at_once_make_one_chain(store: S3Store) -> None:
    def append(number: int) -> EvidenceLink:
        log = EvidenceLog(store, policy_of("production"))
        return log.append(record(number, environment="production"))

    with ThreadPoolExecutor(8) as pool:
        links = list(pool.map(append, range(24)))
    assert sorted(link.sequence for link in links) == list(range(1, 25))
    later = EvidenceLog(store, policy_of("production"), now=lambda: utc_now() + timedelta(hours=1))
    assert later.verify().sequence == 24


def test_link_is_locked_and_cannot_be_written_again(store: S3Store) -> None:
    log = EvidenceLog(store, policy_of("production"))
    link = log.append(record(1, environment="production"))
    key = "production/evidence/chain/000000000001.json"
    for name in (key, link.record_key):
        head = store.head(name)
        assert head is not None
        assert head.retention is not None
        assert head.retention.until > utc_now() + timedelta(days=7 * 365 - 1)
        with pytest.raises(ObjectConflict):
            store.put(name, b"{}")
    assert store.delete_prefix("production/evidence/") == 0
    assert log.verify().sequence == 1
