"""The documents of the loan system: what is in them, and the bucket as the application uses it.

A document's bytes follow from its key and from how often it was replaced, so a row can say what
size and SHA-256 its object has before, or without, there being one: nothing is kept in memory, and
the same database has the same documents wherever it is made. They look like PDFs and hold random
bytes, since scans compress as poorly.

The application is not Ledgerkeep. It writes through a client of its own, with the content type,
the metadata and the tags that a recovery has to bring back along with the bytes.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256, shake_256
from typing import Any

import obstore
from obstore.store import S3Store

from include.sandbox.objectstore import REGION, Credentials
from ledgerkeep.database.postgres.address import ServerAddress, connect

CONTENT_TYPE = "application/pdf"

_SMALLEST, _LARGEST = 600, 8_000
_AT_A_TIME = 32
_KEYS = "SELECT object_key FROM documents_document ORDER BY id"


@dataclass(frozen=True)
class Document:
    """One version of a document."""

    key: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Of its bytes, in hexadecimal."""
        return sha256(self.content).hexdigest()

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)


def document(key: str, revision: str = "") -> Document:
    """The document of that key; another revision of it has other bytes.

    Some hundred bytes to 8 kB, 4 kB on average: thousands are uploaded in seconds.
    """
    chance = shake_256(f"{key}/{revision}".encode())
    size = _SMALLEST + int.from_bytes(chance.digest(4)) % (_LARGEST - _SMALLEST)
    scan = chance.digest(size)
    return Document(
        key,
        b"%%PDF-1.7\n1 0 obj <</Title (%s)>> endobj\n2 0 obj <</Length %d>> stream\n%s\n"
        b"endstream endobj\ntrailer <</Info 1 0 R>>\n%%%%EOF\n" % (key.encode(), size, scan),
    )


class DocumentStore:
    """The documents' bucket, as the loan system uses it; threads may share it."""

    def __init__(self, endpoint: str, user: Credentials, bucket: str) -> None:
        """Open it; sends no request yet."""
        self._client = S3Store(
            bucket,
            config={
                # By its most particular name, above whatever the shell has for AWS itself.
                "aws_endpoint_url_s3": endpoint,
                "region": REGION,
                "virtual_hosted_style_request": False,
                "server_side_encryption": "AES256",
            },
            credential_provider=lambda: {
                "access_key_id": user.access_key,
                "secret_access_key": user.secret_key,
                "token": None,
                "expires_at": None,
            },
            client_options={"allow_http": True},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
        )

    def put(self, new: Document) -> None:
        """Store a document, or a new version of it.

        :raises obstore.exceptions.BaseError: the store refused, or does not answer.
        """
        obstore.put(self._client, new.key, new.content, **_of_the_application(new))

    def remove(self, key: str) -> None:
        """Remove a document; the bucket keeps its versions behind a delete marker."""
        obstore.delete(self._client, key)

    def put_all(self, documents: Iterable[Document]) -> None:
        """Store all of these, many at a time.

        :raises obstore.exceptions.BaseError: the store refused one, or does not answer.
        """
        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            for _ in threads.map(self.put, documents):
                pass


def upload(database: ServerAddress, stores: Iterable[DocumentStore]) -> int:
    """Store the document of every row of a new loan database; returns how many rows there are.

    Done again after an interruption, it makes second versions of what was there: no harm.
    """
    with connect(database) as connection:
        keys = [key for (key,) in connection.execute(_KEYS)]
    for store in stores:
        store.put_all(map(document, keys))
    return len(keys)


def _of_the_application(new: Document) -> dict[str, Any]:
    package = new.key.split("/")[1]
    return {
        "attributes": {"Content-Type": CONTENT_TYPE, "package": package},
        "tags": {"kind": "loan-document", "package": package},
        "use_multipart": False,
    }
