"""Settings and policies to compare, built up from one that holds."""

from typing import Any

from ledgerkeep.documents.protection.lines import Line
from ledgerkeep.documents.protection.settings import Settings, Value
from ledgerkeep.documents.protection.store import AWS, Store
from ledgerkeep.documents.protection.wanted import Wanted
from ledgerkeep.policy.document_protection import DocumentProtection
from ledgerkeep.policy.documents import Replica
from ledgerkeep.policy.values import Encryption

BUCKET = "documents"
ARN = f"arn:aws:s3:::{BUCKET}"
APP = "arn:aws:iam::111122223333:role/app"


def wanted(prefix: str = "", **more: Any) -> Wanted:
    """What a policy wants of the bucket; `more` are fields of its section, by name."""
    fields = {
        name: more.pop(name)
        for name in ("encryption", "access_logs", "replica", "key_arn", "replica_key_arn")
        if name in more
    }
    protection = DocumentProtection.model_validate({"schedule": None, **more})
    return Wanted(
        bucket=BUCKET,
        prefix=prefix,
        protection=protection,
        **{"encryption": Encryption(mode="none"), **fields},
    )


def settings(store: Store = AWS, *, over_tls: bool = True, **values: Value) -> Settings:
    """A bucket with these properties set (`object_lock` for `object lock`), and no other."""
    named = {name.replace("_", " "): value for name, value in values.items()}
    return Settings(BUCKET, store, named, over_tls=over_tls)  # type: ignore[arg-type]


def replica(**more: Any) -> Replica:
    """The replica that the store itself copies to."""
    fields = {
        "connection_id": "replica",
        "bucket": "replica",
        "region": "eu-west-1",
        "encryption": {"mode": "aws:kms", "key_id": "alias/replica"},
        "replication": "continuous",
    }
    return Replica.model_validate({**fields, **more})


def told(lines: list[Line]) -> list[tuple[str, str]]:
    """Severity and words of what is not fulfilled."""
    return [(line.severity, line.words) for line in lines if line.verdict != "fulfilled"]


def fulfilled(lines: list[Line]) -> list[str]:
    """Names of what is."""
    return [line.name for line in lines if line.verdict == "fulfilled"]
