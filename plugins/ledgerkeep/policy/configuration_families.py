"""Which restore test a source of the configuration belongs to.

The inventory has three of them, by what a failure would need back together: the infrastructure and
who may do what in it, what the application is told, and the services of others. A source that is
named in neither of the two lists is the application's.
"""

from typing import Literal

from ledgerkeep.policy.configuration_sources import Sources
from ledgerkeep.policy.model import Policy

Family = Literal["infrastructure", "application_configuration", "integration_configuration"]
FAMILIES: tuple[Family, ...] = (
    "infrastructure",
    "application_configuration",
    "integration_configuration",
)
_INFRASTRUCTURE = {"repositories", "terraform_state", "iam", "security_groups", "kms", "waf"}
_INTEGRATION = {"auth0", "docusign", "sendgrid"}


def family_of(source: str) -> Family:
    """The family of a source."""
    if source in _INFRASTRUCTURE:
        return "infrastructure"
    return "integration_configuration" if source in _INTEGRATION else "application_configuration"


def sources_of(family: Family, policy: Policy) -> list[str]:
    """The sources of a family that the policy names, in the model's order."""
    if policy.configuration is None:
        return []
    named = policy.configuration.sources
    return [
        name
        for name in Sources.model_fields
        if getattr(named, name) is not None and family_of(name) == family
    ]
