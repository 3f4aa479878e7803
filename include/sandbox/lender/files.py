"""The lender's configuration files: a versioned bucket for each place, and the files in it."""

from include.sandbox.lender.account import LenderAccount
from include.sandbox.lender.seed import secret_value
from ledgerkeep.policy.configuration_sources import ConfigurationFiles

SECRET = "worker.env"


def secrets(account: LenderAccount) -> dict[str, str]:
    """File → the secret in it."""
    return {SECRET: secret_value(account.seed, account.environment, "file")}


def stock(account: LenderAccount, wanted: ConfigurationFiles | None) -> None:
    """Make the buckets with their files; what is there stays."""
    for place in wanted.in_buckets if wanted else ():
        region = place.region or account.region
        s3 = account.client("s3", region)
        if place.bucket in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
            continue
        s3.create_bucket(
            Bucket=place.bucket, CreateBucketConfiguration={"LocationConstraint": region}
        )
        s3.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
        for path, body in _files(account).items():
            s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}{path}", Body=body.encode())


def _files(account: LenderAccount) -> dict[str, str]:
    password = secrets(account)[SECRET]
    application = f"environment: {account.environment}\ninterest: {{day_count: act/360}}\n"
    return {
        "application.yaml": application,
        "nginx/loans.conf": "server {\n  listen 443 ssl;\n  client_max_body_size 25m;\n}\n",
        "calendar/holidays.csv": "date,name\n2026-12-25,Christmas Day\n2027-01-01,New Year\n",
        SECRET: f"QUEUE_PASSWORD={password}\n",
    }
