"""What a command says: a table for people, JSON for machines, never both.

Results go to standard output, progress and errors to standard error. With `--json` both are JSON,
so that a program reads either without guessing.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ledgerkeep.errors import LedgerkeepError
from ledgerkeep.progress import LoggedProgress, Progress, no_progress

_FOLDED = 500
"""Rows up to which a table is fitted to the terminal: rich needs a second for a thousand."""


class Output:
    """Where a command puts its result."""

    def __init__(self, *, machine: bool) -> None:
        self.machine = machine

    def document(self, plain: Any) -> None:
        """Plain data, as indented JSON."""
        print(json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False))

    def lines(self, lines: Sequence[str]) -> None:
        """Text for people."""
        print("\n".join(lines))

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
    ) -> None:
        """A table for people.

        :param right: columns of figures, which are set to the right.
        """
        if not sys.stdout.isatty() or len(rows) > _FOLDED:
            # Lines into a file or a pipe are not folded: another program reads them.
            self.lines([*_plain_table(columns, rows, right), ""])
            return
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(
                column,
                justify="right" if column in right else "left",
                overflow="fold",
                no_wrap=column == columns[0],  # ids are copied from here
            )
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console(highlight=False).print(table)

    def progress(self) -> Progress:
        """Progress on standard error; none for machines."""
        return no_progress if self.machine else LoggedProgress(_to_stderr)

    def error(self, problem: LedgerkeepError) -> None:
        """An error, with its hint."""
        if not self.machine:
            _to_stderr(f"error: {problem}")
            return
        told = {
            "error": {
                "kind": type(problem).__name__,
                "message": problem.message,
                "hint": problem.hint,
                "retryable": problem.retryable,
            }
        }
        _to_stderr(json.dumps(told, ensure_ascii=False))


def _plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]
) -> Iterator[str]:
    """The same table in lines as long as they need to be."""
    widths = [max(map(_width, column)) for column in zip(columns, *rows, strict=True)]
    sides = [column in right for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = (
            " " * (width - _width(cell)) + cell if to_right else cell + " " * (width - _width(cell))
            for cell, width, to_right in zip(cells, widths, sides, strict=True)
        )
        return "   ".join(padded).rstrip()

    if any(columns):
        yield line(columns)
        yield "─" * (sum(widths) + 3 * (len(widths) - 1))
    for row in rows:
        yield line([" ".join(cell.splitlines()) for cell in row])


def _width(cell: str) -> int:
    """Columns of a terminal."""
    from rich.cells import cell_len

    return len(cell) if cell.isascii() else cell_len(cell)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
