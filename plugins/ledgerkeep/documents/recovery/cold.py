"""What lies in cold storage: asked for all at once, waited for without a worker, then copied.

GLACIER and DEEP_ARCHIVE give nothing at once. A request makes the store lay out a readable copy,
which takes minutes to two days and is kept for as many days as were asked for. So all of a plan is
asked for first, and only when all of it is there does copying begin. (AWS: "Restoring an archived
object".)
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from botocore.exceptions import ClientError

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery.belongings import head_version
from ledgerkeep.documents.recovery.decide import PlannedKey
from ledgerkeep.documents.recovery.groups import in_groups
from ledgerkeep.documents.recovery.plan import DocumentPlan, read_plan
from ledgerkeep.storage.bucket import Bucket

Tier = Literal["Expedited", "Standard", "Bulk"]

_TOGETHER = 1_000
_UNDER_WAY = "RestoreAlreadyInProgress"
_DONE = 'ongoing-request="false"'


def ask_for_cold(
    catalog: Catalog,
    plan: DocumentPlan,
    source: Bucket,
    *,
    tier: Tier,
    days: int,
    concurrency: int,
) -> int:
    """Ask for everything of a plan that lies in cold storage; asking again is harmless.

    :param days: how long the readable copies are kept.
    :returns: how many versions were asked for.
    :raises StorageError:
    """
    asked = 0
    with ThreadPoolExecutor(concurrency, thread_name_prefix="cold") as pool:
        for together in in_groups(_cold(catalog, plan), _TOGETHER):
            for _ in pool.map(lambda one: _ask(source, one, tier, days), together):
                asked += 1
    return asked


def still_cold(
    catalog: Catalog, plan: DocumentPlan, source: Bucket, *, concurrency: int
) -> PlannedKey | None:
    """A version of the plan that cannot be read yet; None: all of them can.

    :raises StorageError:
    """
    with ThreadPoolExecutor(concurrency, thread_name_prefix="cold") as pool:
        for together in in_groups(_cold(catalog, plan), _TOGETHER):
            ready = pool.map(lambda one: _is_ready(source, one), together)
            for one, is_ready in zip(together, ready, strict=True):
                if not is_ready:
                    return one
    return None


def _cold(catalog: Catalog, plan: DocumentPlan) -> Iterator[PlannedKey]:
    if not plan.cold:
        return
    _, planned = read_plan(catalog.store, plan)
    yield from (one for one in planned if one.is_cold)


def _ask(source: Bucket, one: PlannedKey, tier: Tier, days: int) -> None:
    def ask() -> None:
        with _already_under_way():
            source.client.restore_object(
                Bucket=source.name,
                Key=one.key,
                VersionId=one.version_id,
                RestoreRequest={"Days": days, "GlacierJobParameters": {"Tier": tier}},
            )

    source.ask("restore", ask, key=one.key)


@contextlib.contextmanager
def _already_under_way() -> Iterator[None]:
    try:
        yield
    except ClientError as problem:
        if problem.response["Error"].get("Code") != _UNDER_WAY:
            raise


def _is_ready(source: Bucket, one: PlannedKey) -> bool:
    head = head_version(source, one.key, one.version_id)
    return _DONE in head.get("Restore", "")
