"""Contradictions in what a policy says of infrastructure: its states and its repositories."""

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from ledgerkeep.policy.configuration import Configuration
from ledgerkeep.policy.configuration_sources import Repositories, TerraformState
from ledgerkeep.policy.document import FieldPath

_STATES = ("configuration", "sources", "terraform_state")
_REPOSITORIES = ("configuration", "sources", "repositories")
_HERE = ("127.0.0.1", "localhost")


def infrastructure_contradictions(
    configuration: Configuration | None,
) -> Iterator[tuple[FieldPath, str, str]]:
    """What the policy says of infrastructure that cannot all be meant: field, found, allowed."""
    if configuration is None:
        return
    if configuration.sources.terraform_state is not None:
        yield from _states(configuration.sources.terraform_state)
    if configuration.sources.repositories is not None:
        yield from _repositories(configuration.sources.repositories)


def _states(states: TerraformState) -> Iterator[tuple[FieldPath, str, str]]:
    if not states.prefixes and not states.keys:
        yield (*_STATES, "bucket"), "no state in it", "terraform_state.prefixes, or keys"
    for at, plan in enumerate(states.plans):
        field = (*_STATES, "plans", at)
        if not plan.directory.is_absolute():
            yield (*field, "directory"), f"{str(plan.directory)!r}", "an absolute path"
        if plan.key not in states.keys and not _is_below(plan.key, states.prefixes):
            yield (
                (*field, "key"),
                f"{plan.key!r}, which is not exported",
                "a key of terraform_state.keys, or one below terraform_state.prefixes",
            )


def _is_below(key: str, prefixes: list[str]) -> bool:
    return key.endswith(".tfstate") and any(key.startswith(one) for one in prefixes)


def _repositories(settings: Repositories) -> Iterator[tuple[FieldPath, str, str]]:
    names = Counter(one.name for one in settings.repositories)
    for at, repository in enumerate(settings.repositories):
        field = (*_REPOSITORIES, "repositories", at)
        if names[repository.name] > 1:
            yield (*field, "name"), f"{repository.name!r} twice", "a name of its own"
        found = urlsplit(repository.url)
        if found.password is not None:
            yield (*field, "url"), "a password in it", "connection_id, and no password"
        if found.scheme == "http" and found.hostname not in _HERE:
            yield (*field, "url"), "http, which is not encrypted", "https or ssh"
        connection = repository.connection_id or settings.connection_id
        if repository.host == "github" and connection is None:
            yield (
                (*field, "host"),
                "'github' without a connection to its API",
                "connection_id, or host: none",
            )
