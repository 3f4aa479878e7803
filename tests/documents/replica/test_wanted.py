"""What the policies want of their replicas."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ledgerkeep.documents.replica.check import Pair
from ledgerkeep.documents.replica.wanted import NEVER, allowed_lag, rules_for
from ledgerkeep.policy.load import load_environment
from tests.documents.replica.samples import NOON


@dataclass
class EncryptedBucket:
    """As much of a bucket as is asked."""

    encryption: dict[str, Any] = field(default_factory=dict)


def lag_of(environment: str) -> timedelta:
    policy = load_environment(environment)
    assert policy.documents is not None
    assert policy.documents.replica is not None
    return allowed_lag(policy, policy.documents, policy.documents.replica)


def rules_of(environment: str, lag: timedelta | None, **encryption: str) -> Any:
    documents = load_environment(environment).documents
    assert documents is not None
    assert documents.replica is not None
    pair: Any = Pair(EncryptedBucket(), EncryptedBucket(encryption))  # type: ignore[arg-type]
    return rules_for(documents, documents.replica, pair, now=NOON, lag=lag)


def test_scheduled_copies_may_wait_for_the_next_run() -> None:
    assert lag_of("production") == timedelta(hours=1)
    assert lag_of("staging") == timedelta(days=1, hours=1)


def test_ids_are_compared_where_the_store_replicates_and_contents_elsewhere() -> None:
    production, staging = rules_of("production", timedelta(hours=1)), rules_of("staging", None)
    assert (production.by_id, staging.by_id) == (True, False)
    assert production.young_from == NOON - timedelta(hours=1)
    assert staging.young_from == NEVER
    # Production's lifecycle ends versions 7 years after they were replaced.
    assert production.expired_before == NOON - timedelta(days=7 * 365)


def test_etags_are_no_md5s_where_either_side_encrypts_with_kms() -> None:
    assert rules_of("staging", None).plain_etags
    assert not rules_of("staging", None, ServerSideEncryption="aws:kms").plain_etags
