"""Contradictions between the configuration's sections of a policy."""

from collections.abc import Iterator

from ledgerkeep.policy.configuration import Configuration
from ledgerkeep.policy.configuration_sources import Services
from ledgerkeep.policy.document import FieldPath
from ledgerkeep.policy.values import format_duration


def configuration_contradictions(
    configuration: Configuration | None,
) -> Iterator[tuple[FieldPath, str, str]]:
    """What the policy says of configuration that cannot all be meant: field, found, allowed."""
    if configuration is None:
        return
    services = configuration.sources.services
    if configuration.rollback is not None and services is None:
        found = "services are to be rolled back that the policy does not name"
        yield ("configuration", "rollback"), found, "configuration.sources.services"
    if services is not None:
        yield from _services(services)


def _services(services: Services) -> Iterator[tuple[FieldPath, str, str]]:
    at = ("configuration", "sources", "services")
    if services.stable_within <= services.poll:
        yield (
            (*at, "stable_within"),
            format_duration(services.stable_within),
            f"more than {format_duration(services.poll)}, as poll",
        )
    names = [cluster.name for cluster in services.clusters]
    if len(set(names)) < len(names):
        yield (*at, "clusters"), "a cluster named twice", "each once, with all of its services"
