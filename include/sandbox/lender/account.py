"""An environment's AWS account on the stand-in, and how it is entered.

The sandbox's own credentials lead to an account that holds nothing; from there one assumes a role
of the environment's account, as a worker does in production.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config

from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.session import open_session

ROLE = "ledgerkeep"
TAGS = [{"Key": "Project", "Value": "LoanManagementSystem"}]
"""What is the loan system's has these."""
_HOUR = 3600


def account_id(environment: str) -> str:
    """Twelve digits that follow from the environment's name."""
    return f"{10**11 + zlib.crc32(environment.encode()):012d}"


def role_arn(environment: str) -> str:
    """The role that Ledgerkeep has in the account."""
    return f"arn:aws:iam::{account_id(environment)}:role/{ROLE}"


@dataclass(frozen=True)
class LenderAccount:
    """The account of one environment."""

    url: str
    """Of the AWS stand-in."""
    environment: str
    region: str
    seed: str
    """What its secrets follow from."""

    @classmethod
    def of(cls, policy: Policy, url: str, seed: str) -> "LenderAccount":
        """The account of a policy that has a configuration."""
        assert policy.configuration is not None
        return cls(url, policy.environment, policy.configuration.region, seed)

    @property
    def id(self) -> str:
        """Twelve digits."""
        return account_id(self.environment)

    def client(
        self, service: Any, region: str | None = None, *, config: Config | None = None
    ) -> Any:
        """A client of the account.

        :param region: the environment's unless another one is asked for.
        """
        return self._session.client(
            service, endpoint_url=self.url, region_name=region or self.region, config=config
        )

    @cached_property
    def _session(self) -> boto3.Session:
        sts = boto3.client(
            "sts",
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
        )
        role = sts.assume_role(
            RoleArn=role_arn(self.environment), RoleSessionName="sandbox", DurationSeconds=_HOUR
        )["Credentials"]
        return open_session(
            role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"], self.region
        )
