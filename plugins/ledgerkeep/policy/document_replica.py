"""How the documents' replica is kept in step where the store does not do it, and compared.

A comparison lists every version of both buckets, or reads the store's own inventories of them. Both
are cut into shards that are worked on side by side.
"""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from ledgerkeep.policy.document_protection import ProtectionRepair
from ledgerkeep.policy.values import Cron, Duration, Name, PolicyModel

Shards = Annotated[int, Field(ge=1, le=1000)]
Concurrency = Annotated[int, Field(ge=1, le=256)]
Prefix = Annotated[str, Field(min_length=1, pattern=r"/$")]

_SHARDS = "Ranges of keys that are compared side by side; a small bucket is one."
_READ_MIB = (
    "MiB per shard and side that are read where neither ETags nor checksums tell contents apart."
)


class ScheduledReplication(PolicyModel):
    """Copying to the replica what changed, where the store does not do it by itself."""

    schedule: Cron | None
    shards: Shards = Field(default=16, description=_SHARDS)
    concurrency: Concurrency = Field(
        default=16, description="Keys that one shard brings up to date at the same time."
    )
    read_mib: Annotated[int, Field(ge=0)] = Field(default=1_024, description=_READ_MIB)


class InventoryPlace(PolicyModel):
    """Where S3 Inventory delivers the lists of one bucket: CSV, with all versions."""

    connection_id: Name
    bucket: Name
    region: Name
    prefix: Prefix = Field(
        description="Of the dated directories: prefix of the configuration, bucket, its id."
    )


class Inventories(PolicyModel):
    """Both buckets' inventories, in place of listings of them."""

    documents: InventoryPlace
    replica: InventoryPlace
    max_age: Duration = Field(
        default=timedelta(hours=48), description="With an older one the check fails."
    )


class ReplicaConsistency(PolicyModel):
    """Comparing every version with the replica."""

    schedule: Cron | None
    shards: Shards = Field(default=16, description=_SHARDS)
    concurrency: Concurrency = Field(
        default=16, description="Keys that are looked at again, or repaired, at the same time."
    )
    look_again: Annotated[int, Field(ge=0)] = Field(
        default=10_000, description="Keys per shard that are listed once more when they differ."
    )
    sample: Annotated[int, Field(ge=0)] = Field(
        default=1_000,
        description="Versions per shard, of the same id and size, whose content is compared by "
        "checksum where the ETags cannot be compared; others are drawn in each run.",
    )
    read_mib: Annotated[int, Field(ge=0)] = Field(default=1_024, description=_READ_MIB)
    inventories: Inventories | None = Field(
        default=None, description="null: both buckets are listed."
    )
    repair: ProtectionRepair = ProtectionRepair()
