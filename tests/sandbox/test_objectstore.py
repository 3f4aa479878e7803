"""The sandbox's object store: who opens which bucket."""

import contextlib
import os
import secrets
import signal
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from include.sandbox import objectstore
from include.sandbox.objectstore import Credentials

pytestmark = pytest.mark.integration


def test_each_account_opens_its_own_buckets_and_none_of_the_others(run_directory: Path) -> None:
    user = Credentials("user", secrets.token_hex(8), ("ours-a", "ours-b"))
    vault = Credentials("vault", secrets.token_hex(8), ("theirs",))
    admin = Credentials("admin", secrets.token_hex(8))
    server = objectstore.start(
        run_directory / secrets.token_hex(4), user=user, admin=admin, vault=vault
    )
    try:
        for bucket in ("ours-a", "ours-b", "theirs"):
            objectstore.make_bucket(server, bucket)
        for who, others in ((user, vault), (vault, user)):
            client = boto3.client(
                "s3",
                endpoint_url=server.endpoint,
                region_name=objectstore.REGION,
                aws_access_key_id=who.access_key,
                aws_secret_access_key=who.secret_key,
            )
            for bucket in who.buckets:
                client.put_object(Bucket=bucket, Key="k", Body=b"x")
                assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
                lock = client.get_object_lock_configuration(Bucket=bucket)
                assert lock["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"
            for bucket in others.buckets:
                with pytest.raises(ClientError, match="AccessDenied"):
                    client.list_objects_v2(Bucket=bucket)
                with pytest.raises(ClientError, match="AccessDenied"):
                    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
