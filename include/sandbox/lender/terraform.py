"""The lender's Terraform states: a versioned bucket, the states in it, and the table of locks."""

import hashlib
import json
from typing import Any

from include.sandbox.lender.account import LenderAccount
from include.sandbox.lender.seed import key_id, secret_value
from ledgerkeep.policy.configuration_sources import TerraformState

TERRAFORM = "1.11.4"
_CODE = """\
terraform {{
  backend "s3" {{
    bucket                      = "{bucket}"
    key                         = "{key}"
    region                      = "{region}"
    endpoints                   = {{ s3 = "{url}" }}
    access_key                  = "sandbox"
    secret_key                  = "sandbox"
    use_path_style              = true
    skip_credentials_validation = true
    skip_requesting_account_id  = true
    skip_metadata_api_check     = true
  }}
}}

resource "terraform_data" "network" {{
  input = "{network}"
}}

resource "terraform_data" "replication_password" {{
  input = sensitive("set by hand")

  lifecycle {{
    ignore_changes = [input]
  }}
}}

output "network" {{
  value = terraform_data.network.output
}}

output "replication_password" {{
  value     = terraform_data.replication_password.output
  sensitive = true
}}
"""


def outputs(account: LenderAccount) -> dict[str, str]:
    """Sensitive outputs: Terraform keeps them in its state in the clear."""
    return {"replication_password": secret_value(account.seed, account.environment, "terraform")}


def stock(account: LenderAccount, wanted: TerraformState) -> None:
    """Make the bucket with a state under every key that the policy names, and the table."""
    region = wanted.region or account.region
    s3 = account.client("s3", region)
    if wanted.bucket not in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(
            Bucket=wanted.bucket, CreateBucketConfiguration={"LocationConstraint": region}
        )
        s3.put_bucket_versioning(
            Bucket=wanted.bucket, VersioningConfiguration={"Status": "Enabled"}
        )
        bodies = {key: json.dumps(state(account, key), indent=2).encode() for key in wanted.keys}
        for key, body in bodies.items():
            s3.put_object(Bucket=wanted.bucket, Key=key, Body=body, ContentType="application/json")
        if wanted.lock_table:
            digests = {
                f"{wanted.bucket}/{key}-md5": hashlib.md5(body, usedforsecurity=False).hexdigest()
                for key, body in bodies.items()
            }
            _make_lock_table(account.client("dynamodb", region), wanted.lock_table, digests)


def state(account: LenderAccount, key: str, serial: int = 1) -> dict[str, Any]:
    """A state in Terraform's format, as it writes it itself; what is in it needs no provider."""
    network = network_name(account)
    found = outputs(account)
    return {
        "version": 4,
        "terraform_version": TERRAFORM,
        "serial": serial,
        "lineage": key_id(account.seed, account.environment, key),
        "outputs": {
            "network": {"value": network, "type": "string"},
            **{
                name: {"value": value, "type": "string", "sensitive": True}
                for name, value in found.items()
            },
        },
        "resources": [
            _resource(account, name, value, sensitive=name in found)
            for name, value in {"network": network, **found}.items()
        ],
        "check_results": None,
    }


def network_name(account: LenderAccount) -> str:
    """What the code calls the network."""
    return f"loan-management-{account.environment}"


def code(account: LenderAccount, wanted: TerraformState, key: str) -> str:
    """The code that this is the state of: `terraform plan` finds nothing to do."""
    return _CODE.format(
        bucket=wanted.bucket,
        key=key,
        region=wanted.region or account.region,
        url=account.url,
        network=network_name(account),
    )


def _resource(account: LenderAccount, name: str, value: str, *, sensitive: bool) -> dict[str, Any]:
    secret = [[{"type": "get_attr", "value": "input"}]]
    return {
        "mode": "managed",
        "type": "terraform_data",
        "name": name,
        "provider": 'provider["terraform.io/builtin/terraform"]',
        "instances": [
            {
                "schema_version": 0,
                "attributes": {
                    "id": key_id(account.seed, account.environment, "resource", name),
                    "input": {"value": value, "type": "string"},
                    "output": {"value": value, "type": "string"},
                    "triggers_replace": None,
                },
                "sensitive_attributes": secret if sensitive else [],
            }
        ],
    }


def _make_lock_table(dynamodb: Any, name: str, digests: dict[str, str]) -> None:
    """With the digest of each state, as Terraform leaves it there."""
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for path, digest in digests.items():
        dynamodb.put_item(TableName=name, Item={"LockID": {"S": path}, "Digest": {"S": digest}})
