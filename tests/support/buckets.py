"""A bucket of documents, opened as the product opens it, on a store of the test run."""

from include.sandbox.objectstore import REGION, ObjectStore
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.open import StoreAccess, open_documents
from ledgerkeep.worker import WorkerSettings


def documents_bucket(
    server: ObjectStore, name: str, *, endpoint: str = "", patience: float = 10
) -> Bucket:
    """The bucket, with the ordinary identity.

    :param endpoint: another way to the same server, such as a faulty proxy.
    """
    return open_documents(
        Documents(connection_id="documents", bucket=name, region=REGION),
        load_environment("development").storage,
        WorkerSettings(store_patience=patience, store_encryption="none"),
        StoreAccess(
            endpoint_url=endpoint or server.endpoint,
            access_key=server.user.access_key,
            secret_key=server.user.secret_key,
        ),
    )
