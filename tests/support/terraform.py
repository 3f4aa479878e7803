"""Real Terraform, with the provider that ships with it, on a real bucket and a lock table.

`terraform_data` holds values in the state and touches nothing else; its input stands there in the
clear, which is what makes states worth sealing. The lock table is moto's, over HTTP.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from include.sandbox.objectstore import REGION, ObjectStoreServer
from tests.support.configuration import Account, open_account, policy_with

TABLE = "states-lock"

needs_terraform = pytest.mark.skipif(
    shutil.which("terraform") is None, reason="terraform is not on the PATH"
)


@dataclass(frozen=True)
class Code:
    """A directory of Terraform's code, whose state is in the bucket."""

    directory: Path
    environment: dict[str, str]

    def write(self, resources: str) -> None:
        """Change the code."""
        (self.directory / "main.tf").write_text(resources)

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run terraform, and say what it said."""
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, said
        return said

    def apply(self, resources: str) -> None:
        """Change the code, and make it so."""
        self.write(resources)
        self.run("apply", "-auto-approve", "-input=false", "-no-color")


@dataclass(frozen=True)
class Infrastructure:
    """A bucket of states, its lock table, and who may reach them."""

    s3: Any
    dynamodb: Any
    bucket: str
    server: ObjectStoreServer
    table_address: str
    home: Path

    def account(self, **settings: Any) -> Account:
        """An account whose policy names these states."""
        account = open_account(policy_with(terraform_state={"bucket": self.bucket, **settings}))
        usual = account.access.client

        def client(service: str, connection: str, region: str) -> Any:
            return self.s3 if service == "s3" else usual(service, connection, region)

        return replace(account, access=replace(account.access, client=client))

    def put(self, key: str, text: str) -> None:
        """Write an object."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def get(self, key: str) -> str:
        """Read an object."""
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode()

    def locked_items(self) -> dict[str, dict[str, str]]:
        """What is in the lock table."""
        return {
            one["LockID"]["S"]: {name: value["S"] for name, value in one.items()}
            for one in self.dynamodb.scan(TableName=TABLE)["Items"]
        }

    def code(self, key: str, *locks: str) -> Code:
        """A directory whose backend is this bucket.

        :param locks: of the backend's settings, those that say how it locks.
        """
        directory = self.home / f"code-{key.replace('/', '-')}"
        directory.mkdir()
        (directory / "backend.tf").write_text(_backend(self, key, locks))
        credentials = self.home / "credentials"
        credentials.write_text(
            "[default]\n"
            f"aws_access_key_id = {self.server.user.access_key}\n"
            f"aws_secret_access_key = {self.server.user.secret_key}\n"
        )
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "CHECKPOINT_DISABLE": "1",
        }
        return Code(directory, environment)


def _backend(there: Infrastructure, key: str, locks: tuple[str, ...]) -> str:
    lines = [
        f"bucket = {json.dumps(there.bucket)}",
        f"key = {json.dumps(key)}",
        f"region = {json.dumps(REGION)}",
        "endpoints = {\n"
        f"  s3 = {json.dumps(there.server.endpoint)}\n"
        f"  dynamodb = {json.dumps(there.table_address)}\n"
        "}",
        "use_path_style = true",
        "skip_credentials_validation = true",
        "skip_metadata_api_check = true",
        "skip_region_validation = true",
        "skip_requesting_account_id = true",
        "skip_s3_checksum = true",
        *locks,
    ]
    return 'terraform {\n backend "s3" {\n' + "\n".join(lines) + "\n }\n}\n"


@pytest.fixture
def infrastructure(
    aws: None, s3: ObjectStoreServer, bucket: str, tmp_path: Path
) -> Iterator[Infrastructure]:
    """A real bucket, and a lock table that terraform can reach too."""
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=REGION,
        aws_access_key_id=s3.user.access_key,
        aws_secret_access_key=s3.user.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    dynamodb = boto3.client("dynamodb", REGION)
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Infrastructure(client, dynamodb, bucket, s3, f"http://{host}:{port}", tmp_path)
    server.stop()
