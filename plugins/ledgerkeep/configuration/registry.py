"""The sources that a policy names, opened.

The name of a section below `configuration.sources` is the name of a module in
`ledgerkeep.configuration.sources`; that module's `open_source` opens it. There is no list to add
a new one to.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from ledgerkeep.errors import PolicyError
from ledgerkeep.policy.configuration import Configuration
from ledgerkeep.policy.configuration_sources import ConfigurationSource, Sources
from ledgerkeep.policy.model import Policy

if TYPE_CHECKING:  # DAG files read the names, and import nothing heavy
    from ledgerkeep.configuration.access import Access
    from ledgerkeep.configuration.source import Source


class SourceModule(Protocol):
    """What a module of a source offers."""

    def open_source(
        self, access: "Access", settings: ConfigurationSource, policy: Policy
    ) -> "Source":
        """The source, ready to be asked."""


def source_names(policy: Policy) -> list[str]:
    """The sources that the policy names, in the model's order."""
    if policy.configuration is None:
        return []
    sources = policy.configuration.sources
    return [name for name in Sources.model_fields if getattr(sources, name) is not None]


def source_titles(policy: Policy) -> dict[str, str]:
    """Name → what a person calls it, of the sources that the policy names."""
    return {name: settings_of(name, policy).title or name for name in source_names(policy)}


def open_source(name: str, access: "Access", policy: Policy) -> "Source":
    """One source of a policy.

    :raises PolicyError: the policy does not name it.
    """
    settings = settings_of(name, policy)
    module: SourceModule = import_module(f"ledgerkeep.configuration.sources.{name}")
    return module.open_source(access, settings, policy)


def settings_of(name: str, policy: Policy) -> ConfigurationSource:
    """A source's section.

    :raises PolicyError: the policy does not name it.
    """
    names = source_names(policy)
    if policy.configuration is None or name not in names:
        raise PolicyError(
            f"the policy of {policy.environment} has no source {name}",
            hint=f"it has {', '.join(names) or 'none'}; choose one, or add "
            f"configuration.sources.{name}",
        )
    found: ConfigurationSource = getattr(policy.configuration.sources, name)
    return found


def configuration_of(policy: Policy) -> Configuration:
    """The configuration's section of a policy.

    :raises PolicyError: the policy has none.
    """
    if policy.configuration is None:
        raise PolicyError(
            f"the policy of {policy.environment} has no configuration",
            hint="add the section configuration to the policy",
        )
    return policy.configuration
