"""The register of manual settings: what no program can set, written down by people.

A YAML file per environment says for each setting where it is, what it is set to, who answers for
it, and when somebody last looked. So it can be backed up, compared and put back like anything else,
except that every change is a line of a checklist for a person. What is not looked at in time is
told as a finding. A secret is not written into the register: it says where the secret is kept.

The file is read as it lies on the worker; it comes with the code, and its history is there, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import Field, ValidationError, model_validator

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.errors import ConfigurationError
from ledgerkeep.model import utc_now
from ledgerkeep.policy.configuration_sources import ManualSettings as Settings
from ledgerkeep.policy.model import Policy
from ledgerkeep.policy.values import Duration, PolicyModel, format_duration, parse_duration
from ledgerkeep.worker import worker_settings

Text = Annotated[str, Field(min_length=1, max_length=2000)]
_NOT_SET = ("verified_on",)
"""What of an entry is no part of how the system is set: looking again changes nothing."""


class Entry(PolicyModel):
    """One setting."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9./_-]{0,119}$")] = Field(
        description="Unique; what differences and evidence call it."
    )
    system: Text = Field(description="Where it is: the registrar, the provider, the device.")
    where: Text = Field(description="Path in its console, from the start page.")
    value: Text | None = None
    secret: bool = False
    kept_in: Text | None = Field(default=None, description="Of a secret: where it is kept.")
    owner: Text = Field(description="Team that answers for it.")
    verified_on: date
    verify_every: Duration

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "Entry":
        """A value, or where a secret is kept; never a secret's value."""
        if self.secret and (self.value is not None or self.kept_in is None):
            raise ValueError("a secret has kept_in and no value")
        if not self.secret and (self.value is None or self.kept_in is not None):
            raise ValueError("what is no secret has a value and no kept_in")
        return self


class Register(PolicyModel):
    """All of them."""

    settings: Annotated[list[Entry], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_each_once(self) -> "Register":
        names = [one.name for one in self.settings]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return self


def open_source(access: Access, settings: Settings, policy: Policy) -> "ManualSettings":
    """The register of a policy."""
    path = worker_settings().registers / f"{settings.file}.yaml"
    return ManualSettings(path, Scope(environment=policy.environment, account=settings.file))


@dataclass(frozen=True)
class ManualSettings(Source):
    """A register in a file."""

    name: ClassVar[str] = "manual_settings"
    why_no_place: ClassVar[str] = "what people set by hand, a program cannot set elsewhere"
    path: Path
    owner: Scope

    def scope(self) -> Scope:
        """The register."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every entry, by name; the whole file is read each time."""
        for entry in sorted(self._register().settings, key=lambda one: one.name):
            yield Found(entry.name, _content(entry), mark=entry.verified_on.isoformat())

    def apply(self, change: Change) -> None:
        """No program can.

        :raises ConfigurationError: always.
        """
        raise ConfigurationError(
            f"{change.key} is set by hand", hint="do what the plan says, then correct the register"
        )

    def by_hand(self, change: Planned) -> str:
        """What to do: everything is."""
        if change.after is None:
            return f"{_place(change.before)}: undo it, then take {change.key} out of the register"
        wanted = change.after.content
        value = f"what is kept in {wanted['kept_in']}" if wanted["secret"] else wanted["value"]
        return (
            f"{_place(change.after)}: set it to {value}; then put {change.key} into the register "
            f"as it was, with the day on which you did it ({wanted['owner']} answers for it)"
        )

    def findings(self, items: Mapping[str, Item], before: Mapping[str, Item]) -> list[str]:
        """What nobody has looked at in time."""
        today = utc_now().date()
        return [words for item in items.values() if (words := _overdue(item, today))]

    def _register(self) -> Register:
        try:
            plain: Any = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError as problem:
            raise ConfigurationError(
                f"there is no register {self.path}",
                hint="write it, or correct configuration.sources.manual_settings.file",
            ) from problem
        except (yaml.YAMLError, UnicodeDecodeError) as problem:
            raise ConfigurationError(
                f"the register {self.path} is no YAML: {' '.join(str(problem).split())}",
                hint="correct the file",
            ) from problem
        try:
            return Register.model_validate(plain)
        except ValidationError as problem:
            # Without what was found: it may be a secret that does not belong there.
            faults = "; ".join(_fault(error) for error in problem.errors(include_input=False))
            raise ConfigurationError(
                f"the register {self.path} is refused: {faults}", hint="correct the file"
            ) from problem


def _content(entry: Entry) -> dict[str, Any]:
    content = entry.model_dump(mode="json", exclude={"name", *_NOT_SET})
    return {**content, "value": entry.value or "", "kept_in": entry.kept_in or ""}


def _overdue(item: Item, today: date) -> str:
    """Words, if it should have been looked at by now."""
    every: timedelta = parse_duration(item.content["verify_every"])
    verified = date.fromisoformat(item.mark)
    if verified + every >= today:
        return ""
    return (
        f"{item.key} was last verified on {verified}, and every {format_duration(every)} is "
        f"wanted; {item.content['owner']} answers for it"
    )


def _place(item: Item | None) -> str:
    assert item is not None  # noqa: S101 - a change has one side at least
    return f"open {item.content['system']}, {item.content['where']}"


def _fault(error: Any) -> str:
    where = ".".join(str(one) for one in error["loc"])
    return f"{where or 'the file'}: {error['msg'].removeprefix('Value error, ')}"
