"""What one bucket must be like, out of the policy: the primary, and its replica.

The replica is asked for everything that the primary is asked for, but for replication; only the
place of its access log is its own, since a store logs into a bucket of the same region.
"""

from dataclasses import dataclass

from ledgerkeep.policy.document_protection import AccessLogs, DocumentProtection
from ledgerkeep.policy.documents import Documents, Replica
from ledgerkeep.policy.values import Encryption
from ledgerkeep.worker import WorkerSettings


@dataclass(frozen=True)
class Wanted:
    """What the policy wants of one bucket."""

    bucket: str
    prefix: str
    """Of the documents' keys."""
    encryption: Encryption
    protection: DocumentProtection
    access_logs: AccessLogs | None = None
    replica: Replica | None = None
    """Where its documents are to be replicated by the store itself."""
    key_arn: str | None = None
    """Of the key in `encryption`, where KMS told."""
    replica_key_arn: str | None = None
    """Of the replica's, in its own region."""


def wanted_of_documents(
    documents: Documents,
    protection: DocumentProtection,
    settings: WorkerSettings,
    *,
    key_arn: str | None = None,
    replica_key_arn: str | None = None,
) -> Wanted:
    """What the documents' bucket must be like."""
    replica = documents.replica
    continuous = replica is not None and replica.replication == "continuous"
    return Wanted(
        bucket=documents.bucket,
        prefix=documents.prefix,
        encryption=_encryption(documents.encryption, settings),
        protection=protection,
        access_logs=protection.access_logs,
        replica=replica if continuous else None,
        key_arn=key_arn,
        replica_key_arn=replica_key_arn,
    )


def wanted_of_replica(
    documents: Documents,
    replica: Replica,
    protection: DocumentProtection,
    settings: WorkerSettings,
    *,
    key_arn: str | None = None,
) -> Wanted:
    """What the replica's bucket must be like."""
    return Wanted(
        bucket=replica.bucket,
        prefix=documents.prefix,
        encryption=_encryption(replica.encryption, settings),
        protection=protection,
        access_logs=protection.replica_access_logs,
        key_arn=key_arn,
    )


def _encryption(wanted: Encryption, settings: WorkerSettings) -> Encryption:
    if settings.store_encryption == "policy":
        return wanted
    return Encryption(mode=settings.store_encryption)


def is_key(wanted: str, found: str, arn: str | None) -> bool:
    """Whether two names are of one KMS key: an id, an alias, or the ARN of either.

    :param arn: of the wanted key, where it is known.
    """
    return _is_same(wanted, found) or (arn is not None and _is_same(arn, found))


def _is_same(one: str, other: str) -> bool:
    if one.startswith("arn:") and other.startswith("arn:"):
        return one == other
    return _bare(one) == _bare(other)


def _bare(key: str) -> str:
    if key.startswith("arn:"):
        return key.rpartition(":")[2]
    return key if key.startswith(("alias/", "key/")) else f"key/{key}"
