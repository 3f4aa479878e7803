"""What sources in AWS have in common: which connection and region, and whose account that is."""

from ledgerkeep.aws import ask
from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.registry import configuration_of
from ledgerkeep.configuration.source import Scope
from ledgerkeep.policy.configuration_sources import ConfigurationSource
from ledgerkeep.policy.model import Policy


def connection_of(settings: ConfigurationSource, policy: Policy) -> tuple[str, str]:
    """(AWS connection, region) of a source: its own, or the section's."""
    configuration = configuration_of(policy)
    return settings.connection_id or configuration.connection_id, configuration.region


def account_of(access: Access, settings: ConfigurationSource, policy: Policy) -> Scope:
    """Whose account a source's connection leads to, as AWS says itself.

    (AWS STS API reference, GetCallerIdentity: nobody can be denied it.)

    :raises AwsRefused, AwsUnavailable: the credentials are wrong, or AWS does not answer.
    """
    _, region = connection_of(settings, policy)
    account = caller_of(access, settings, policy).split(":")[4]
    return Scope(environment=policy.environment, account=account, region=region)


def caller_of(access: Access, settings: ConfigurationSource, policy: Policy) -> str:
    """The ARN of whom a source's connection sends its requests as.

    :raises AwsRefused, AwsUnavailable: the credentials are wrong, or AWS does not answer.
    """
    connection, region = connection_of(settings, policy)
    sts = access.client("sts", connection, region)
    found = ask(
        "say whose account it is",
        sts.get_caller_identity,
        denied=f"correct the credentials of the connection {connection}",
        connection=f"{connection}",
    )
    arn: str = found["Arn"]
    return arn
