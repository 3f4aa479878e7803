"""The tasks of the replica: compared in shards, repaired after approval, kept in step."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.evidence.collect import Contribution
from ledgerkeep.hooks.connections import open_policy_documents, open_policy_replica
from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST
from ledgerkeep.operators.document_replica import (
    READABLE,
    CompareReplicaShardOperator,
    CutReplicaShardsOperator,
    JudgeReplicaOperator,
    RepairReplicaOperator,
    SumUpReplicaOperator,
)
from ledgerkeep.operators.document_replication import (
    ReplicateShardOperator,
    SumUpReplicationOperator,
)
from ledgerkeep.policy.load import load_environment
from ledgerkeep.recovery.approval import APPROVED_PLAN
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import list_versions
from tests.conftest import ROOT
from tests.operators.conftest import connection
from tests.support.second_store import vault_server  # noqa: F401

pytestmark = pytest.mark.integration

STAGING = "staging"


@dataclass
class Documents:
    """Staging's documents on one store, the replica on another."""

    source: Bucket
    replica: Bucket
    policies: Path

    def put(self, key: str, body: bytes = b"x") -> None:
        self.source.client.put_object(Bucket=self.source.name, Key=key, Body=body)

    def put_there(self, key: str, body: bytes = b"x") -> None:
        self.replica.client.put_object(Bucket=self.replica.name, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.source.client.delete_object(Bucket=self.source.name, Key=key)

    def change(self, old: str, new: str) -> None:
        """Change the policy's text."""
        file = self.policies / "staging.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    @property
    def contents(self) -> list[list[tuple[str, str]]]:
        """Key and ETag of every version, of both sides."""
        return [
            [(one.key, one.etag) for one in list_versions(bucket)]
            for bucket in (self.source, self.replica)
        ]


@pytest.fixture
def documents(
    s3: ObjectStoreServer,
    vault_server: ObjectStoreServer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Documents:
    """Empty buckets, and staging's policy with no lag allowed."""
    name = f"d-{secrets.token_hex(6)}"
    buckets = {
        "loan-management-documents-staging-replica": f"{name}-replica",
        "loan-management-documents-staging": name,
        "loan-management-backups-staging": f"{name}-backups",
    }
    text = (ROOT / "include" / "policies" / "staging.yaml").read_text()
    for old, new in buckets.items():
        text = text.replace(old, new)
        objectstore.make_bucket(vault_server if "replica" in new else s3, new)
    text = text.replace(
        'schedule: "0 2 * * *"                 # inventory: daily', "schedule: null"
    )
    (tmp_path / "staging.yaml").write_text(
        text.replace("replication_lag: 1h", "replication_lag: 0s")
    )
    for suffix, server in (("STORAGE", s3), ("DOCUMENTS", s3), ("REPLICA", vault_server)):
        monkeypatch.setenv(f"AIRFLOW_CONN_LEDGERKEEP_STAGING_{suffix}", _store(server))
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    monkeypatch.setenv("LEDGERKEEP_STORE_ENCRYPTION", "none")
    monkeypatch.setenv("LEDGERKEEP_STORE_PATIENCE", "5")
    policy = load_environment(STAGING)
    return Documents(open_policy_documents(policy), open_policy_replica(policy), tmp_path)


def _store(server: ObjectStoreServer) -> str:
    return connection(
        "aws",
        login=server.user.access_key,
        password=server.user.secret_key,
        extra={"service_config": {"s3": {"endpoint_url": server.endpoint}}},
    )


def compare(run: Run, *, repair: str = "False") -> dict[str, Any]:
    """The check up to its sum."""
    shards = run.do(CutReplicaShardsOperator(task_id="shards", environment=STAGING))
    compared = [
        run.do(
            CompareReplicaShardOperator(
                task_id=f"compare_{number}", environment=STAGING, shard=shard
            )
        )
        for number, shard in enumerate(shards)
    ]
    return run.do(
        SumUpReplicaOperator(
            task_id="sum_up", environment=STAGING, compared=compared, repair=repair
        )
    )


def repair(run: Run, found: dict[str, Any], **other: Any) -> dict[str, Any]:
    arguments = {"approval_required": False, **other}
    return run.do(
        RepairReplicaOperator(task_id="repair", environment=STAGING, found=found, **arguments)
    )


def judge(run: Run, found: dict[str, Any], repaired: dict[str, Any] | None = None) -> int:
    return run.do(
        JudgeReplicaOperator(task_id="judge", environment=STAGING, found=found, repaired=repaired)
    )


def replicate(run: Run) -> dict[str, Any]:
    shards = run.do(CutReplicaShardsOperator(task_id="shards", environment=STAGING, scheduled=True))
    done = [
        run.do(
            ReplicateShardOperator(task_id=f"replicate_{number}", environment=STAGING, shard=shard)
        )
        for number, shard in enumerate(shards)
    ]
    return run.do(SumUpReplicationOperator(task_id="sum_up", environment=STAGING, replicated=done))


def fill(documents: Documents) -> None:
    documents.put("loans/1.pdf", b"one"), documents.put("loans/1.pdf", b"two")
    documents.put("loans/2.pdf"), documents.delete("loans/2.pdf")


def test_replication_brings_everything_over_and_the_check_finds_it_so(
    documents: Documents,
) -> None:
    fill(documents)
    run = Run("staging_documents_replication")
    assert replicate(run)["versions"] == 3
    left = run.contribution("sum_up")
    Contribution.model_validate(left)
    assert left["measurements"]["versions_copied"] == 3
    assert left["measurements"]["markers_copied"] == 1
    assert left["findings"] == []
    ours, theirs = documents.contents
    assert ours == theirs
    assert replicate(Run("staging_documents_replication", "again"))["keys"] == 0

    run = Run("staging_documents_replica_consistency")
    found = compare(run)
    assert found[CHANGES] == 0
    assert repair(run, found) == {}
    assert judge(run, found, {}) == 0
    left = run.contribution("sum_up")
    Contribution.model_validate(left)
    assert left["measurements"]["versions_same"] == 4
    assert left["facts"] == {"compared_by": "etag: 4"}


def test_differences_are_named_and_fail_the_check_until_they_are_repaired(
    documents: Documents,
) -> None:
    fill(documents)
    documents.put_there("extra")
    run = Run("staging_documents_replica_consistency")
    found = compare(run)
    assert found[CHANGES] == 0
    findings = {
        one["what"].partition(":")[0]: one["severity"]
        for one in run.contribution("sum_up")["findings"]
    }
    assert findings == {
        "3 versions are missing in the replica": "critical",
        "1 delete markers are missing in the replica": "warning",
        "1 versions exist in the replica only": "info",
    }
    with pytest.raises(AirflowFailException) as failed:
        judge(run, found)
    assert str(failed.value) == (
        f"{documents.replica.location} is not what {documents.source.location} is: "
        "4 differences\n"
        "Hint: the evidence names them; run again with repair to copy what is missing"
    )
    run = Run("staging_documents_replica_consistency", "repairing")
    found = compare(run, repair="True")
    assert found[CHANGES] == 4
    repaired = repair(run, found)
    assert (repaired["versions"], repaired["markers"], repaired["keys"]) == (3, 1, 2)
    assert judge(run, found, repaired) == 0
    assert judge(run, compare(Run("staging_documents_replica_consistency", "after"))) == 0
    manifest = documents.source.client.get_object(
        Bucket=f"{documents.source.name}-backups", Key=found["manifest"]
    )["Body"].read()
    assert manifest.count(b"\r\n") == 3


def test_repair_needs_the_approval_of_exactly_these_differences(documents: Documents) -> None:
    fill(documents)
    run = Run("staging_documents_replica_consistency")
    found = compare(run, repair="True")
    digest = run.left["sum_up", PLAN_DIGEST]
    # The approval's task asks for it by this key.
    assert run.left["sum_up", CHANGES] == 4
    assert "3 |" in run.left["sum_up", READABLE]
    with pytest.raises(AirflowFailException, match="nobody has approved this repair"):
        repair(run, found, approval_required=True)
    with pytest.raises(AirflowFailException, match="another than the one that was approved"):
        repair(run, found, approval={APPROVED_PLAN: "0" * 64}, approval_required=True)
    assert documents.contents[1] == []
    repair(run, found, approval={APPROVED_PLAN: digest}, approval_required=True)
    ours, theirs = documents.contents
    assert ours == theirs


def test_many_shards_are_summed_up_and_one_that_is_lacking_fails_the_check(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledgerkeep.documents.replica import shards as cutting

    monkeypatch.setattr(cutting, "PAGE", 10)
    for number in range(30):
        documents.put(f"{number % 10}/{number}")
    run = Run("staging_documents_replica_consistency")
    found = compare(run)
    assert found["tally"]["counts"] == {"missing": 30}
    shards = run.returned["shards"]
    assert len(shards) > 5
    results = [run.returned[f"compare_{number}"] for number in range(len(shards))]
    short = SumUpReplicaOperator(task_id="sum_up", environment=STAGING, compared=results[1:])
    with pytest.raises(AirflowFailException, match=f"only {len(shards) - 1} of {len(shards)}"):
        run.do(short)
    none = SumUpReplicaOperator(task_id="sum_up", environment=STAGING, compared=[])
    with pytest.raises(AirflowFailException, match="only 0 of all shards were compared"):
        run.do(none)


def test_shard_that_is_compared_twice_counts_once(documents: Documents) -> None:
    """A task that was killed after it wrote its differences, and ran again."""
    fill(documents)
    run = Run("staging_documents_replica_consistency")
    (shard,) = run.do(CutReplicaShardsOperator(task_id="shards", environment=STAGING))
    first, second = (
        run.do(CompareReplicaShardOperator(task_id="compare", environment=STAGING, shard=shard))
        for _ in range(2)
    )
    assert first["lines"]["key"] != second["lines"]["key"]
    assert first["tally"] == second["tally"]
    summed = run.do(SumUpReplicaOperator(task_id="sum_up", environment=STAGING, compared=[second]))
    assert summed["tally"]["counts"] == {"missing": 3, "marker_missing": 1}


def test_version_that_waits_for_the_next_run_of_the_replication_is_on_its_way(
    documents: Documents,
) -> None:
    documents.change("replication:\n    schedule: null", 'replication:\n    schedule: "0 2 * * *"')
    fill(documents)
    run = Run("staging_documents_replica_consistency")
    found = compare(run)
    assert judge(run, found) == 0
    assert run.contribution("sum_up")["measurements"]["versions_on_their_way"] == 4


def test_key_that_somebody_else_writes_to_fails_the_replication(documents: Documents) -> None:
    documents.put("k", b"ours"), documents.put_there("k", b"theirs"), documents.put("fine")
    run = Run("staging_documents_replication")
    with pytest.raises(AirflowFailException, match=r"1 keys of s3://.* are not up to date"):
        replicate(run)
    (finding,) = run.contribution("sum_up")["findings"]
    assert finding == {
        "what": "1 keys were left alone, since their newest version exists in the replica only: "
        "diverged: k",
        "severity": "critical",
    }
    assert ("fine", documents.contents[0][0][1]) in documents.contents[1]
