"""What looks like a credential: names and values that are kept as secrets, to be sure.

Many a password lies where only a setting should: in an environment variable, a command line, an
address. A name that sounds like one makes its value a secret, and so does a value that has the form
of one, whatever it is called. What is hidden for nothing costs a line in a diff; what is shown for
nothing costs a credential.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ledgerkeep.configuration.items import Content, Secret

_NAME = re.compile(
    r"passw|pwd|passphrase|secret|token|credential|api_?key|access_?key|private|"
    r"pass([^a-z]|$)|(^|[^a-z])(key|auth|dsn|salt|pin|cert|signature|cookie|conn(ection)?_?str(ing)?)"
    r"([^a-z]|$)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"://[^/@\s:]*:[^/@\s]+@"  # an address with a password
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA|ASIA)[A-Z0-9]{16}\b"  # an AWS access key
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\."  # a JSON web token
)
_ASSIGNED = re.compile(r"([A-Za-z0-9_.-]+)\s*[=:]\s*\S")


@dataclass(frozen=True)
class Guard:
    """Makes secrets of what looks like one."""

    patterns: Sequence[str] = ()
    """Names that count besides, with * and ?."""

    def value(self, name: str, text: str) -> Content:
        """The value of something that has a name."""
        marked = any(fnmatchcase(name, pattern) for pattern in self.patterns)
        return Secret(text) if text and (marked or self._looks(name, text)) else text

    def values(self, named: Mapping[str, str]) -> dict[str, Content]:
        """Values by name, in the names' order."""
        return {name: self.value(name, named[name]) for name in sorted(named)}

    def words(self, command: Sequence[str]) -> list[Content]:
        """A command line: a word that assigns a credential, and one that follows its option."""
        found: list[Content] = []
        before = ""
        for word in command:
            option = before if before.startswith("-") else ""
            assigns = any(_NAME.search(name) for name in _ASSIGNED.findall(word))
            secret = word and (assigns or self._looks(option, word)) and not word.startswith("$")
            found.append(Secret(word) if secret else word)
            before = word
        return found

    def _looks(self, name: str, text: str) -> bool:
        return bool(_NAME.search(name) or _VALUE.search(text))
