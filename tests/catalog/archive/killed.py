"""A worker that archives, and is killed without warning when so many bytes have been copied.

python -m tests.catalog.archive.killed BUCKET ENDPOINT KEY VAULT-ENDPOINT KEY BYTES

The secrets are in the environment.
"""

import os
import signal
import sys

from include.sandbox.objectstore import Credentials, ObjectStore
from tests.catalog.archive.support import archive, real_catalog
from tests.support.second_store import open_there

bucket, endpoint, key, vault_endpoint, vault_key, limit = sys.argv[1:]
secret, vault_secret = os.environ["SECRET"], os.environ["VAULT_SECRET"]
nobody = Credentials("", "")


def die_in_the_middle(done: int, total: int | None, what: str) -> None:
    """No handler, no cleaning up."""
    if done > int(limit):
        os.kill(os.getpid(), signal.SIGKILL)


archive(
    real_catalog(ObjectStore(endpoint, Credentials(key, secret), nobody), bucket),
    open_there(ObjectStore(vault_endpoint, Credentials(vault_key, vault_secret), nobody)),
    progress=die_in_the_middle,
)
