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


class ChangeEvents(PolicyModel):
    """Changes told by a queue, so that a version is stored at once."""

    connection_id: Name = Field(description="AWS connection of the queue.")
    region: Name
    queue_url: Annotated[str, Field(pattern=r"^https?://\S+$")] = Field(
        description="SQS queue that EventBridge sends the services' API calls to."
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
    sources: Sources = Sources()
