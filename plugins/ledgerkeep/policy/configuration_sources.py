"""The configuration's sources in a policy: what of each is exported, and where it is.

The name of a field of `Sources` is the name of the source's module below
`ledgerkeep.configuration.sources`.
"""

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


ParameterPath = Annotated[str, Field(pattern=r"^/([A-Za-z0-9_.\-]+/)*$", max_length=900)]


class ParameterStore(ConfigurationSource):
    """Parameters of Systems Manager's Parameter Store."""

    paths: Annotated[list[ParameterPath], Field(min_length=1)] = Field(
        description="Everything below them; each ends with a slash."
    )


class Sources(PolicyModel):
    """What is exported; a missing source is not."""

    parameters: ParameterStore | None = None
