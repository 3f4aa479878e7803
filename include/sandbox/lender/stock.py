"""Stocking the accounts: everything that the policies' sources export.

Done again, it changes nothing that is there; after a restart of the stand-ins it makes the same
anew. A source that a policy does not name is not stocked.
"""

from collections.abc import Iterable

from include.sandbox.lender import parameters
from include.sandbox.lender.account import LenderAccount
from include.sandbox.lender.changes import make_queue
from include.sandbox.lender.keys import kms_keys
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
    sources = policy.configuration.sources
    key = next(iter(kms_keys(policy)))
    if sources.parameters:
        parameters.stock(account, sources.parameters, key)
    # Last: what was stocked is no news.
    if policy.configuration.events:
        make_queue(account, policy.configuration.events)


def secret_values(account: LenderAccount) -> dict[str, str]:
    """Every secret that was stocked: what it is → its value."""
    return {f"parameter {name}": one for name, one in parameters.secrets(account).items()}
