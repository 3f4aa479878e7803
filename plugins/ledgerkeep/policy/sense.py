"""What each field allows may still contradict another field: these are the contradictions.

A pure function from a policy to (field, found, allowed); the loader adds file and line.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from ledgerkeep.policy.configuration_families import FAMILIES, sources_of
from ledgerkeep.policy.configuration_sense import configuration_contradictions
from ledgerkeep.policy.document import FieldPath
from ledgerkeep.policy.document_sense import document_contradictions
from ledgerkeep.policy.infrastructure_sense import infrastructure_contradictions
from ledgerkeep.policy.model import (
    Database,
    DatabaseRetention,
    Policy,
    Storage,
)
from ledgerkeep.policy.protection_sense import protection_contradictions
from ledgerkeep.policy.replica_sense import replica_contradictions
from ledgerkeep.policy.schedule import cron_fault, longest_interval
from ledgerkeep.policy.values import Encryption, PolicyModel, format_duration

Contradiction = tuple[FieldPath, str, str]

_PERIODS = {
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
    "yearly": timedelta(days=365),
}
_PERIOD_WORDS = {"daily": "day", "weekly": "week", "monthly": "month", "yearly": "year"}


def contradictions(policy: Policy) -> list[Contradiction]:
    """Everything in the policy that cannot all be meant."""
    unreadable = list(_schedules(policy))
    if unreadable:
        return unreadable  # what follows compares intervals, which needs readable schedules
    return [
        *_encryption(policy.storage.encryption, ("storage",)),
        *_object_lock(policy.storage, policy.database),
        *_retention(policy.database),
        *_wal(policy),
        *_incremental(policy.database),
        *_recovery(policy.database),
        *_continuous(policy),
        *_verification(policy.database),
        *_archive(policy),
        *_sampled_tables(policy.database),
        *_validated_databases(policy.database),
        *document_contradictions(policy),
        *protection_contradictions(policy.documents),
        *replica_contradictions(policy.documents),
        *configuration_contradictions(policy.configuration),
        *infrastructure_contradictions(policy.configuration),
        *_configuration_tests(policy),
    ]


def _schedules(section: PolicyModel, path: FieldPath = ()) -> Iterator[Contradiction]:
    """Wherever a section has a schedule, however new the section."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, PolicyModel):
            yield from _schedules(value, (*path, name))
        elif name == "schedule" and (fault := cron_fault(value) if value else ""):
            allowed = "minute hour day-of-month month day-of-week, in UTC, such as 0 1 * * *"
            yield (*path, name), fault, allowed


def _encryption(encryption: Encryption, where: FieldPath) -> Iterator[Contradiction]:
    path = (*where, "encryption", "key_id")
    if encryption.mode == "aws:kms" and not encryption.key_id:
        yield path, "no key for mode aws:kms", "a KMS key id, ARN or alias, or another mode"
    if encryption.mode != "aws:kms" and encryption.key_id:
        yield path, f"a key with mode {encryption.mode}", "no key_id, or mode aws:kms"


def _object_lock(storage: Storage, database: Database) -> Iterator[Contradiction]:
    lock = storage.object_lock
    if lock is None:
        return
    kept = database.retention
    for name, locked, retained, kept_by in (
        ("backups", lock.backups, kept.daily, "database.retention.daily"),
        ("wal", lock.wal, kept.wal, "database.retention.wal"),
    ):
        if retained is not None and locked > retained:
            yield _locked_longer(name, locked, retained, kept_by)
    if database.incremental_backup is not None:
        yield from _locked_incrementals(lock.of_incrementals, kept)


def _locked_incrementals(locked: timedelta, kept: DatabaseRetention) -> Iterator[Contradiction]:
    """Nothing but `recent` and the WAL window keeps every incremental backup."""
    spans = {"recent": kept.recent, "wal": kept.wal}
    said = {name: length for name, length in spans.items() if length is not None}
    if not said:
        yield (
            ("storage", "object_lock", "incrementals"),
            f"{format_duration(locked)}, a lock on what no retention keeps",
            "database.retention.recent, at least as long as the lock",
        )
        return
    longest = max(said, key=lambda name: said[name])
    if locked > said[longest]:
        kept_by = f"database.retention.{longest}"
        yield _locked_longer("incrementals", locked, said[longest], kept_by)


def _locked_longer(
    name: str, locked: timedelta, retained: timedelta, kept_by: str
) -> Contradiction:
    return (
        ("storage", "object_lock", name),
        f"{format_duration(locked)}, a lock longer than the retention it would block",
        f"at most {format_duration(retained)}, as {kept_by}",
    )


def _retention(database: Database) -> Iterator[Contradiction]:
    retention, path = database.retention, ("database", "retention")
    named = [
        (name, length)
        for name in ("recent", "daily", "weekly", "monthly", "yearly")
        if (length := getattr(retention, name)) is not None
    ]
    for (shorter, short), (longer, long) in pairwise(named):
        if long < short or (long == short and shorter != "recent"):
            yield (
                (*path, longer),
                format_duration(long),
                f"{'at least' if shorter == 'recent' else 'more than'} {format_duration(short)}, "
                f"as {shorter} backups are kept",
            )
    yield from _periods(retention)
    yield from _recent(database)
    between = _interval(database.full_backup.schedule if database.full_backup else None)
    if between is None:
        return
    for name, length in (("daily", retention.daily), ("wal", retention.wal)):
        if length is not None and length < between:
            yield (
                (*path, name),
                f"{format_duration(length)}, less than passes between two full backups",
                f"at least {format_duration(between)}",
            )


