"""Replication in the other direction, so that what is written after the switch is protected too.

A rule on the bucket that is now in use, to the one that was: all documents, delete markers and
what KMS encrypts included. Setting the rules of a bucket replaces all that it has, so those to
other places are set again with ours. What was set is read back. A store that has no such rules is
sent nothing at all: SeaweedFS takes the request for another one.

The rule in the first direction stays: S3 does not send replicas back where they came from.
(AWS: S3 user guide, Replication overview; S3 API reference, PutBucketReplication.)
"""

from collections.abc import Mapping
from typing import Any

from ledgerkeep.documents.protection.settings import Absent, Untold, read_settings
from ledgerkeep.documents.protection.store import store_of
from ledgerkeep.errors import StorageError, StoreAccessDenied
from ledgerkeep.policy.values import Encryption
from ledgerkeep.storage.bucket import Bucket

RULE = "ledgerkeep-documents"

Configuration = Mapping[str, Any]
"""A bucket's replication, in S3's own words; empty where it has none."""


def rule_to(
    destination: str,
    *,
    encryption: Encryption,
    account_id: str | None = None,
    prefix: str = "",
) -> dict[str, Any]:
    """The rule by which a bucket's documents go to another one.

    :param destination: name of the other bucket.
    :param encryption: of the other bucket; its KMS key encrypts what arrives.
    :param account_id: owner of the other bucket, when that is another account.
    """
    to: dict[str, Any] = {"Bucket": f"arn:aws:s3:::{destination}"}
    if account_id:
        to |= {"Account": account_id, "AccessControlTranslation": {"Owner": "Destination"}}
    rule: dict[str, Any] = {
        "ID": RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "DeleteMarkerReplication": {"Status": "Enabled"},
        "Destination": to,
    }
    if encryption.mode == "aws:kms":
        to["EncryptionConfiguration"] = {"ReplicaKmsKeyID": encryption.key_id}
        rule["SourceSelectionCriteria"] = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    return rule


def joined(has: Configuration, rule: Mapping[str, Any], role_arn: str) -> dict[str, Any]:
    """What a bucket has, with our rule in the place of all that lead to the same destination.

    :raises StorageError: its rules to other places have another role, which would be lost.
    """
    others = [one for one in has.get("Rules", []) if _destination(one) != _destination(rule)]
    if others and has["Role"] != role_arn:
        raise StorageError(
            f"the bucket replicates elsewhere with the role {has['Role']}, and can have only one",
            hint="name that role in documents.failover.replication_role_arn, and let it replicate "
            "to the other bucket of the documents too",
        )
    priority = max((one.get("Priority", 0) for one in others), default=-1) + 1
    return {"Role": role_arn, "Rules": [*others, {**rule, "Priority": priority}]}


def replicate(bucket: Bucket, rule: Mapping[str, Any], role_arn: str) -> bool:
    """Give the bucket our rule and read it back; False: its store has no such rules.

    :raises StorageError: it was refused, or reads otherwise afterwards.
    """
    if "replication" not in store_of(bucket).settable:
        return False
    configuration: Any = joined(_read(bucket), rule, role_arn)
    bucket.ask(
        "set replication",
        lambda: bucket.client.put_bucket_replication(
            Bucket=bucket.name, ReplicationConfiguration=configuration
        ),
    )
    wanted = _destination(rule)
    found = _read(bucket).get("Rules", [])
    if not any(_destination(one) == wanted and one["Status"] == "Enabled" for one in found):
        raise StorageError(
            f"{bucket.location} does not replicate to {wanted} after it was told to",
            hint="look at the bucket's replication rules; s3:PutReplicationConfiguration and "
            "iam:PassRole are needed to set them",
        )
    return True


def _read(bucket: Bucket) -> Configuration:
    value = read_settings(bucket, store_of(bucket)).of("replication")
    if isinstance(value, Untold):
        raise StoreAccessDenied(
            f"the replication of {bucket.location} may not be read",
            hint=f"allow {value.permission} to the worker's identity: what the bucket has now "
            "would otherwise be lost",
        )
    return {} if isinstance(value, Absent) else value


def _destination(rule: Mapping[str, Any]) -> str:
    found: str = rule["Destination"]["Bucket"]
    return found
