"""Replication in the other direction, so that what is written after the switch is protected too.

A rule on the bucket that is now in use, to the one that was: all documents, delete markers and
what KMS encrypts included. It is set where the store has such rules, and read back. A store that
has none is sent nothing at all: SeaweedFS takes the request for another one.
(AWS: S3 user guide, Live replication; S3 API reference, PutBucketReplication.)
"""

from typing import TYPE_CHECKING

from ledgerkeep.documents.protection.store import store_of
from ledgerkeep.errors import StorageError
from ledgerkeep.policy.values import Encryption
from ledgerkeep.storage.bucket import Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ReplicationConfigurationTypeDef

RULE = "ledgerkeep-documents"


def replication_to(
    destination: str,
    *,
    role_arn: str,
    encryption: Encryption,
    account_id: str | None = None,
    prefix: str = "",
) -> "ReplicationConfigurationTypeDef":
    """The configuration of a bucket whose documents go to another one.

    :param destination: name of the other bucket.
    :param encryption: of the other bucket; its KMS key encrypts what arrives.
    :param account_id: owner of the other bucket, when that is another account.
    """
    to: dict[str, object] = {"Bucket": f"arn:aws:s3:::{destination}"}
    if account_id:
        to |= {"Account": account_id, "AccessControlTranslation": {"Owner": "Destination"}}
    rule: dict[str, object] = {
        "ID": RULE,
        "Priority": 0,
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "DeleteMarkerReplication": {"Status": "Enabled"},
        "Destination": to,
    }
    if encryption.mode == "aws:kms":
        to["EncryptionConfiguration"] = {"ReplicaKmsKeyID": encryption.key_id}
        rule["SourceSelectionCriteria"] = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    return {"Role": role_arn, "Rules": [rule]}  # type: ignore[list-item]


def replicate(bucket: Bucket, configuration: "ReplicationConfigurationTypeDef") -> bool:
    """Set the replication of a bucket and read it back; False: its store has no such rules.

    :raises StorageError: it was refused, or reads otherwise afterwards.
    """
    if "replication" not in store_of(bucket).settable:
        return False
    bucket.ask(
        "set replication",
        lambda: bucket.client.put_bucket_replication(
            Bucket=bucket.name, ReplicationConfiguration=configuration
        ),
    )
    found = bucket.ask(
        "read replication", lambda: bucket.client.get_bucket_replication(Bucket=bucket.name)
    )
    rules = found["ReplicationConfiguration"]["Rules"]
    wanted = configuration["Rules"][0]["Destination"]["Bucket"]
    if not any(
        one["Destination"]["Bucket"] == wanted and one["Status"] == "Enabled" for one in rules
    ):
        raise StorageError(
            f"{bucket.location} does not replicate to {wanted} after it was told to",
            hint="look at the bucket's replication rules; s3:PutReplicationConfiguration and "
            "iam:PassRole are needed to set them",
        )
    return True
