"""Fields that contradict each other are refused, with the line of the field to change."""

from datetime import timedelta
from pathlib import Path

import pytest

from ledgerkeep.errors import PolicyError
from ledgerkeep.policy.document import FieldPath
from ledgerkeep.policy.load import load_policy
from ledgerkeep.policy.model import ObjectLock
from ledgerkeep.policy.sense import contradictions
from ledgerkeep.policy.values import PolicyModel
from tests.policy.support import POLICIES, broken, line_of


@pytest.mark.parametrize(
    ("changes", "at", "fault"),
    [
        pytest.param(
            [("    key_id: alias/ledgerkeep-staging\n", "")],
            "encryption:",
            "storage.encryption.key_id: found no key for mode aws:kms; "
            "allowed: a KMS key id, ARN or alias, or another mode",
            id="kms without a key",
        ),
        pytest.param(
            [("mode: aws:kms", "mode: AES256")],
            "key_id:",
            "storage.encryption.key_id: found a key with mode AES256; "
            "allowed: no key_id, or mode aws:kms",
            id="key without kms",
        ),
        pytest.param(
            [("backups: 14d", "backups: 15d")],
            "backups:",
            "storage.object_lock.backups: found 15d, a lock longer than the retention it would "
            "block; allowed: at most 2w, as database.retention.daily",
            id="backups locked longer than kept",
        ),
        pytest.param(
            [("    wal: 3d                               # as", "    wal: 4d  # as")],
            "wal: 4d",
            "storage.object_lock.wal: found 4d, a lock longer than the retention it would "
            "block; allowed: at most 3d, as database.retention.wal",
            id="wal locked longer than kept",
        ),
        pytest.param(
            [("incrementals: 3d", "incrementals: 4d")],
            "incrementals: 4d",
            "storage.object_lock.incrementals: found 4d, a lock longer than the retention it would "
            "block; allowed: at most 3d, as database.retention.recent",
            id="incrementals locked longer than kept",
        ),
        pytest.param(
            [("    database: loan_management\n    table:", "    database: loans\n    table:")],
            "database: loans",
            "documents.rows.database: found 'loans'; "
            "allowed: one of database.databases: loan_management",
            id="rows of a database that is not protected",
        ),
        pytest.param(
            [("    cluster: loan-management-staging\n", "")],
            "services: [loan-management-backend",
            "documents.failover.services: found services without their cluster; "
            "allowed: documents.failover.cluster",
            id="services without their cluster",
        ),
        pytest.param(
            [("daily: 14d ", "daily: 14d\n    weekly: 10d")],
            "weekly: 10d",
            "database.retention.weekly: found 10d; "
            "allowed: more than 2w, as daily backups are kept",
            id="weekly backups kept shorter than daily ones",
        ),
        pytest.param(
            [('schedule: "0 3 * * *"', 'schedule: "0 3 * * SUN"')],
            "wal: 3d                               # A1",
            "database.retention.wal: found 3d, less than passes between two full backups; "
            "allowed: at least 1w",
            id="wal gone before the next full backup",
        ),
        pytest.param(
            [('"*/30 * * * *"', '"0 8-18 * * 1-5"')],
            "0 8-18",
            "database.wal_shipping.schedule: found 0 8-18 * * 1-5, up to 62h between two runs; "
            "allowed: at most 30m, as objectives.database_failure.rpo",
            id="shipping less often than the recovery point objective allows",
        ),
        pytest.param(
            [("    wal: 3d                               # A1\n", "")],
            "retention:",
            "database.retention.wal: found no retention while WAL is shipped; "
            "allowed: a duration such as 7d",
            id="wal shipped but kept for no stated time",
        ),
        pytest.param(
            [
                (
                    '    schedule: "0 5 * * *"',
                    '    sampled_tables: {payments: 10}\n    schedule: "0 5 * * *"',
                )
            ],
            "sampled_tables",
            "database.fingerprint.sampled_tables.payments: found 'payments'; "
            "allowed: schema.table, such as public.payments",
            id="sampled table without its schema",
        ),
        pytest.param(
            [("reread_within: 30d", "reread_within: 12h")],
            "reread_within: 12h",
            "database.verification.reread_within: found 12h, less than passes between two "
            "verifications; allowed: at least 1d",
            id="objects read more often than verifications run",
        ),
    ],
)
def test_contradiction_is_refused(
    tmp_path: Path, changes: list[tuple[str, str]], at: str, fault: str
) -> None:
    path = broken(tmp_path, "staging", *changes)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert caught.value.message == (
        f"policy {path} is refused for 1 fault:\n  line {line_of(path, at)}: {fault}"
    )


