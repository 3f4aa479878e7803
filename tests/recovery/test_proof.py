"""The proof of a restored copy, from a real backup and real WAL; and what it must not let pass."""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from include.sandbox import objectstore
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.catalog.models import BaseBackup, Fingerprint, Proof
from ledgerkeep.database.postgres.fingerprint import take_fingerprint
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.errors import LedgerkeepError, ProofMismatch, RecoveryError, ValidationFailed
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import FingerprintPolicy, WalShipping
from ledgerkeep.recovery.plan import PlannedBackup, RecoveryPlan, plan_from_catalog
from ledgerkeep.recovery.proof import first_target, last_target, prove_copy, record_proof
from ledgerkeep.recovery.restore import restore_cluster
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.recovery.validation import validate_room
from ledgerkeep.recovery.validation_report import ValidationReport
from ledgerkeep.worker import WorkerSettings
from tests.conftest import ROOT, Cluster, make_cluster
from tests.database.postgres.backup_support import full_backup, make_catalog, make_policy
from tests.recovery.loans import make_loans

RUN = "test/run"


@dataclass
class Story:
    """A backup, then writes, a fingerprint of two databases, then changes, all of it shipped."""

    catalog: Catalog
    backup: BaseBackup
    fingerprint: Fingerprint
    changed_at: int
    """Position at which a row was changed, a table dropped, a sequence set back."""

    def restore(self, target: RecoveryTarget, room: Path, settings: WorkerSettings) -> Room:
        """A test copy."""
        plan = plan_from_catalog(self.catalog, self.backup.system_identifier, target)
        restore_cluster(self.catalog, plan, room, settings=settings, run=RUN, purpose="test")
        return Room.open(room)


@pytest.fixture(scope="module")
def story(place: Place, s3: objectstore.ObjectStoreServer) -> Iterator[Story]:
    data = place.servers / f"p{secrets.token_hex(4)}"
    source = make_cluster(place, data, initdb=("--wal-segsize=1",))
    try:
        yield _lived(source, s3)
    finally:
        source.stop(immediate=True)
        shutil.rmtree(data, ignore_errors=True)


def _lived(source: Cluster, s3: objectstore.ObjectStoreServer) -> Story:
    bucket = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, bucket)
    policy = make_policy(bucket)
    database = policy.database.model_copy(
        update={
            "databases": ["loans", "users"],
            "wal_shipping": WalShipping(schedule=None, slot="proof_tests"),
            "fingerprint": FingerprintPolicy(sampled_tables={"public.visits": 50}),
            "validation": policy.database.validation.model_copy(
                update={"suites": ["loan_management"], "amcheck": True}
            ),
        }
    )
    catalog = make_catalog(s3, policy.model_copy(update={"database": database}))
    for name in ("loans", "users"):
        source.execute(f"CREATE DATABASE {name}")
    make_loans(source.server.address.to("loans"))
    source.execute("CREATE TABLE accounts AS SELECT i FROM generate_series(1, 50) i", "users")
    source.execute("CREATE TABLE visits AS SELECT i FROM generate_series(1, 9000) i", "users")
    source.execute("CREATE UNLOGGED TABLE sessions (id int)", "users")
    backup = full_backup(source, catalog)
    source.execute("UPDATE customers SET notes = 'after the backup'", "loans")
    source.execute("INSERT INTO accounts VALUES (51)", "users")
    fingerprint = take_fingerprint(source.address, catalog, run=RUN)
    source.execute("UPDATE customers SET name = 'Someone else' WHERE id = 2", "loans")
    source.execute("SELECT setval('customers_id_seq', 1)", "loans")
    source.execute("DELETE FROM accounts WHERE i = 7", "users")
    source.execute("DROP TABLE visits", "users")
    lsn = source.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0]
    source.execute("SELECT pg_logical_emit_message(true, 'after', '')")
    ship_wal(source.address, catalog, run=RUN)
    return Story(catalog, backup, fingerprint, parse_lsn(lsn))


@pytest.mark.integration
def test_restored_copy_is_proven_and_recorded(
    story: Story, room: Path, settings: WorkerSettings
) -> None:
    """Two databases, each at its own position, then promoted, checked and judged."""
    copy = story.restore(first_target(story.fingerprint), room, settings)

    identical = prove_copy(story.catalog, copy, story.fingerprint, settings=settings, run=RUN)
    reports = validate_room(
        story.catalog, copy, settings=settings, target=last_target(story.fingerprint)
    )
    proof = record_proof(
        story.catalog,
        copy.record.plan,
        run=RUN,
        identical=identical,
        validated=reports,
        restore_seconds=3.5,
    )

    assert [report.suite for report in reports] == ["pg_amcheck", "loan_management"]
    assert proof.level == "proven"
    assert proof.fingerprint_sha256 == story.fingerprint.digest()
    assert proof.tables_compared == 13
    assert proof.sampled_tables == ["users: public.visits (50 % of its pages)"]
    assert proof.left_out == {
        "users: public.sessions": "unlogged: it is empty in every restored copy"
    }
    assert proof.stops_because == ""
    recorded = story.catalog.proofs(story.backup.system_identifier)[story.backup.id]
    assert recorded[-1] == proof


