"""What came of an export, in words: for logs. Pure.

Values of secrets are masked, as in every difference (`ledgerkeep.configuration.difference`); `-`
is what was stored, `+` what is live now.
"""

from ledgerkeep.configuration.back_up import BackedUp
from ledgerkeep.configuration.difference import value_lines
from ledgerkeep.configuration.source import Planned

_WORDS = {"create": "is new", "update": "has changed", "delete": "is gone"}


def summary(done: BackedUp) -> str:
    """One line about an export."""
    version, read = done.version, f"{done.read_items} of {done.items} items were read"
    if not done.is_new:
        since = f"{version.created_at:%Y-%m-%d %H:%M:%S}Z"
        return f"{version.source} is unchanged since {since} (version {version.id}); {read}"
    why = f", a major version: {version.major}" if version.major else ""
    counts = f"{version.created} new, {version.updated} changed, {version.deleted} gone"
    return f"{version.source} has a new version {version.id}{why}: {counts}; {read}"


def changed_lines(changes: list[Planned], *, most: int) -> list[str]:
    """What has changed since the version before, value by value.

    :param most: lines; the rest is counted.
    """
    lines = [line for change in changes for line in _lines(change)]
    if len(lines) <= most:
        return lines
    return [*lines[:most], f"and {len(lines) - most} more lines"]


def _lines(change: Planned) -> list[str]:
    first = f"{change.key} {_WORDS[change.action]}"
    if change.action == "delete":
        return [first]
    return [first, *value_lines(change.before, change.after)]
