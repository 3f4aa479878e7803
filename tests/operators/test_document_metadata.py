"""Documents and their rows, task by task: the check, one moment for both, and rows recovered."""

import hashlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import objectstore
from include.sandbox.place import Place
from ledgerkeep.documents.metadata.apply import RowPlan
from ledgerkeep.documents.moment import MomentCheck
from ledgerkeep.documents.recovery.carry_out import carry_out
from ledgerkeep.documents.recovery.plan import make_plan
from ledgerkeep.documents.recovery.request import DocumentRequest, ToManifest
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.evidence.collect import Contribution
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.hooks.connections import open_policy_documents
from ledgerkeep.model import utc_now
from ledgerkeep.operators.application import CheckApplicationOperator
from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST
from ledgerkeep.operators.document_metadata import (
    READABLE,
    CheckMetadataOperator,
    PlanMetadataRepairOperator,
    RepairMetadataOperator,
)
from ledgerkeep.operators.document_metadata_recovery import (
    REQUEST,
    ApplyRowsOperator,
    PlanRowsOperator,
    PlanSideCopyOperator,
    PrepareSideCopyOperator,
    RestoreSideCopyOperator,
    TryDocumentsOperator,
)
from ledgerkeep.operators.document_moment import (
    CheckMomentOperator,
    ChooseMomentOperator,
    RemoveSampleOperator,
    RestoreSampleOperator,
)
from ledgerkeep.operators.proof import ValidateCopyOperator
from ledgerkeep.operators.recovery import HandOverOperator, RestoreApprovedOperator
from ledgerkeep.operators.restore import (
    PlanRecoveryOperator,
    PrepareRoomOperator,
    RemoveRoomOperator,
    RestoreClusterOperator,
    RestoreJanitorOperator,
)
from ledgerkeep.operators.scenario import StateScenarioOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.operators.wal import ShipWalPastOperator
from ledgerkeep.recovery.approval import APPROVED_PLAN
from ledgerkeep.recovery.handover import Handover, start_copy, stop_copy
from ledgerkeep.recovery.room import Room
from ledgerkeep.worker import worker_settings
from tests.conftest import Cluster
from tests.database.postgres.wal_support import small_cluster
from tests.operators.conftest import Protected, connection, protect
from tests.operators.test_restore import back_up
from tests.recovery.loans import make_loans

pytestmark = pytest.mark.integration

ENVIRONMENT = {"environment": "production"}
DATABASE = "loan_management"


@dataclass
class Both:
    """A protected database and its documents."""

    protected: Protected
    bucket: str
    client: Any

    @property
    def cluster(self) -> Cluster:
        return self.protected.cluster

    def store(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256")

    def upload(self, key: str, body: bytes) -> None:
        self.store(key, body)
        self.cluster.execute(
            "INSERT INTO documents_document (package_id, object_key, content_sha256, size_bytes, "
            f"content_type, uploaded_at) VALUES (1, '{key}', '{hashlib.sha256(body).hexdigest()}', "
            f"{len(body)}, 'application/pdf', now())",
            DATABASE,
        )

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def keys(self) -> list[str]:
        rows = self.cluster.execute(
            "SELECT object_key FROM documents_document ORDER BY 1", DATABASE
        )
        return [key for (key,) in rows]


@pytest.fixture(scope="module")
def lending(place: Place) -> Iterator[Cluster]:
    with small_cluster(place) as cluster:
        cluster.execute(f"CREATE DATABASE {DATABASE}")
        make_loans(cluster.address.to(DATABASE))
        yield cluster


@pytest.fixture
def both(
    lending: Cluster,
    s3: objectstore.ObjectStoreServer,
    place: Place,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Both]:
    """Two documents; a bucket for them and one for the backups."""
    lending.execute("DELETE FROM documents_document", DATABASE)
    protected = protect(lending, s3, place, tmp_path)
    bucket = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, bucket)
    file = tmp_path / "production.yaml"
    text = file.read_text()
    text = text.replace("bucket: loan-management-documents-production ", f"bucket: {bucket} ")
    text = text.replace("metadata_consistency:\n", "metadata_consistency:\n    grace: 0s\n")
    file.write_text(text)
    documents = connection(
        "aws",
        login=s3.user.access_key,
        password=s3.user.secret_key,
        extra={"service_config": {"s3": {"endpoint_url": s3.endpoint}}},
    )
    variables = {**protected.variables, "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DOCUMENTS": documents}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made = Both(protected, bucket, objectstore.admin_client(s3))
    for key in ("a", "b"):
        made.upload(key, key.encode())
    yield made
    lending.drop_slots()
    for room in worker_settings().rooms.iterdir():
        shutil.rmtree(room)


