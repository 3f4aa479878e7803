"""A recovery in a process of its own, which a test kills: `python -m … given.json`."""

import json
import sys
from pathlib import Path

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery.carry_out import carry_out
from ledgerkeep.documents.recovery.plan import DocumentPlan
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.open import StoreAccess, open_documents
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.worker import WorkerSettings


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
    carry_out(
        Catalog(S3Store(opened(given["backups"])), policy),
        DocumentPlan.model_validate(given["plan"]),
        Route(documents, documents),
        concurrency=2,
    )


if __name__ == "__main__":
    main()
