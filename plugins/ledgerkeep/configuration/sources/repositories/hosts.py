"""What only a repository's host can tell or set: branch protection, and the default branch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote

from ledgerkeep.configuration.items import Content, opened
from ledgerkeep.configuration.sources.repositories.git import environment_of, set_head


class Host(Protocol):
    """Where a repository is."""

    def protections(self) -> dict[str, Mapping[str, Content]]:
        """Branch → its protection, of all branches that have one."""

    def protect(
        self, branch: str, wanted: Mapping[str, Any], live: Mapping[str, Any] | None
    ) -> None:
        """Make a branch's protection this one."""

    def unprotect(self, branch: str) -> None:
        """Remove a branch's protection."""

    def set_default(self, branch: str) -> None:
        """Which branch it is cloned with."""


@dataclass(frozen=True)
class Bare:
    """A repository on this worker: nobody protects its branches."""

    path: Path
    patience: timedelta

    def protections(self) -> dict[str, Mapping[str, Content]]:
        """None."""
        return {}

    def protect(
        self, branch: str, wanted: Mapping[str, Any], live: Mapping[str, Any] | None
    ) -> None:
        """There is nobody who would."""
        raise NotImplementedError(f"nobody protects {branch} of {self.path}")

    def unprotect(self, branch: str) -> None:
        """There is nothing to remove."""

    def set_default(self, branch: str) -> None:
        """Which branch it is cloned with."""
        set_head(self.path, branch, environment_of("", None), self.patience)


class Isolated(Bare):
    """A restore test's: protection is noted beside the code, so that it can be read back."""

    @property
    def _notes(self) -> Path:
        return self.path / "ledgerkeep-protection"

    def protections(self) -> dict[str, Mapping[str, Content]]:
        """Those that were noted."""
        return {
            unquote(note.stem): json.loads(note.read_text()) for note in self._notes.glob("*.json")
        }

    def protect(
        self, branch: str, wanted: Mapping[str, Any], live: Mapping[str, Any] | None
    ) -> None:
        """Note it."""
        self._notes.mkdir(exist_ok=True)
        self._note(branch).write_text(json.dumps(opened(wanted)))

    def unprotect(self, branch: str) -> None:
        """Forget it."""
        self._note(branch).unlink(missing_ok=True)

    def _note(self, branch: str) -> Path:
        return self._notes / f"{quote(branch, safe='')}.json"
