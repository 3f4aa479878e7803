"""Whether the documents can be used now: by us, and by what the application says of itself."""

from ledgerkeep.documents.failover.access import try_access
from ledgerkeep.errors import ApplicationUnwell
from ledgerkeep.storage.bucket import Bucket

_PATIENCE = 10.0
"""Seconds for the application's answer."""


def check_health(bucket: Bucket, *, prefix: str, sample: int, run: str, url: str | None) -> str:
    """Do with the bucket what the application does, and ask the application; returns words.

    :param url: the application's own check; None: it has none.
    :raises StorageError: the bucket cannot be worked with.
    :raises ApplicationUnwell:
    """
    access = try_access(bucket, prefix=prefix, sample=sample, run=run)
    return access.describe() if url is None else f"{access.describe()}; {ask_application(url)}"


def ask_application(url: str) -> str:
    """Ask the application how it is; returns words.

    :raises ApplicationUnwell: it does not answer, or answers anything but 200.
    """
    import httpx

    try:
        answer = httpx.get(url, timeout=_PATIENCE, trust_env=False)
    except httpx.HTTPError as problem:
        raise ApplicationUnwell(
            f"the application does not answer at {url}: {problem}",
            hint="is it up, and is documents.failover.health_url its address?",
        ) from problem
    if answer.status_code != httpx.codes.OK:
        raise ApplicationUnwell(
            f"the application answers {answer.status_code} at {url}",
            hint="its own log says why; it has to reach the bucket that its parameter names",
        )
    return f"the application is well at {url}"