@pytest.mark.integration
def test_copy_that_differs_is_refused_and_every_difference_named(
    story: Story, room: Path, settings: WorkerSettings
) -> None:
    """The content of one moment against a copy of a later one."""
    databases = [
        one.model_copy(update={"lsn": story.changed_at}) for one in story.fingerprint.databases
    ]
    claimed = story.fingerprint.model_copy(update={"databases": databases})
    copy = story.restore(first_target(claimed), room, settings)

    with pytest.raises(ProofMismatch) as caught:
        prove_copy(story.catalog, copy, claimed, settings=settings, run=RUN)

    visits = next(
        table for table in story.fingerprint.databases[1].tables if table.name == "visits"
    )
    assert caught.value.message == (
        f"the copy of {story.backup.id} is not identical to the source: "
        "loans: table public.customers has other content in its 2 rows; "
        "loans: sequence public.customers_id_seq is behind: 1 instead of 2 or later; "
        "users: table public.accounts has 50 rows instead of 51; "
        f"users: table public.visits is missing ({visits.rows} rows); "
        "users: columns, constraints, indexes, functions or views differ"
    )
    assert caught.value.hint == (
        "do not rely on this backup: prove an older one, take a new full backup, and look at "
        "the source's and the worker's storage"
    )


@pytest.mark.integration
def test_copy_beyond_the_fingerprint_is_not_compared(
    story: Story, room: Path, settings: WorkerSettings
) -> None:
    """Replay does not go back."""
    target = RecoveryTarget(lsn=story.changed_at, inclusive=False)
    copy = story.restore(target, room, settings)

    with pytest.raises(LedgerkeepError) as caught:
        prove_copy(story.catalog, copy, story.fingerprint, settings=settings, run=RUN)

    assert not isinstance(caught.value, ProofMismatch)
    assert format_lsn(story.fingerprint.databases[0].lsn) in caught.value.message


@pytest.mark.integration
def test_copy_that_breaks_an_expectation_is_refused(
    story: Story, room: Path, settings: WorkerSettings, tmp_path: Path
) -> None:
    """Identical to a source that is wrong is still wrong."""
    shutil.copytree(ROOT / "include" / "expectations", tmp_path / "e")
    file = tmp_path / "e" / "loan_management" / "customers.json"
    file.write_text(file.read_text().replace('"min_value": 1', '"min_value": 3'))
    copy = story.restore(first_target(story.fingerprint), room, settings)

    with pytest.raises(ValidationFailed, match="loans: customers: there are customers"):
        validate_room(
            story.catalog,
            copy,
            settings=settings.model_copy(update={"expectations": tmp_path / "e"}),
        )


@pytest.mark.integration
def test_fingerprint_of_another_cluster_is_refused(
    story: Story, room: Path, settings: WorkerSettings
) -> None:
    """It would differ in everything and say nothing."""
    other = story.fingerprint.model_copy(update={"system_identifier": "42"})
    copy = story.restore(first_target(story.fingerprint), room, settings)

    with pytest.raises(RecoveryError, match="the copy is of the cluster"):
        prove_copy(story.catalog, copy, other, settings=settings, run=RUN)


_IDENTICAL = Proof(recovery_point_id="b1", level="proven", shown_at=utc_now(), run=RUN)
_AMCHECK = ValidationReport(suite="pg_amcheck", database="d", outcomes=[], seconds=1)
_SUITE = ValidationReport(suite="loan_management", database="d", outcomes=[], seconds=1)


class KeptProofs:
    """The catalog's side of recording a proof."""

    def __init__(self) -> None:
        self.proofs: list[Proof] = []

    def commit_proof(self, system_identifier: str, proof: Proof, method: str) -> None:
        self.proofs.append(proof)


@pytest.mark.parametrize(
    ("identical", "validated", "because", "level", "stops"),
    [
        (_IDENTICAL, [_AMCHECK, _SUITE], "", "proven", ""),
        (_IDENTICAL, [], "", "proven", ""),
        (None, [_SUITE], "wal_level is replica", "validated", "wal_level is replica"),
        (
            None,
            [_AMCHECK, _SUITE],
            "",
            "validated",
            "there was no fingerprint of the source to compare with",
        ),
        (
            None,
            [_AMCHECK],
            "",
            "restored",
            "the policy names no suite of expectations, and there was no fingerprint",
        ),
        (_IDENTICAL, None, "", "restored", "the copy was not validated"),
        (None, None, "validation failed", "restored", "validation failed"),
    ],
)
def test_level_follows_from_what_was_shown(
    identical: Proof | None,
    validated: list[ValidationReport] | None,
    because: str,
    level: str,
    stops: str,
) -> None:
    """No level without all below it, and always the reason why it is not higher."""
    catalog = KeptProofs()
    planned = PlannedBackup(id="b1", method="full", stored_bytes=1, raw_bytes=1)
    plan = RecoveryPlan.model_construct(backup_id="b1", system_identifier="1", chain=[planned])

    proof = record_proof(
        catalog,  # type: ignore[arg-type]
        plan,
        run=RUN,
        identical=identical,
        validated=validated,
        because=because,
    )

    assert (proof.level, proof.stops_because) == (level, stops)
    assert catalog.proofs == [proof]