def evidence(both: Both, run: Run, kind: str) -> EvidenceRecord:
    """What the verdict wrote down; its own failure is part of it."""
    verdict = VerdictOperator(task_id="verdict", kind=kind, **ENVIRONMENT)
    said = run.do(verdict)
    return both.protected.catalog.read(said["evidence"], EvidenceRecord)


# -- the check


def check(run: Run, *, repair: str = "False", fresh: str = "False") -> str:
    return run.do(CheckMetadataOperator(task_id="check", repair=repair, fresh=fresh, **ENVIRONMENT))


def test_check_of_consistent_documents_passes_and_names_its_log(both: Both) -> None:
    run = Run("production_documents_metadata_consistency")
    key = check(run)
    plan = run.do(
        PlanMetadataRepairOperator(task_id="plan", check=key, repair="False", **ENVIRONMENT)
    )
    assert (plan, run.left["plan", CHANGES]) == ({}, 0)
    repair = RepairMetadataOperator(
        task_id="repair", planned=plan, approval={}, approval_required=True, **ENVIRONMENT
    )
    assert run.do(repair) == {}
    record = evidence(both, run, "check")
    assert record.measurements["document_rows"] == 2
    assert record.facts["metadata_check"] == key
    changes = record.facts["metadata_changes"]
    stored, _, sha256 = changes.partition(" sha256 ")
    assert both.protected.catalog.store.get(stored, sha256=sha256) is not None
    assert record.findings == []


def test_lost_documents_fail_the_check_with_what_to_do(both: Both) -> None:
    both.delete("a")
    both.store("orphan", b"orphan")
    run = Run("production_documents_metadata_consistency")
    with pytest.raises(AirflowFailException) as caught:
        check(run)
    assert str(caught.value).startswith(
        "documents and their rows disagree: 1 rows without their object\nHint: all findings are in "
    )
    left = Contribution.model_validate(run.contribution("check"))
    assert [(one.severity, one.what) for one in left.findings] == [
        ("critical", "1 rows without their object"),
        ("warning", "1 objects without a row"),
    ]


def test_what_happened_within_the_grace_is_a_finding_only_where_that_is_asked_for(
    both: Both,
) -> None:
    file = Path(both.protected.variables["LEDGERKEEP_POLICIES"]) / "production.yaml"
    file.write_text(file.read_text().replace("grace: 0s", "grace: 1h"))
    both.delete("a")
    run = Run("production_documents_metadata_consistency")
    check(run)
    assert Contribution.model_validate(run.contribution("check")).measurements["on_their_way"] == 1
    with pytest.raises(AirflowFailException, match="1 rows without their object"):
        check(run, fresh="True")


def test_repair_puts_back_what_was_approved_and_nothing_else(both: Both) -> None:
    both.delete("a")
    run = Run("production_documents_metadata_consistency")
    key = check(run, repair="True")
    plan = run.do(
        PlanMetadataRepairOperator(task_id="plan", check=key, repair="True", **ENVIRONMENT)
    )
    assert run.left["plan", CHANGES] == 1
    assert "**1 documents** (1 bytes) get back" in run.left["plan", READABLE]

    def repair(approval: dict[str, str]) -> Any:
        task = RepairMetadataOperator(
            task_id="repair", planned=plan, approval=approval, approval_required=True, **ENVIRONMENT
        )
        return run.do(task)

    with pytest.raises(AirflowFailException, match="the plan is another than the one that was"):
        repair({APPROVED_PLAN: "f" * 64})
    assert repair({APPROVED_PLAN: run.left["plan", PLAN_DIGEST]}) == {"restored": 1}
    assert check(Run("production_documents_metadata_consistency", "again"))


