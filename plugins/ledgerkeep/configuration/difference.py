"""A difference as a person reads it: what is live against what is stored, secrets masked.

One line per value that differs, by its JSON pointer; `-` is what is live, `+` what it would
become. Of a secret only that it differs is said. Texts of many lines, and JSON that a service
keeps as text (a policy document), are compared inside; of a list, the elements that are on one
side only are shown.
"""

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from pydantic import JsonValue

from ledgerkeep.configuration.items import Item, canonical, escaped, is_mark
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
    if before is not None and after is not None:
        return list(_differing("", before.content, after.content))
    if after is not None:
        return list(_whole("+", "", after.content))
    return list(_whole("-", "", before.content)) if before is not None else []


def _differing(pointer: str, old: JsonValue, new: JsonValue) -> Iterator[str]:
    if old == new:
        return
    before, after = _document(old), _document(new)
    if before == after:
        yield f"  ~ {pointer}: the same, written in another way"
    elif _has_members(before) and _has_members(after):
        yield from _members(pointer, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _elements(pointer, before, after)
    elif isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        changed = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
        yield f"  {pointer}:"
        yield from (f"    {_short(line)}" for line in list(changed)[2:])
    else:
        yield from (*_whole("-", pointer, old), *_whole("+", pointer, new))


def _members(
    pointer: str, old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]
) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        place = f"{pointer}/{escaped(name)}"
        if name not in new:
            yield from _whole("-", place, old[name])
        elif name not in old:
            yield from _whole("+", place, new[name])
        else:
            yield from _differing(place, old[name], new[name])


def _elements(pointer: str, old: Sequence[JsonValue], new: Sequence[JsonValue]) -> Iterator[str]:
    """Elements that are on one side only: one more at the top does not move all the others."""
    gone, came = _without(old, new), _without(new, old)
    if not gone and not came:
        yield f"  ~ {pointer}: the same elements in another order"
    elif len(gone) == len(came) == 1 and _has_members(gone[0][1]) and _has_members(came[0][1]):
        yield from _differing(f"{pointer}/{came[0][0]}", gone[0][1], came[0][1])
    else:
        yield from (f"  - {pointer}/{at}: {_text(one)}" for at, one in gone)
        yield from (f"  + {pointer}/{at}: {_text(one)}" for at, one in came)


def _without(some: Sequence[JsonValue], others: Sequence[JsonValue]) -> list[tuple[int, JsonValue]]:
    left = Counter(canonical(one) for one in others)
    found = []
    for at, one in enumerate(some):
        text = canonical(one)
        if left[text]:
            left[text] -= 1
        else:
            found.append((at, one))
    return found


def _whole(sign: str, pointer: str, value: JsonValue) -> Iterator[str]:
    """All of a value that is on one side only, a line for each value in it."""
    inner = _document(value)
    if _has_members(inner) and inner:
        for name in sorted(inner):
            yield from _whole(sign, f"{pointer}/{escaped(name)}", inner[name])
    elif isinstance(inner, list) and inner:
        for at, one in enumerate(inner):
            yield from _whole(sign, f"{pointer}/{at}", one)
    else:
        yield f"  {sign} {pointer or '/'}: {_text(inner)}"


def _has_members(value: JsonValue) -> TypeGuard[dict[str, JsonValue]]:
    return isinstance(value, dict) and not is_mark(value)


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
    return _MASK if is_mark(value) else _short(json.dumps(_masked(value), ensure_ascii=False))


def _masked(value: JsonValue) -> JsonValue:
    if is_mark(value):
        return _MASK
    if isinstance(value, dict):
        return {name: _masked(one) for name, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list) else value


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
