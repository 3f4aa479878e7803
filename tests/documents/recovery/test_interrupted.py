"""A bulk recovery that is killed, throttled or cut off: it goes on, and copies nothing twice."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery.journal import Journal, Outcome
from ledgerkeep.documents.recovery.request import DocumentRequest, ToMoment
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.s3 import S3Store
from tests.conftest import ROOT
from tests.documents.recovery.killed import COPIES
from tests.documents.recovery.support import Ward, ward
from tests.documents.recovery.test_recovery import moment
from tests.support.buckets import documents_bucket
from tests.support.faulty_proxy import FaultyProxy, answer_lost, refused_with

pytestmark = pytest.mark.integration

KEYS = [f"p/{number:04}" for number in range(300)]
LATER = [f"p/later {number}" for number in range(20)]


@pytest.fixture
def damaged(s3: ObjectStoreServer, bucket: str) -> tuple[Ward, DocumentRequest]:
    """Documents that were all deleted, and some that came later; plans in a bucket of their own."""
    objectstore.make_bucket(s3, f"{bucket}-backups")
    backups = S3Store(documents_bucket(s3, f"{bucket}-backups"))
    there = ward(s3, bucket)
    there.catalog = Catalog(backups, load_environment("development"))
    for key in KEYS:
        there.put(key, key.encode())
    then = moment(there)
    for key in KEYS:
        there.delete(key)
    for key in LATER:
        there.put(key, b"later")
    return there, DocumentRequest(prefix="p/", goal=ToMoment(at=then), remove_later_keys=True)


def test_killed_again_and_again_it_copies_each_document_once(
    damaged: tuple[Ward, DocumentRequest], s3: ObjectStoreServer, tmp_path: Path
) -> None:
    there, request = damaged
    plan = there.plan(request)
    before = Counter(one.key for one in there.versions("p/"))
    given = tmp_path / "given.json"
    given.write_text(
        json.dumps(
            {
                "endpoint": s3.endpoint,
                "access_key": s3.user.access_key,
                "secret_key": s3.user.secret_key,
                "documents": there.bucket.name,
                "backups": f"{there.bucket.name}-backups",
                "plan": plan.model_dump(mode="json"),
            }
        )
    )
    given.chmod(0o600)
    copied = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.documents.recovery.killed", str(given)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "plugins")},
        )
        assert process.wait(timeout=60) == -signal.SIGKILL
        now = len(there.versions("p/")) - before.total()
        # The other thread may have been in the middle of one.
        assert COPIES <= now - copied <= COPIES + 1
        copied = now

    done = there.carry_out(plan)

    after = Counter(one.key for one in there.versions("p/"))
    assert after - before == Counter([*KEYS, *LATER])
    assert there.contents("p/") == {key: key.encode() for key in KEYS}
    assert done.found_done >= copied - 20
    report = there.report(plan)
    assert report.outcomes == {"copied": len(KEYS), "removed": len(LATER)}
    assert (report.proofs, report.overtaken_keys) == ({"etag": len(KEYS)}, 0)


def test_journal_spares_a_later_run_what_it_names(damaged: tuple[Ward, DocumentRequest]) -> None:
    """Cut off between two parts, only what lies behind the last one is looked at again."""
    there, request = damaged
    plan = there.plan(request)

    class Cut(Exception):
        pass

    parts: list[int] = []
    original = Journal.add

    def add(journal: Journal, outcomes: Sequence[Outcome]) -> None:
        original(journal, outcomes)
        parts.append(len(outcomes))
        if len(parts) == 2:
            raise Cut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledgerkeep.documents.recovery.carry_out._TOGETHER", 50)
        patch.setattr(Journal, "add", add)
        with pytest.raises(Cut):
            there.carry_out(plan)
    told: list[str] = []
    done = there.carry_out(plan, tell=told.append)
    assert told[0].startswith("going on behind 'p/0099'")
    assert sum(done.outcomes.values()) == len(KEYS) + len(LATER) - 100
    assert there.report(plan).outcomes == {"copied": len(KEYS), "removed": len(LATER)}


def test_throttling_and_lost_answers_cost_time_and_nothing_else(
    damaged: tuple[Ward, DocumentRequest], s3: ObjectStoreServer, bucket: str
) -> None:
    """A copy whose answer was lost is found, not taken for somebody else's work."""
    there, request = damaged
    plan = there.plan(request)
    before = Counter(one.key for one in there.versions("p/"))
    with FaultyProxy(s3.endpoint) as proxy:
        away = Ward(documents_bucket(s3, bucket, endpoint=proxy.endpoint), there.catalog)
        throttled = proxy.fail(refused_with(503, "SlowDown"), times=8, method="PUT")
        lost = proxy.fail(answer_lost, times=10, method="PUT")
        done = away.carry_out(plan)
    assert (throttled.hits, lost.hits) == (8, 10)
    assert done.outcomes == {"copied": len(KEYS), "removed": len(LATER)}
    assert Counter(one.key for one in there.versions("p/")) - before == Counter([*KEYS, *LATER])
