"""The configuration's section of a policy: how often it is exported, how long versions are kept.

Which sources there are, and what each needs, is in `ledgerkeep.policy.configuration_sources`.
"""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from ledgerkeep.policy.configuration_sources import Sources
from ledgerkeep.policy.values import Cron, Duration, Name, PolicyModel


class ConfigurationRetention(PolicyModel):
    """How long versions are kept, each source for itself."""

    versions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=10, description="The newest ones stay, however old they are."
    )
    major: Duration = Field(
        default=timedelta(days=365), description="Major versions stay this long."
    )
    recovery_hold: Duration = Field(
        default=timedelta(days=2),
        description="What a recovery goes back to stays this long from its plan on.",
    )


class ChangeEvents(PolicyModel):
    """Changes told by a queue, so that a version is stored at once."""

    queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")] = Field(
        description="SQS queue, by its name, that EventBridge sends the services' changes to."
    )
    connection_id: Name | None = Field(
        default=None, description="AWS connection of the queue; null: configuration.connection_id."
    )
    region: Name | None = Field(
        default=None, description="Of the queue; null: configuration.region."
    )
    redeliver_after: Annotated[Duration, Field(ge=timedelta(minutes=1), le=timedelta(hours=12))] = (
        Field(
            default=timedelta(minutes=15),
            description="A change not stored by then is told again; longer than exports take.",
        )
    )


class ConfigurationRecovery(PolicyModel):
    """Recovery of configuration on demand."""

    approval: bool = Field(default=True, description="A second person has to approve the plan.")
    approvers: list[Name] = Field(
        default=[], description="Airflow users who may approve; empty: everybody but who asked."
    )
    response_timeout: Duration = Field(
        default=timedelta(hours=4), description="Without an answer within it: rejected."
    )


class ServiceRollback(PolicyModel):
    """Services back to a version on demand."""

    approval: bool = Field(default=True, description="A second person has to approve the plan.")
    approvers: list[Name] = Field(
        default=[], description="Airflow users who may approve; empty: everybody but who asked."
    )
    response_timeout: Duration = Field(
        default=timedelta(hours=1), description="Without an answer within it: rejected."
    )


class Configuration(PolicyModel):
    """What the system is set to, exported and put back."""

    connection_id: Name = Field(description="AWS connection of the account.")
    region: Name
    sealing_key: Name = Field(
        description="KMS key (id, ARN or alias) that secrets are encrypted with on the worker."
    )
    schedule: Cron | None = Field(
        description="Cron in UTC; its runs read everything anew. Changes are told by events."
    )
    events: ChangeEvents | None = None
    retention: ConfigurationRetention = ConfigurationRetention()
    recovery: ConfigurationRecovery | None = None
    rollback: ServiceRollback | None = Field(
        default=None, description="Of the services of configuration.sources.services."
    )
    sources: Sources = Sources()
