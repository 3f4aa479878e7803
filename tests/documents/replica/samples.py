"""Versions and histories for tests of the comparison."""

from datetime import UTC, datetime, timedelta

from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.storage.versions import ObjectVersion

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BY_ID = Rules(by_id=True, plain_etags=True, young_from=NOON)
BY_CONTENT = Rules(by_id=False, plain_etags=True, young_from=NOON)


def history(key: str, text: str, *, ids: str = "", minutes: int = 600) -> list[ObjectVersion]:
    """Versions of one key from a text, oldest first; the result is newest first.

    Each letter is a content, `-` a delete marker. Ids are letter and place, or those given.
    The oldest was written so many minutes before noon, each other a minute after the one before.
    """
    names = ids.split() if ids else [f"{letter}{place}" for place, letter in enumerate(text)]
    made = [
        ObjectVersion(
            key=key,
            version_id=name,
            modified_at=NOON - timedelta(minutes=minutes - place),
            size=0 if letter == "-" else 10,
            etag="" if letter == "-" else f"{ord(letter):032x}",
            is_latest=place == len(text) - 1,
            is_delete_marker=letter == "-",
        )
        for place, (letter, name) in enumerate(zip(text, names, strict=True))
    ]
    return made[::-1]


def letters(versions: list[ObjectVersion]) -> str:
    """The text of versions, in their order."""
    return "".join("-" if one.is_delete_marker else chr(int(one.etag, 16)) for one in versions)
