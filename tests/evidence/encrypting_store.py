"""The store in memory, answering HEAD as a bucket with a KMS key does."""

from ledgerkeep.storage.port import ObjectHead
from tests.support.memory_store import MemoryStore


class EncryptingStore(MemoryStore):
    """Says that every object is encrypted with `encryption`."""

    encryption: str | None = "aws:kms"

    def head(self, key: str) -> ObjectHead | None:
        """See `ObjectStore`."""
        found = super().head(key)
        return found and found.model_copy(update={"encryption": self.encryption})
