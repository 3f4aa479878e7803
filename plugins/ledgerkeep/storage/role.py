"""A role of another account, assumed for as long as the work lasts.

Credentials of a role end after an hour or so, and a copy of a large backup takes longer. botocore
renews them by itself when they near their end; here it is only told of which role, and through
which STS. A role that is refused is told as what it is: without this, the first request to the
bucket would say that *it* was denied.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import boto3
import botocore.session
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from ledgerkeep.errors import StoreAccessDenied, StoreUnavailable
from ledgerkeep.storage.session import sharing

SESSION_NAME = "ledgerkeep"
"""How the role's account names us in its trail."""


def assume_role(
    session: boto3.Session, role_arn: str, *, sts_endpoint: str | None = None
) -> boto3.Session:
    """A session that acts as the role and renews its credentials; sends no request yet.

    The first request that needs credentials raises `StoreAccessDenied` when the role is refused,
    `StoreUnavailable` when STS does not answer.
    (AWS: STS API reference, AssumeRole; one hour is what a role allows unless it says otherwise.)

    :param session: who asks for the role.
    :param sts_endpoint: None leaves it to boto3's own chain.
    """
    ours = session.get_credentials()
    if ours is None:
        raise StoreAccessDenied(
            f"no credentials were found with which to assume the role {role_arn}",
            hint="set them in the Airflow connection that the vault names, "
            "or give the worker a role",
        )
    fetcher = AssumeRoleCredentialFetcher(
        partial(session.client, endpoint_url=sts_endpoint),
        ours,
        role_arn,
        extra_args={"RoleSessionName": SESSION_NAME},
    )
    provider = _RoleProvider(partial(_renew, fetcher.fetch_credentials, role_arn))
    assumed = botocore.session.get_session()
    assumed.register_component("credential_provider", CredentialResolver([provider]))
    return sharing(boto3.Session(botocore_session=assumed, region_name=session.region_name))


class _RoleProvider(CredentialProvider):
    """The only place where the assumed session looks for credentials."""

    METHOD = "assume-role"

    def __init__(self, renew: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._renew = renew

    def load(self) -> DeferredRefreshableCredentials:
        """Credentials that are fetched when they are first needed, and again before they end."""
        return DeferredRefreshableCredentials(self._renew, self.METHOD)


def _renew(fetch: Callable[[], dict[str, Any]], role_arn: str) -> dict[str, Any]:
    try:
        return fetch()
    except ClientError as problem:
        code = problem.response["Error"].get("Code", "")
        raise StoreAccessDenied(
            f"the role {role_arn} may not be assumed ({code})",
            hint="allow sts:AssumeRole on it to the identity of the worker, "
            "and let the role's trust policy name that identity",
        ) from problem
    except NoCredentialsError as problem:
        raise StoreAccessDenied(
            f"no credentials were found with which to assume the role {role_arn}",
            hint="set them in the Airflow connection that the vault names, "
            "or give the worker a role",
        ) from problem
    except BotoCoreError as problem:
        raise StoreUnavailable(
            f"STS did not answer when the role {role_arn} was to be assumed: "
            f"{' '.join(str(problem).split())}",
            hint="check the network between worker and STS, and the endpoint of STS in the "
            "Airflow connection that the vault names",
        ) from problem
