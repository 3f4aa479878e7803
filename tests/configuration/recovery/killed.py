"""A process that carries a recovery out and is killed in the middle of a change.

    python -m tests.configuration.recovery.killed DRAWER PLAN KEY

The change of KEY is left half done: what was there is gone, and what is wanted is not there yet.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ledgerkeep.cli.session import open_session
from ledgerkeep.configuration.items import Marker
from ledgerkeep.configuration.recovery.carry_out import carry_out
from ledgerkeep.configuration.recovery.plan import PlanInShort, read_plan
from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.configuration.source import Change, Found, Known, Scope, Source
from ledgerkeep.configuration.versions import Versions

MARKER = Marker(b"no secret is marked here")


@dataclass
class Drawer(Source):
    """A source whose things are files of JSON in a directory; a fake at the port."""

    name: ClassVar[str] = "drawer"
    directory: Path
    kill_at: str = ""

    def scope(self) -> Scope:
        return Scope(environment="production", account="1")

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        for path in sorted(self.directory.iterdir()):
            yield Found(path.name, json.loads(path.read_text()))

    def apply(self, change: Change) -> None:
        path = self.directory / change.key
        path.unlink(missing_ok=True)
        if change.key == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if change.wanted is not None:
            path.write_text(json.dumps(change.wanted))


def open_versions() -> Versions:
    """Of the environment that the shell's variables point at; nothing is sealed in it."""
    session = open_session("production")
    return Versions(session.catalog.store, session.policy, Sealer("none", None))  # type: ignore[arg-type]


def main(directory: str, plan: str, kill_at: str) -> None:
    """Carry it out."""
    versions = open_versions()
    short = PlanInShort.from_json(Path(plan).read_bytes())
    drawer = Drawer(Path(directory), kill_at)
    carry_out(drawer, versions, MARKER, read_plan(versions, short), run="dag/run")


if __name__ == "__main__":
    main(*sys.argv[1:])
