"""The contract of a kind of IAM entity, and how any of them is brought to a wanted state.

What is wanted is compared with what IAM says at that moment, not with what the plan saw: so a
change that was interrupted goes on where it stopped, and one that is done already does nothing.
Afterwards it is read back.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from ledgerkeep.configuration.sources.iam.api import Api, sent_tags

State: TypeAlias = Mapping[str, Any]
"""The content of an entity, in the names that are live."""


class Kind(ABC):
    """One kind of entity."""

    prefix: ClassVar[str]
    """Of its keys, and of its ARN's resource."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @abstractmethod
    def read(self, name: str, path: str) -> State | None:
        """As it is now; None where there is none."""

    @abstractmethod
    def create(self, name: str, wanted: State) -> State:
        """Make it, if only bare; what it is then."""

    @abstractmethod
    def alter(self, name: str, live: State, wanted: State) -> None:
        """Make it exactly what is wanted."""

    @abstractmethod
    def remove(self, name: str, live: State) -> None:
        """Take it away, with whatever hangs on it."""

    def bring(self, name: str, path: str, wanted: State | None) -> None:
        """Make it what is wanted, or take it away; once more is harmless."""
        live = self.read(name, path)
        if wanted is None:
            if live is not None:
                self.remove(name, live)
        elif live is None:
            self.alter(name, self.create(name, wanted), wanted)
        elif live != wanted:
            self.alter(name, live, wanted)
        if live != wanted:
            self._read_back(name, path, wanted)

    def _read_back(self, name: str, path: str, wanted: State | None) -> None:
        self.api.await_state(f"{self.prefix}/{name}", lambda: self.read(name, path), wanted)

    def set_tags(
        self, operations: tuple[str, str], what: str, live: State, wanted: State, **whose: Any
    ) -> None:
        """Exactly these tags.

        :param operations: to tag and to untag.
        """
        old, new = live["tags"], wanted["tags"]
        gone = sorted(old.keys() - new.keys())
        changed = {key: value for key, value in new.items() if old.get(key) != value}
        if gone:
            self.api.send(operations[1], f"remove tags of {what}", TagKeys=gone, **whose)
        if changed:
            self.api.send(operations[0], f"tag {what}", Tags=sent_tags(changed), **whose)
