"""A recovery in a process of its own, which is killed after some copies: `python -m … given.json`.

It is SIGKILL, and it comes where it hurts most: when a copy was made and nobody has noted it yet.
"""

import json
import os
import signal
import sys
from itertools import count
from pathlib import Path

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery.belongings import needs_head
from ledgerkeep.documents.recovery.carry_out import carry_out
from ledgerkeep.documents.recovery.copying import Copied, Copier
from ledgerkeep.documents.recovery.decide import PlannedKey
from ledgerkeep.documents.recovery.plan import DocumentPlan
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.open import StoreAccess, open_documents
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.storage.versions import ObjectVersion
from ledgerkeep.worker import WorkerSettings

COPIES = 25
_made = count(1)


class Mortal(Copier):
    """Dies with its process."""

    def copy(self, one: PlannedKey, now: ObjectVersion | None) -> Copied:
        copied = super().copy(one, now)
        if next(_made) == COPIES:
            os.kill(os.getpid(), signal.SIGKILL)
        return copied


def main() -> None:
    """Carry the given plan out."""
    given = json.loads(Path(sys.argv[1]).read_text())
    policy = load_environment("development")

    def opened(name: str) -> Bucket:
        return open_documents(
            Documents(connection_id="x", bucket=name, region="eu-central-1"),
            policy.storage,
            WorkerSettings(store_patience=10, store_encryption="none"),
            StoreAccess(
                endpoint_url=given["endpoint"],
                access_key=given["access_key"],
                secret_key=given["secret_key"],
            ),
        )

    documents = opened(given["documents"])
    route = Route(documents, documents)
    carry_out(
        Catalog(S3Store(opened(given["backups"])), policy),
        DocumentPlan.model_validate(given["plan"]),
        route,
        concurrency=2,
        copier=Mortal(route, needs_head(documents, documents)),
    )


if __name__ == "__main__":
    main()
