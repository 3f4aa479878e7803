"""Security controls: what the policy wants held against what lies in the store.

Settings can claim anything; what counts is found on the stored objects themselves.
"""

from ledgerkeep.evidence.report.model import Control
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectHead


def security_controls(policy: Policy, heads: list[ObjectHead]) -> list[Control]:
    """Encryption, Object Lock and its mode, as found on the objects looked at."""
    return [_encryption(policy, heads), _object_lock(policy, heads)]


def _encryption(policy: Policy, heads: list[ObjectHead]) -> Control:
    wanted = policy.storage.encryption.mode
    found = [head.encryption or "none" for head in heads]
    return Control(
        name="Encryption at rest",
        wanted=wanted,
        found=_counted(found),
        objects=len(found),
        met=bool(found) and (wanted == "none" or set(found) == {wanted}),
    )


def _object_lock(policy: Policy, heads: list[ObjectHead]) -> Control:
    lock = policy.storage.object_lock
    wanted = lock.mode if lock else "none"
    # An object whose lock has run out says so no longer; it did its duty.
    found = [head.retention.mode if head.retention else "none" for head in heads]
    return Control(
        name="Object Lock",
        wanted=wanted,
        found=_counted(found),
        objects=len(found),
        met=bool(found) and (wanted == "none" or set(found) == {wanted}),
    )


def _counted(found: list[str]) -> str:
    if not found:
        return "no stored objects"
    return ", ".join(f"{name} on {found.count(name)}" for name in sorted(set(found)))
