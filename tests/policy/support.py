"""The shipped policies, to be broken in one place at a time."""

from pathlib import Path

POLICIES = Path(__file__).resolve().parents[2] / "include" / "policies"


def broken(directory: Path, environment: str, *changes: tuple[str, str]) -> Path:
    """A copy of a shipped policy with texts replaced, each of which must be there once."""
    text = (POLICIES / f"{environment}.yaml").read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = directory / f"{environment}.yaml"
    path.write_text(text)
    return path


def line_of(path: Path, text: str) -> int:
    """The line on which `text` first stands."""
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
