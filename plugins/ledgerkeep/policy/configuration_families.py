"""Which restore test a source of the configuration belongs to.

The inventory has three of them, by what a failure would need back together. Each source's settings
say which is theirs.
"""

from typing import get_args

from ledgerkeep.policy.configuration_sources import Family, Sources
from ledgerkeep.policy.model import Policy

FAMILIES: tuple[Family, ...] = get_args(Family)


def sources_of(family: Family, policy: Policy) -> list[str]:
    """The sources of a family that the policy names, in the model's order."""
    if policy.configuration is None:
        return []
    named = {name: getattr(policy.configuration.sources, name) for name in Sources.model_fields}
    return [name for name, one in named.items() if one is not None and one.family == family]
