"""A difference as a person reads it: what is live against what is stored, secrets masked.

One line per value that differs, by its JSON pointer; `-` is what is live, `+` what it would
become. Of a secret only that it differs is said. Texts of many lines, and JSON that a service
keeps as text (a policy document), are compared inside.
"""

import difflib
import json
from collections.abc import Iterator

from pydantic import JsonValue

from ledgerkeep.configuration.items import Item, escaped, is_mark
from ledgerkeep.configuration.source import Planned

_WORDS = {
    "create": "is missing, and would be created",
    "update": "differs, and would be changed",
    "delete": "is not in the version, and would be deleted",
}
_LONGEST = 300
_MASK = "*** (secret)"


def describe(change: Planned) -> list[str]:
    """The lines about one change of what is live; the first names it."""
    return [f"{change.key} {_WORDS[change.action]}", *value_lines(change.before, change.after)]


def value_lines(before: Item | None, after: Item | None) -> list[str]:
    """The values that differ, two spaces in."""
    old = dict(_flat("", before.content)) if before else {}
    new = dict(_flat("", after.content)) if after else {}
    lines: list[str] = []
    for pointer in sorted(old.keys() | new.keys()):
        if pointer not in old or pointer not in new or old[pointer] != new[pointer]:
            lines += _value(pointer, old, new)
    return lines


def _value(pointer: str, before: dict[str, JsonValue], after: dict[str, JsonValue]) -> list[str]:
    old, new = before.get(pointer), after.get(pointer)
    if isinstance(old, str) and isinstance(new, str) and ("\n" in old or "\n" in new):
        changed = difflib.unified_diff(old.splitlines(), new.splitlines(), n=1, lineterm="")
        return [f"  {pointer}:", *(f"    {_short(line)}" for line in list(changed)[2:])]
    lines = []
    if pointer in before:
        lines.append(f"  - {pointer}: {_text(old)}")
    if pointer in after:
        lines.append(f"  + {pointer}: {_text(new)}")
    return lines


def _flat(pointer: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    """JSON pointer → value of everything that has no members, or is a secret."""
    inner = _document(value)
    if is_mark(inner) or not isinstance(inner, dict | list) or not inner:
        yield pointer or "/", inner
    elif isinstance(inner, dict):
        for name, one in inner.items():
            yield from _flat(f"{pointer}/{escaped(name)}", one)
    else:
        for at, one in enumerate(inner):
            yield from _flat(f"{pointer}/{at}", one)


def _document(value: JsonValue) -> JsonValue:
    """What a text of JSON says; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        found: JsonValue = json.loads(value)
    except ValueError:
        return value
    return found


def _text(value: JsonValue) -> str:
    return _MASK if is_mark(value) else _short(json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
