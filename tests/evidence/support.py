"""Records to append, policies to append them under, and hands that tamper."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.policy.load import load_policy
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectStore

POLICIES = Path(__file__).resolve().parents[2] / "include" / "policies"
NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


def policy_of(environment: str) -> Policy:
    """A shipped policy; development's has no Object Lock, so its objects can be tampered with."""
    return load_policy(POLICIES / f"{environment}.yaml")


def record(number: int = 1, **changes: Any) -> EvidenceRecord:
    """A run that started `number` minutes after noon."""
    started = NOON + timedelta(minutes=number)
    fields: dict[str, Any] = {
        "environment": "development",
        "dag_id": "development_database_full_backup",
        "run_id": f"scheduled__{started.isoformat()}",
        "kind": "backup",
        "outcome": "success",
        "started_at": started,
        "ended_at": started + timedelta(seconds=30),
        "triggered_by": "scheduled",
    }
    return EvidenceRecord.model_validate(fields | changes)


def replace(store: ObjectStore, key: str, body: bytes) -> None:
    """Put other content where an object was, as somebody with access could."""
    store.delete_prefix(key)
    store.put(key, body)