def test_what_needs_a_person_fails_the_repair(both: Both) -> None:
    both.cluster.execute("UPDATE documents_document SET size_bytes = 7", DATABASE)
    run = Run("production_documents_metadata_consistency")
    plan = run.do(
        PlanMetadataRepairOperator(
            task_id="plan", check=check(run, repair="True"), repair="True", **ENVIRONMENT
        )
    )
    with pytest.raises(AirflowFailException, match=r"^2 findings need a person \("):
        run.do(
            RepairMetadataOperator(
                task_id="repair", planned=plan, approval_required=False, **ENVIRONMENT
            )
        )


# -- one moment for both


def moment_test(run: Run) -> dict[str, Any]:
    """The restore test up to the copy at its moment; what the next tasks need."""
    back_up()
    scenario = {"scenario": "Damaged together.", "objective": "accidental_deletion"}
    run.do(StateScenarioOperator(task_id="scenario", **scenario, **ENVIRONMENT))
    moment = run.do(ChooseMomentOperator(task_id="moment", **ENVIRONMENT))
    run.do(ShipWalPastOperator(task_id="ship_wal", fingerprint_id=None, **ENVIRONMENT))
    plan = run.do(
        PlanRecoveryOperator(task_id="plan", target_kind="time", target_value=moment, **ENVIRONMENT)
    )
    common = {"plan": plan, **ENVIRONMENT}
    run.do(PrepareRoomOperator(task_id="prepare_room", **common))
    restored = run.do(RestoreClusterOperator(task_id="restore", **common))
    return {"restored": restored, **common}


def remove(run: Run, plan: Any) -> None:
    run.do(RemoveSampleOperator(task_id="remove_sample", **ENVIRONMENT))
    run.do(RemoveRoomOperator(task_id="remove_room", plan=plan, **ENVIRONMENT))


def test_database_and_documents_come_back_to_the_same_moment(both: Both) -> None:
    run = Run("production_test_one_moment_recovery")
    common = moment_test(run)
    # What happens after the moment is in neither.
    both.upload("later", b"later")
    both.store("a", b"overwritten")
    both.delete("b")
    key = run.do(CheckMomentOperator(task_id="check_documents", lost_fails=True, **common))
    checked = both.protected.catalog.read(key, MomentCheck)
    assert checked.row_count == 2
    assert checked.lost == 0
    assert checked.not_current == 2
    sample = run.do(RestoreSampleOperator(task_id="restore_sample", check=key, **ENVIRONMENT))
    assert sample == {"documents": 2, "stored_bytes": 2, "cold": 0}
    plan = common["plan"]
    run.do(ValidateCopyOperator(task_id="validate", proven=None, **common))
    run.do(CheckApplicationOperator(task_id="check_application", plan=plan, **ENVIRONMENT))
    remove(run, plan)
    record = evidence(both, run, "restore-test")
    assert record.outcome == "success"
    assert [criterion.met for criterion in record.criteria] == [True, True, True, True]
    assert record.facts["documents_manifest"].startswith(checked.manifest.key)
    assert record.measurements["sampled_documents"] == 2
    assert list(worker_settings().rooms.iterdir()) == []