@pytest.mark.parametrize(
    ("change", "at", "fault"),
    [
        pytest.param(
            ("        key_id: alias/ledgerkeep-vault\n", ""),
            "      encryption:",
            "encryption.key_id: found no key for mode aws:kms; "
            "allowed: a KMS key id, ARN or alias, or another mode",
            id="kms without a key",
        ),
        pytest.param(
            ("loan-management-compliance-vault", "loan-management-backups-production"),
            "      bucket:",
            "bucket: found 'loan-management-backups-production'; "
            "allowed: another bucket than storage.bucket",
            id="the bucket it is a copy of",
        ),
        pytest.param(
            ("locked: 7y", "locked: 6y"),
            "locked: 6y",
            "locked: found 6y; allowed: at least 7y, as database.retention.yearly",
            id="lock shorter than the retention",
        ),
    ],
)
def test_vault_that_cannot_be_meant_is_refused(
    tmp_path: Path, change: tuple[str, str], at: str, fault: str
) -> None:
    path = broken(tmp_path, "production", change)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert caught.value.message == (
        f"policy {path} is refused for 1 fault:\n"
        f"  line {line_of(path, at)}: database.compliance_archive.vault.{fault}"
    )


def test_wal_figures_and_tests_need_wal_shipping(tmp_path: Path) -> None:
    path = broken(
        tmp_path,
        "development",
        ("daily: 7d ", "daily: 7d\n    wal: 7d"),
        ("  janitor:", "  point_in_time_recovery: {schedule: null}\n  janitor:"),
    )
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert caught.value.message == (
        f"policy {path} is refused for 2 faults:\n"
        f"  line {line_of(path, 'wal: 7d')}: database.retention.wal: "
        "found a retention while WAL shipping is off; allowed: null, or wal_shipping\n"
        f"  line {line_of(path, 'point_in_time')}: restore_tests.point_in_time_recovery: "
        "found a test that needs WAL while WAL shipping is off; allowed: null, or wal_shipping"
    )


def test_configuration_is_tested_only_where_the_policy_names_a_source_of_the_family() -> None:
    policy = load_policy(POLICIES / "production.yaml")
    assert policy.configuration is not None
    sources = policy.configuration.sources
    only = type(sources)(parameters=sources.parameters)
    section = policy.configuration.model_copy(update={"sources": only, "rollback": None})
    words = "a test of sources that the policy does not name"
    allowed = "null, or one of its sources below configuration.sources"
    assert contradictions(policy.model_copy(update={"configuration": section})) == [
        (("restore_tests", "infrastructure_recovery"), words, allowed),
        (("restore_tests", "integration_configuration_recovery"), words, allowed),
    ]


def with_every_schedule(
    section: PolicyModel, schedule: str, path: FieldPath = ()
) -> list[FieldPath]:
    """Set every schedule of a policy; where they are."""
    found: list[FieldPath] = []
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, PolicyModel):
            found += with_every_schedule(value, schedule, (*path, name))
        elif name == "schedule":
            section.__dict__[name] = schedule
            found.append((*path, name))
    return found


def test_unreadable_schedule_is_refused_wherever_it_is() -> None:
    policy = load_policy(POLICIES / "production.yaml")
    everywhere = with_every_schedule(policy, "0 6 31 2 *")
    assert ("configuration", "schedule") in everywhere
    assert ("documents", "protection", "schedule") in everywhere
    assert contradictions(policy) == [
        (
            path,
            "'0 6 31 2 *', which never comes true",
            "minute hour day-of-month month day-of-week, in UTC, such as 0 1 * * *",
        )
        for path in everywhere
    ]


def test_wal_without_a_full_backup_is_refused(tmp_path: Path) -> None:
    full = '  full_backup:\n    schedule: "0 3 * * *"                 # A1: daily at 03:00\n'
    path = broken(tmp_path, "staging", (full, ""))
    with pytest.raises(PolicyError, match="WAL alone restores nothing"):
        load_policy(path)


