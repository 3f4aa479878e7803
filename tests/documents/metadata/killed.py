"""A check in a process of its own, to be killed; what it needs comes as JSON."""

import json
import sys
from typing import Any

from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.documents.metadata import check as check_module
from ledgerkeep.documents.metadata.check import check_metadata
from ledgerkeep.policy.model import Policy
from tests.database.postgres.backup_support import make_catalog
from tests.support.buckets import documents_bucket


class _Credentials:
    def __init__(self, told: dict[str, Any]) -> None:
        self.endpoint = told["endpoint"]
        self.user = self
        self.access_key, self.secret_key = told["access_key"], told["secret_key"]


def main() -> None:
    """Check, and write a line for each row, for whoever kills at one."""
    told = json.load(sys.stdin)
    server: Any = _Credentials(told)
    policy = Policy.model_validate_json(told["policy"])
    check_module._EVERY = 1  # told at every row
    check_metadata(
        ServerAddress(**told["address"]),
        documents_bucket(server, policy.documents.bucket),
        make_catalog(server, policy),
        run="test/killed",
        progress=lambda done, total, what: print(done, flush=True),
    )


if __name__ == "__main__":
    main()
