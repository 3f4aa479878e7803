"""Stocking the accounts: everything that the policies' sources export.

Done again, it changes nothing that is there; after a restart of the stand-ins it makes the same
anew. A source that a policy does not name is not stocked.
"""

from collections.abc import Iterable

from include.sandbox.lender import (
    changes,
    files,
    firewall,
    identity,
    keys,
    managed_secrets,
    network,
    parameters,
    services,
    terraform,
)
from include.sandbox.lender.account import LenderAccount
from ledgerkeep.policy.model import Policy


def stock_accounts(url: str, policies: Iterable[Policy], seed: str) -> None:
    """Stock the account of every environment whose policy has a configuration.

    :param url: of the AWS stand-in.
    """
    for policy in policies:
        if policy.configuration is not None:
            stock(LenderAccount.of(policy, url, seed), policy)


def stock(account: LenderAccount, policy: Policy) -> None:
    """Stock one account."""
    assert policy.configuration is not None
    wanted, key = policy.configuration.sources, keys.data_key(account.environment)
    if wanted.parameters:
        parameters.stock(account, wanted.parameters, key)
    if wanted.secrets:
        managed_secrets.stock(account, wanted.secrets, key)
    if wanted.services:
        services.stock(account, wanted.services)
    if wanted.terraform_state:
        terraform.stock(account, wanted.terraform_state)
    if wanted.iam:
        identity.stock(account)
    if wanted.security_groups:
        network.stock(account)
    if wanted.kms:
        keys.stock(account)
    if wanted.waf:
        firewall.stock(account)
    files.stock(account, wanted.files)
    # Last: what was stocked is no news.
    if policy.configuration.events:
        changes.make_queue(account, policy.configuration.events)


def secret_values(account: LenderAccount) -> dict[str, str]:
    """Every secret that is stocked: what it is → its value."""
    kinds = {
        "parameter": parameters.secrets(account),
        "secret": managed_secrets.passwords(account),
        "variable": services.variables(account),
        "terraform output": terraform.outputs(account),
        "file": files.secrets(account),
    }
    return {f"{kind} {name}": value for kind, held in kinds.items() for name, value in held.items()}