def test_incremental_backups_without_a_full_one_are_refused(tmp_path: Path) -> None:
    full = '  full_backup:\n    schedule: "0 3 * * SUN"               # A1: weekly on Sunday; inventory: 03:00\n'  # noqa: E501
    path = broken(tmp_path, "development", (full, ""))
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert caught.value.message == (
        f"policy {path} is refused for 1 fault:\n"
        f"  line {line_of(path, 'incremental_backup:')}: database.incremental_backup: "
        "found incremental backups without full ones; allowed: a full_backup to build on, or null"
    )


def test_archive_that_is_locked_shorter_than_yearly_backups_are_kept_is_refused(
    tmp_path: Path,
) -> None:
    path = broken(tmp_path, "production", ("      locked: 7y ", "      locked: 6y "))
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert caught.value.message == (
        f"policy {path} is refused for 1 fault:\n"
        f"  line {line_of(path, 'locked: 6y')}: database.compliance_archive.vault.locked: "
        "found 6y; allowed: at least 7y, as database.retention.yearly"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("daily", "23h, less than the day"), ("weekly", "6d, less than the week")],
)
def test_a_backup_that_stands_for_a_period_is_kept_at_least_as_long(name: str, words: str) -> None:
    """These are refused for other reasons too, so the sentence is looked for among them."""
    policy = load_policy(POLICIES / "staging.yaml")
    length = {"daily": timedelta(hours=23), "weekly": timedelta(days=6)}[name]
    retention = policy.database.retention.model_copy(update={name: length})
    database = policy.database.model_copy(update={"retention": retention})
    found = contradictions(policy.model_copy(update={"database": database}))
    assert any(said.startswith(words) and path[-1] == name for path, said, _ in found)


def test_retention_shorter_than_the_schedule_is_refused(tmp_path: Path) -> None:
    path = broken(tmp_path, "development", ("daily: 7d", "daily: 6d"))
    with pytest.raises(PolicyError, match="found 6d, less than passes between two full backups"):
        load_policy(path)


def locked_incrementals(environment: str, **retention: object) -> list[str]:
    """What is said about the lock on incrementals when the environment locks backups alike."""
    policy = load_policy(POLICIES / f"{environment}.yaml")
    week = timedelta(days=7)
    lock = ObjectLock(backups=week, wal=timedelta(days=1), evidence=week)
    kept = policy.database.retention.model_copy(update=retention)
    changed = policy.model_copy(
        update={
            "storage": policy.storage.model_copy(update={"object_lock": lock}),
            "database": policy.database.model_copy(update={"retention": kept}),
        }
    )
    return [
        f"{found}; {allowed}"
        for path, found, allowed in contradictions(changed)
        if path == ("storage", "object_lock", "incrementals")
    ]


def test_incrementals_are_locked_like_full_backups_unless_the_policy_says_how_long() -> None:
    """Which is longer than they are kept, where nothing but the WAL window keeps them."""
    assert locked_incrementals("production") == []
    assert locked_incrementals("staging") == [
        "1w, a lock longer than the retention it would block; "
        "at most 3d, as database.retention.recent"
    ]
    assert locked_incrementals("staging", recent=None, wal=timedelta(days=2)) == [
        "1w, a lock longer than the retention it would block; at most 2d, as database.retention.wal"
    ]


def test_a_lock_on_incrementals_that_nothing_keeps_is_refused() -> None:
    assert locked_incrementals("development") == [
        "1w, a lock on what no retention keeps; "
        "database.retention.recent, at least as long as the lock"
    ]
    assert locked_incrementals("development", recent=timedelta(days=7)) == []


def test_what_is_planned_is_held_longer_than_its_approval_may_take(tmp_path: Path) -> None:
    path = broken(
        tmp_path, "production", ("    minimum_rec", "    recovery_hold: 4h\n    minimum_rec")
    )
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert caught.value.message == (
        f"policy {path} is refused for 1 fault:\n"
        f"  line {line_of(path, 'recovery_hold')}: database.retention.recovery_hold: found 4h; "
        "allowed: more than 4h, as database.recovery.response_timeout"
    )
