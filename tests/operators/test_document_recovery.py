"""A recovery of documents, task by task, as the scheduler would run it."""

import secrets
import shutil
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.documents.recovery.lines import read_lines
from ledgerkeep.documents.recovery.plan import DocumentPlan
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.hooks.connections import open_policy_store
from ledgerkeep.model import utc_now
from ledgerkeep.operators.approval import PLAN_DIGEST
from ledgerkeep.operators.document_recovery import (
    READABLE,
    PlanDocumentsOperator,
    RecoverDocumentsOperator,
    ReportDocumentsOperator,
    ThawDocumentsOperator,
    WaitForThawSensor,
)
from ledgerkeep.operators.document_restore_test import (
    CompareSampleOperator,
    DrawSampleOperator,
    RemoveSampleOperator,
    RestoreSampleOperator,
    StateDocumentScenarioOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_environment
from ledgerkeep.recovery.approval import APPROVED_PLAN
from tests.conftest import ROOT
from tests.documents.recovery.support import Ward, ward
from tests.documents.recovery.test_form import form
from tests.documents.recovery.test_recovery import moment
from tests.operators.conftest import connection
from tests.support.buckets import documents_bucket

pytestmark = pytest.mark.integration


@pytest.fixture
def there(s3: ObjectStoreServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """Production's documents and their replica, in buckets of the test's own; nothing else."""
    policy = yaml.safe_load((ROOT / "include" / "policies" / "production.yaml").read_text())
    tail = secrets.token_hex(4)
    for place, name in (
        (policy["storage"], f"backups-{tail}"),
        (policy["documents"], f"documents-{tail}"),
        (policy["documents"]["replica"], f"replica-{tail}"),
    ):
        place["bucket"] = name
        objectstore.make_bucket(s3, name)
        monkeypatch.setenv(
            f"AIRFLOW_CONN_{place['connection_id'].upper()}",
            connection(
                "aws",
                login=s3.user.access_key,
                password=s3.user.secret_key,
                extra={"service_config": {"s3": {"endpoint_url": s3.endpoint}}},
            ),
        )
    shutil.copy(ROOT / "include" / "policies" / "development.yaml", tmp_path)
    (tmp_path / "production.yaml").write_text(yaml.safe_dump(policy))
    monkeypatch.setenv("LEDGERKEEP_STORE_ENCRYPTION", "none")
    monkeypatch.setenv("LEDGERKEEP_STORE_PATIENCE", "5")
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    return ward(s3, f"documents-{tail}")


@pytest.fixture
def replica(there: Ward, s3: ObjectStoreServer) -> Ward:
    """The replica's bucket."""
    return Ward(
        documents_bucket(s3, there.bucket.name.replace("documents", "replica")), there.catalog
    )


def accident(there: Ward) -> datetime:
    """Three documents, of which one is deleted and one overwritten; the moment before."""
    for key in ("a", "b", "c"):
        there.put(f"loans/{key}", key.encode())
    then = moment(there)
    there.delete("loans/a")
    there.put("loans/b", b"worse")
    return then


ENVIRONMENT = {"environment": "production"}


def steps(run: Run, *, approval: Any = None) -> None:
    """What follows the plan."""
    planned = {**ENVIRONMENT, "plan": run.returned["plan"]}
    run.do(ThawDocumentsOperator(task_id="thaw", **planned))
    wait = WaitForThawSensor(
        task_id="wait_for_thaw",
        poll=timedelta(minutes=15),
        patience=timedelta(days=3),
        **planned,
    )
    assert wait.poke(run.context(wait)) is True
    run.do(
        RecoverDocumentsOperator(
            task_id="recover", approval=approval, approval_required=True, **planned
        )
    )
    run.do(ReportDocumentsOperator(task_id="report", **planned))


def plan(run: Run) -> DocumentPlan:
    return DocumentPlan.model_validate(run.do(PlanDocumentsOperator(task_id="plan", **ENVIRONMENT)))


def test_accident_is_undone_and_every_key_accounted_for(there: Ward) -> None:
    then = accident(there)
    run = Run(
        "production_document_recovery",
        params=form(moment=then.isoformat(), prefix="loans/"),
    )
    planned = plan(run)
    assert planned.keys["copy"] == 2
    readable = run.left["plan", READABLE]
    assert "1 documents have a newer version that can be read now" in readable
    assert "`loans/a`" in readable
    digest = run.left["plan", PLAN_DIGEST]
    assert digest == planned.digest()

    steps(run, approval={APPROVED_PLAN: digest})

    assert there.contents("loans/") == {"loans/a": b"a", "loans/b": b"b", "loans/c": b"c"}
    left = run.contribution("report")
    assert left["measurements"]["documents_copied"] == 2
    assert left["measurements"]["rpo_seconds"] > 0
    assert left["facts"]["proofs"] == "2 by etag"
    assert left["criteria"][0] == {
        "name": "data integrity",
        "met": True,
        "words": "2 of 2 copies are what their versions are (2 by etag)",
    }
    policy = load_environment("production")
    store = open_policy_store(policy)
    head = store.head(left["facts"]["report"])
    assert head is not None
    assert head.retention is not None
    said = run.do(VerdictOperator(task_id="verdict", kind="recovery", **ENVIRONMENT))
    assert said["measurements"]["documents_copied"] == 2


def test_nothing_is_copied_without_the_approval_of_this_plan(there: Ward) -> None:
    then = accident(there)
    run = Run("production_document_recovery", params=form(moment=then.isoformat(), prefix="loans/"))
    plan(run)
    for approval, words in (
        (None, "nobody has approved this recovery"),
        ({APPROVED_PLAN: "other"}, "the plan is another than the one that was approved"),
    ):
        with pytest.raises(AirflowFailException, match=words):
            steps(run, approval=approval)
    assert there.contents("loans/") == {"loans/b": b"worse", "loans/c": b"c"}


def test_form_that_cannot_be_meant_fails_the_plan_for_good(there: Ward) -> None:
    run = Run("production_document_recovery", params=form(prefix="loans/"))
    with pytest.raises(AirflowFailException, match="moment is empty"):
        plan(run)
    assert run.contribution("plan")["findings"][0]["severity"] == "critical"


def test_document_that_fails_fails_the_run_and_a_cleared_task_finds_the_others_done(
    there: Ward,
) -> None:
    then = accident(there)
    run = Run("production_document_recovery", params=form(moment=then.isoformat(), prefix="loans/"))
    planned = plan(run)
    lost = next(
        line["version_id"]
        for line in read_lines(open_policy_store(load_environment("production")), planned.lines)
        if line.get("key") == "loans/a"
    )
    there.bucket.client.delete_object(Bucket=there.bucket.name, Key="loans/a", VersionId=lost)
    approval = {APPROVED_PLAN: planned.digest()}
    with pytest.raises(AirflowFailException, match="1 documents could not be brought back"):
        steps(run, approval=approval)
    assert run.contribution("report")["findings"][0]["severity"] == "critical"
    count = len(there.versions())
    with pytest.raises(AirflowFailException, match="1 documents could not be brought back"):
        steps(run, approval=approval)
    assert len(there.versions()) == count


def test_replica_is_the_source_when_the_bucket_has_lost_its_versions(
    there: Ward, replica: Ward
) -> None:
    replica.put("loans/a", b"a", ContentType="application/pdf")
    run = Run(
        "production_document_recovery",
        params=form(
            moment=(utc_now()).isoformat(),
            keys=["loans/a"],
            source="replica",
            scenario="region_failure",
        ),
    )
    planned = plan(run)
    assert planned.source == replica.bucket.location
    steps(run, approval={APPROVED_PLAN: planned.digest()})
    assert there.contents() == {"loans/a": b"a"}


# -- the restore tests


def restore_test(run: Run, name: str, source: str, objective: str) -> None:
    """All of it but the removal and the verdict."""
    run.do(
        StateDocumentScenarioOperator(
            task_id="scenario",
            scenario="Documents are lost.",
            objective=objective,
            taken_from=source,
            **ENVIRONMENT,
        )
    )
    run.do(DrawSampleOperator(task_id="sample", test=name, taken_from=source, **ENVIRONMENT))
    planned = {**ENVIRONMENT, "test": name, "plan": run.returned["sample"]}
    run.do(RestoreSampleOperator(task_id="restore", **planned))
    run.do(CompareSampleOperator(task_id="compare", **planned))


def remove(run: Run, name: str) -> int:
    planned = run.returned.get("sample")
    return run.do(RemoveSampleOperator(task_id="remove", test=name, plan=planned, **ENVIRONMENT))


def test_restore_test_of_many_documents_passes_on_its_four_criteria(there: Ward) -> None:
    """Deleted and overwritten ones among them; nothing of production is written."""
    accident(there)
    before = there.versions()
    run = Run("production_test_bulk_document_recovery", run_type="scheduled")
    restore_test(run, "bulk_document_recovery", "primary", "accidental_deletion")
    assert run.contribution("compare")["measurements"]["documents_compared"] == 4
    store = open_policy_store(load_environment("production"))
    copies = list(store.list("production/restored-copies/"))
    assert [one.key.rpartition("/")[2] for one in copies] == ["a", "b", "c", "~clock"]

    assert remove(run, "bulk_document_recovery") == 4
    assert list(store.list("production/restored-copies/")) == []
    assert there.versions() == before
    said = run.do(VerdictOperator(task_id="verdict", kind="restore-test", **ENVIRONMENT))
    record = EvidenceRecord.from_json(store.get(said["evidence"]))
    assert [(one.name, one.met) for one in record.criteria] == [
        ("data integrity", True),
        ("application works", True),
        ("performance within range", True),
        ("recovery within RTO and RPO", True),
    ]


def test_cross_region_test_needs_nothing_of_the_primary(
    there: Ward, replica: Ward, monkeypatch: pytest.MonkeyPatch, s3: ObjectStoreServer
) -> None:
    """The primary's store is gone altogether."""
    replica.put("loans/a", b"a", Metadata={"m": "1"})
    monkeypatch.setenv(
        "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DOCUMENTS",
        connection(
            "aws",
            login="nobody",
            password="nothing",
            extra={"service_config": {"s3": {"endpoint_url": "http://127.0.0.1:1"}}},
        ),
    )
    monkeypatch.setenv("LEDGERKEEP_STORE_PATIENCE", "0.2")
    run = Run("production_test_cross_region_document_recovery", run_type="scheduled")
    restore_test(run, "cross_region_document_recovery", "replica", "region_failure")
    left = run.contribution("compare")
    assert [one["met"] for one in left["criteria"]] == [True, True, True]
    assert run.contribution("scenario")["measurements"]["rpo_seconds"] >= 0
    assert run.contribution("sample")["facts"]["source"] == replica.bucket.location
    assert remove(run, "cross_region_document_recovery") == 1


def test_removal_has_nothing_to_remove_when_nothing_was_drawn(there: Ward) -> None:
    run = Run("production_test_single_document_recovery", run_type="scheduled")
    with pytest.raises(AirflowFailException, match="holds no document that could be restored"):
        restore_test(run, "single_document_recovery", "primary", "accidental_deletion")
    assert remove(run, "single_document_recovery") == 0
