"""An account whose IAM is asked about every request: a worker, a vault, and the vault's role.

It is moto, the only stand-in here that has roles; SeaweedFS stands for what a store does.
"""

import json
from collections.abc import Iterator
from datetime import timedelta

import boto3
import httpx
import pytest

from ledgerkeep.policy.model import Storage, Vault
from ledgerkeep.storage.open import StoreAccess
from ledgerkeep.storage.vault import OpenVault, open_vault
from ledgerkeep.worker import WorkerSettings
from tests.support.aws_server import empty_aws

REGION = "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/vault"


def client(url: str, service: str):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="AKIA",
        aws_secret_access_key="secret",
    )


def statement(action: str) -> str:
    rule = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [rule]})


class Account:
    """moto's account, which asks IAM about every request: a worker, a vault, the vault's role."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._check(False)
        iam = client(url, "iam")
        iam.create_user(UserName="worker")
        self.key = iam.create_access_key(UserName="worker")["AccessKey"]
        trust = json.loads(statement("sts:AssumeRole"))
        trust["Statement"][0] |= {"Principal": {"AWS": "*"}}
        iam.create_role(RoleName="vault", AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName="vault", PolicyName="write", PolicyDocument=statement("s3:*"))
        client(url, "s3").create_bucket(
            Bucket="vault",
            ObjectLockEnabledForBucket=True,
            CreateBucketConfiguration={"LocationConstraint": REGION},
        )
        self._check(True)

    def allow_the_role(self) -> None:
        """The worker may assume it from now on."""
        self._check(False)
        client(self.url, "iam").put_user_policy(
            UserName="worker", PolicyName="assume", PolicyDocument=statement("sts:AssumeRole")
        )
        self._check(True)

    def open(self, role_arn: str | None = ROLE) -> OpenVault:
        """The vault, opened with the worker's own key."""
        vault = Vault(
            connection_id="vault",
            bucket="vault",
            region=REGION,
            role_arn=role_arn,
            locked=timedelta(days=365),
        )
        ours = Storage(connection_id="store", bucket="ours", region=REGION, part_size_mib=5)
        access = StoreAccess(
            self.url,
            access_key=self.key["AccessKeyId"],
            secret_key=self.key["SecretAccessKey"],
        )
        settings = WorkerSettings(store_encryption="none", store_patience=0)
        return open_vault(vault, ours, settings, access, sts_endpoint=self.url)

    def _check(self, enforced: bool) -> None:
        free = "0" if enforced else "1000000"
        httpx.post(f"{self.url}/moto-api/reset-auth", content=free, trust_env=False)


@pytest.fixture
def account() -> Iterator[Account]:
    with empty_aws() as url:
        try:
            yield Account(url)
        finally:
            httpx.post(f"{url}/moto-api/reset-auth", content="1000000", trust_env=False)
