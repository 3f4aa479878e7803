"""The configuration's sources in a policy: what of each is exported, and where it is.

The name of a field of `Sources` is the name of the source's module below
`ledgerkeep.configuration.sources`.
"""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from ledgerkeep.policy.values import Duration, Name, PolicyModel


class ConfigurationSource(PolicyModel):
    """What all sources may say."""

    connection_id: Name | None = Field(
        default=None, description="Of the service; null: configuration.connection_id."
    )
    keep: Duration | None = Field(
        default=None, description="Versions that are not older stay, however many there are."
    )

    def buckets(self) -> set[str]:
        """Buckets whose objects it exports: a change of one of them is a change of it."""
        return set()


ParameterPath = Annotated[str, Field(pattern=r"^/([A-Za-z0-9_.\-]+/)*$", max_length=900)]


class ParameterStore(ConfigurationSource):
    """Parameters of Systems Manager's Parameter Store."""

    paths: Annotated[list[ParameterPath], Field(min_length=1)] = Field(
        description="Everything below them; each ends with a slash."
    )


SecretPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9/_+=.@\-]+$", max_length=512)]


class SecretsManager(ConfigurationSource):
    """Secrets of Secrets Manager."""

    prefixes: Annotated[list[SecretPrefix], Field(min_length=1)] = Field(
        description="Every secret whose name begins with one of them."
    )
    recovery_window_days: Annotated[int, Field(ge=7, le=30)] = Field(
        default=30, description="What a recovery deletes can be restored for so many days."
    )


class EcsCluster(PolicyModel):
    """A cluster, and which of its services count."""

    name: Name
    services: list[Name] = Field(default=[], description="Empty: all of them.")


VariablePattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*?\-]{1,120}$")]


class Services(ConfigurationSource):
    """Services of ECS, with their task definitions."""

    clusters: Annotated[list[EcsCluster], Field(min_length=1)]
    secret_names: list[VariablePattern] = Field(
        default=[],
        description="Variables whose values are secret, besides those that look like it; with * "
        "and ?.",
    )
    scaled: list[Name] = Field(
        default=[],
        description="Services whose number of tasks auto scaling decides: it is not exported.",
    )
    stable_within: Duration = Field(description="A deployment that takes longer has failed.")
    poll: Annotated[Duration, Field(ge=timedelta(seconds=1))] = Field(
        default=timedelta(seconds=10), description="Between two looks at a deployment."
    )


class Sources(PolicyModel):
    """What is exported; a missing source is not."""

    parameters: ParameterStore | None = None
    secrets: SecretsManager | None = None
    services: Services | None = None
