"""Contradictions between the configuration's sections of a policy."""

from collections.abc import Iterator

from ledgerkeep.policy.configuration import Configuration
from ledgerkeep.policy.configuration_sources import (
    ConfigurationFiles,
    ManagementApiSource,
    Services,
    Sources,
)
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
    if configuration.sources.files is not None:
        yield from _files(configuration.sources.files)
    yield from _recovery(configuration)
    yield from _test_tenants(configuration.sources)


def _recovery(configuration: Configuration) -> Iterator[tuple[FieldPath, str, str]]:
    """What is planned must still be there when the last approver answers."""
    recovery, held = configuration.recovery, configuration.retention.recovery_hold
    if recovery is not None and recovery.approval and held <= recovery.response_timeout:
        yield (
            ("configuration", "retention", "recovery_hold"),
            format_duration(held),
            f"more than {format_duration(recovery.response_timeout)}, as "
            "configuration.recovery.response_timeout",
        )


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


def _files(files: ConfigurationFiles) -> Iterator[tuple[FieldPath, str, str]]:
    at = ("configuration", "sources", "files")
    names = [one.name for one in files.in_buckets] + [one.name for one in files.in_directories]
    if not names:
        yield at, "no place", "in_buckets or in_directories"
    if len(set(names)) < len(names):
        yield at, "a place named twice", "each name once, since keys begin with it"


def _test_tenants(sources: Sources) -> Iterator[tuple[FieldPath, str, str]]:
    for name in Sources.model_fields:
        source = getattr(sources, name)
        if isinstance(source, ManagementApiSource):
            at = ("configuration", "sources", name, "test_connection_id")
            if source.test_connection_id == source.connection_id:
                yield at, source.connection_id, "the connection of another tenant, or null"