def _periods(retention: DatabaseRetention) -> Iterator[Contradiction]:
    """One backup of each week, kept for less than a week, keeps less than one of each week."""
    for name, period in _PERIODS.items():
        length = getattr(retention, name)
        if length is not None and length < period:
            yield (
                ("database", "retention", name),
                f"{format_duration(length)}, less than the {_PERIOD_WORDS[name]} that one backup "
                "stands for",
                f"at least {format_duration(period)}",
            )


def _recent(database: Database) -> Iterator[Contradiction]:
    """Within `recent` there is more than the newest backup, or it says nothing."""
    recent, section = database.retention.recent, database.incremental_backup
    between = _interval(section.schedule if section else None)
    if recent is not None and between is not None and recent < between:
        yield (
            ("database", "retention", "recent"),
            f"{format_duration(recent)}, less than passes between two incremental backups",
            f"at least {format_duration(between)}",
        )


def _wal(policy: Policy) -> Iterator[Contradiction]:
    database, shipping = policy.database, policy.database.wal_shipping
    kept = ("database", "retention", "wal")
    if shipping is None:
        if database.retention.wal is not None:
            yield kept, "a retention while WAL shipping is off", "null, or wal_shipping"
        if policy.restore_tests.point_in_time_recovery is not None:
            yield (
                ("restore_tests", "point_in_time_recovery"),
                "a test that needs WAL while WAL shipping is off",
                "null, or wal_shipping",
            )
        return
    if database.retention.wal is None:
        yield kept, "no retention while WAL is shipped", "a duration such as 7d"
    if database.full_backup is None:
        yield (
            ("database", "full_backup"),
            "no full backup while WAL is shipped",
            "a full backup: WAL alone restores nothing",
        )
    between, rpo = _interval(shipping.schedule), policy.objectives.database_failure.rpo
    if between is not None and rpo is not None and between > rpo:
        yield (
            ("database", "wal_shipping", "schedule"),
            f"{shipping.schedule}, up to {format_duration(between)} between two runs",
            f"at most {format_duration(rpo)}, as objectives.database_failure.rpo",
        )


def _incremental(database: Database) -> Iterator[Contradiction]:
    if database.incremental_backup is not None and database.full_backup is None:
        yield (
            ("database", "incremental_backup"),
            "incremental backups without full ones",
            "a full_backup to build on, or null",
        )


def _recovery(database: Database) -> Iterator[Contradiction]:
    """What is planned must still be there when the last approver answers."""
    recovery, held = database.recovery, database.retention.recovery_hold
    if recovery is not None and recovery.approval and held <= recovery.response_timeout:
        yield (
            ("database", "retention", "recovery_hold"),
            format_duration(held),
            f"more than {format_duration(recovery.response_timeout)}, as "
            "database.recovery.response_timeout",
        )


def _continuous(policy: Policy) -> Iterator[Contradiction]:
    shipping = policy.database.wal_shipping
    if shipping is None or shipping.continuous is None:
        return
    path = ("database", "wal_shipping", "continuous")
    if shipping.schedule is not None:
        yield path, f"beside the schedule {shipping.schedule}", "one of both: schedule: null"
    rpo, switch = policy.objectives.database_failure.rpo, shipping.continuous.switch_after
    if rpo is not None and switch > rpo:
        yield (
            (*path, "switch_after"),
            format_duration(switch),
            f"at most {format_duration(rpo)}, as objectives.database_failure.rpo",
        )
    if shipping.continuous.interval <= switch:
        yield (
            (*path, "interval"),
            format_duration(shipping.continuous.interval),
            f"more than {format_duration(switch)}, as switch_after",
        )


def _verification(database: Database) -> Iterator[Contradiction]:
    verification = database.verification
    if verification is None:
        return
    between = _interval(verification.schedule)
    if between is not None and verification.reread_within < between:
        yield (
            ("database", "verification", "reread_within"),
            f"{format_duration(verification.reread_within)}, less than passes between two "
            "verifications",
            f"at least {format_duration(between)}",
        )


def _archive(policy: Policy) -> Iterator[Contradiction]:
    archive, yearly = policy.database.compliance_archive, policy.database.retention.yearly
    if archive is None:
        return
    path, vault = ("database", "compliance_archive", "vault"), archive.vault
    yield from _encryption(vault.encryption, path)
    if vault.bucket == policy.storage.bucket:
        yield (*path, "bucket"), f"'{vault.bucket}'", "another bucket than storage.bucket"
    if yearly is not None and vault.locked < yearly:
        yield (
            (*path, "locked"),
            format_duration(vault.locked),
            f"at least {format_duration(yearly)}, as database.retention.yearly",
        )


def _sampled_tables(database: Database) -> Iterator[Contradiction]:
    for name in database.fingerprint.sampled_tables:
        schema, dot, table = name.partition(".")
        if not (schema and dot and table):
            yield (
                ("database", "fingerprint", "sampled_tables", name),
                f"'{name}'",
                "schema.table, such as public.payments",
            )


def _validated_databases(database: Database) -> Iterator[Contradiction]:
    for field, named in database.validation.questions.items():
        for number, one in enumerate(named):
            if one.database not in database.databases:
                yield (
                    ("database", "validation", field, number, "database"),
                    f"'{one.database}'",
                    f"one of database.databases: {', '.join(database.databases)}",
                )


def _configuration_tests(policy: Policy) -> Iterator[Contradiction]:
    for family in FAMILIES:
        test = getattr(policy.restore_tests, f"{family}_recovery")
        if test is not None and not sources_of(family, policy):
            yield (
                ("restore_tests", f"{family}_recovery"),
                "a test of sources that the policy does not name",
                "null, or one of its sources below configuration.sources",
            )


def _interval(schedule: str | None) -> timedelta | None:
    return longest_interval(schedule) if schedule else None
