"""Tables as another program gets them, and as a terminal does."""

import re
import sys
import time

import pytest

from ledgerkeep.cli.output import Output

ROWS = [["a1", "12 MB", "", "one\ntwo"], ["b22222", "3 MB", "計画", ""]]


def test_table_into_a_pipe_is_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    Output(machine=False).table(["id", "size", "what", "because"], ROWS, right=["size"])
    assert capsys.readouterr().out.splitlines() == [
        "id        size   what   because",
        "───────────────────────────────",
        "a1       12 MB          one two",
        "b22222    3 MB   計画",
        "",
    ]


def test_facts_have_no_heading(capsys: pytest.CaptureFixture[str]) -> None:
    Output(machine=False).table(["", ""], [["id", "x"], ["kind", "wal"]])
    assert capsys.readouterr().out.splitlines() == ["id     x", "kind   wal", ""]


def test_long_line_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    Output(machine=False).table(["id", "why"], [["a", "w" * 1000]])
    assert "w" * 1000 in capsys.readouterr().out


@pytest.mark.parametrize("terminal", [True, False])
def test_seven_years_of_rows_take_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    rows = [[str(number), "incremental backup", "2026-11-22 14:00:00"] for number in range(60_000)]
    started = time.process_time()
    Output(machine=False).table(["id", "kind", "when"], rows)
    assert time.process_time() - started < 10
    assert len(capsys.readouterr().out.splitlines()) == 60_003


def test_terminal_gets_a_table_that_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    Output(machine=False).table(["id", "why"], [["a", "because " * 20]])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert len(lines) > 4
    assert max(map(len, lines)) <= 40