def test_documents_that_a_dead_test_left_behind_are_removed_by_the_janitor(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = both.protected.catalog.store
    store.put("production/restored-copies/dead/1", b"1")
    sweep = RestoreJanitorOperator(task_id="sweep", **ENVIRONMENT)
    janitor = Run("production_restore_janitor")
    janitor.do(sweep)
    assert store.head("production/restored-copies/dead/1") is not None
    tomorrow = utc_now() + timedelta(hours=25)
    monkeypatch.setattr("ledgerkeep.model.utc_now", lambda: tomorrow)
    janitor.do(sweep)
    assert store.head("production/restored-copies/dead/1") is None
    findings = janitor.contribution("sweep")["findings"]
    assert [one["what"] for one in findings] == [
        "1 restored documents were left behind and have been removed"
    ]


def test_moment_between_an_object_and_its_row_is_recovered_by_what_the_row_needs(
    both: Both,
) -> None:
    """The bucket showed the new object already; the row of that moment tells of the old one."""
    both.store("a", b"new object, its row is not yet changed")
    both.delete("b")
    run = Run("production_test_one_moment_recovery")
    common = moment_test(run)
    key = run.do(CheckMomentOperator(task_id="check_documents", lost_fails=True, **common))
    remove(run, common["plan"])
    catalog = both.protected.catalog
    checked = catalog.read(key, MomentCheck)
    assert (checked.lost, checked.states["replaced"], checked.not_current) == (0, 2, 2)

    bucket = open_policy_documents(catalog.policy)
    route = Route(bucket, bucket)
    request = DocumentRequest(prefix="", goal=ToManifest(moment_check=key))
    plan = make_plan(catalog, request, route)
    carry_out(catalog, plan, route, concurrency=2)
    bodies = {
        name: both.client.get_object(Bucket=both.bucket, Key=name)["Body"].read()
        for name in ("a", "b")
    }
    assert bodies == {"a": b"a", "b": b"b"}


def test_row_without_its_object_fails_the_restore_test_but_no_recovery(both: Both) -> None:
    both.cluster.execute(
        "UPDATE documents_document SET content_sha256 = repeat('0', 64) WHERE object_key = 'b'",
        DATABASE,
    )
    run = Run("production_test_one_moment_recovery")
    common = moment_test(run)
    with pytest.raises(AirflowFailException, match="1 of 2 document rows have no object as of"):
        run.do(CheckMomentOperator(task_id="check_documents", lost_fails=True, **common))
    both.delete("a")
    recovery = {"lost_fails": False, **common}
    key = run.do(CheckMomentOperator(task_id="told", documents="plan", **recovery))
    assert both.protected.catalog.read(key, MomentCheck).states["missing"] == 1
    told = Contribution.model_validate(run.contribution("told"))
    assert [(one.severity, one.what.partition("+00:00")[2]) for one in told.findings] == [
        ("critical", ": missing")
    ]
    assert (
        "trigger production_document_recovery with the goal manifest"
        in told.facts["documents_recovery"]
    )
    assert run.do(CheckMomentOperator(task_id="none", documents="none", **recovery)) == ""
    remove(run, common["plan"])


# -- rows recovered


FORM = {
    "target_kind": "time",
    "target_value": "",
    "stop_at": "after",
    "copy": None,
    "keys": None,
    "prefix": "*",
    "apply": "missing",
    "scenario": "accidental_deletion",
    "reason": "rows were deleted, INC-2",
}


def test_rows_that_were_deleted_come_back_out_of_a_copy(both: Both) -> None:
    back_up()
    moments = Run("production_test_one_moment_recovery")
    moment = moments.do(ChooseMomentOperator(task_id="moment", **ENVIRONMENT))
    both.cluster.execute("DELETE FROM documents_document", DATABASE)
    both.upload("since", b"since")
    moments.do(ShipWalPastOperator(task_id="ship_wal", fingerprint_id=None, **ENVIRONMENT))

    run = Run("production_document_metadata_recovery", params={**FORM, "target_value": moment})
    copy = run.do(PlanSideCopyOperator(task_id="plan_copy", **ENVIRONMENT))
    common = {"plan": copy, "copy": "", **ENVIRONMENT}
    run.do(PrepareSideCopyOperator(task_id="prepare_room", **common))
    restored = run.do(RestoreSideCopyOperator(task_id="restore", **common))
    rows = {**common, "restored": restored, "request": run.left["plan_copy", REQUEST]}
    planned = run.do(PlanRowsOperator(task_id="plan", **rows))
    assert RowPlan.model_validate(planned).counts == {
        "public.documents_document": {"missing": 2, "removed": 1}
    }
    assert both.keys() == ["since"]
    applying = {"planned": planned, "approval_required": True, **rows}
    with pytest.raises(AirflowFailException, match="nobody has approved this recovery"):
        run.do(ApplyRowsOperator(task_id="apply", approval={}, **applying))
    approval = {APPROVED_PLAN: run.left["plan", PLAN_DIGEST]}
    apply = ApplyRowsOperator(task_id="apply", approval=approval, **applying)
    assert run.do(apply) == {"public.documents_document": 2}
    # Killed after its commit, and tried again.
    assert run.do(apply) == {}
    assert both.keys() == ["a", "b", "since"]
    attempt = TryDocumentsOperator(task_id="try_documents", planned=planned, **rows)
    assert run.do(attempt)["documents"] == 2
    both.delete("a")
    with pytest.raises(AirflowFailException, match="1 of 2 documents whose rows were recovered"):
        run.do(attempt)
    run.do(RemoveRoomOperator(task_id="remove_room", plan=copy, **ENVIRONMENT))
    assert list(worker_settings().rooms.iterdir()) == []


def test_copy_that_was_not_handed_over_is_not_touched(both: Both) -> None:
    run = Run("production_test_one_moment_recovery")
    common = moment_test(run)
    (directory,) = worker_settings().rooms.iterdir()
    form = {**FORM, "copy": str(directory)}
    recovery = Run("production_document_metadata_recovery", params=form)
    with pytest.raises(AirflowFailException, match="was not handed over: another run may work"):
        recovery.do(PlanSideCopyOperator(task_id="plan_copy", **ENVIRONMENT))
    assert Room.find(directory) is not None
    remove(run, common["plan"])


def test_rows_come_out_of_a_copy_that_was_handed_over_and_runs(both: Both) -> None:
    """It belongs to a person: it is read, and neither started nor removed."""
    back_up()
    recovery = Run("production_database_point_in_time_recovery")
    plan = recovery.do(PlanRecoveryOperator(task_id="plan", **ENVIRONMENT))
    common = {"plan": plan, **ENVIRONMENT}
    recovery.do(PrepareRoomOperator(task_id="prepare_room", **common))
    restored = recovery.do(
        RestoreApprovedOperator(task_id="restore", approval_required=False, **common)
    )
    told = recovery.do(HandOverOperator(task_id="hand_over", restored=restored, **common))
    handover = Handover.model_validate(told)
    (directory,) = worker_settings().rooms.iterdir()
    both.cluster.execute("DELETE FROM documents_document", DATABASE)

    form = {**FORM, "copy": str(directory), "keys": ["b"], "prefix": None}
    run = Run("production_document_metadata_recovery", params=form)
    copy = run.do(PlanSideCopyOperator(task_id="plan_copy", **ENVIRONMENT))
    common = {"plan": copy, "copy": str(directory), **ENVIRONMENT}
    assert run.do(PrepareSideCopyOperator(task_id="prepare_room", **common)) == str(directory)
    assert run.do(RestoreSideCopyOperator(task_id="restore", **common)) == {}
    rows = {**common, "restored": {}, "request": run.left["plan_copy", REQUEST]}
    with pytest.raises(AirflowFailException, match="was handed over and does not run\nHint: start"):
        run.do(PlanRowsOperator(task_id="plan", **rows))
    start_copy(handover, settings=worker_settings())
    try:
        planned = run.do(PlanRowsOperator(task_id="plan", **rows))
        apply = ApplyRowsOperator(task_id="apply", planned=planned, approval_required=False, **rows)
        assert run.do(apply) == {"public.documents_document": 1}
        run.do(RemoveRoomOperator(task_id="remove_room", plan=copy, **ENVIRONMENT))
    finally:
        stop_copy(handover, settings=worker_settings())
    assert both.keys() == ["b"]
    assert Room.find(directory) is not None
