"""The lender's parameters: settings in the clear, secure strings for what is secret."""

from include.sandbox.lender.account import TAGS, LenderAccount
from include.sandbox.lender.seed import secret_value
from ledgerkeep.policy.configuration_sources import ParameterStore

PLAIN = {
    "ALLOWED_HOSTS": "loans.example.com,backoffice.example.com",
    "DEBUG": "false",
    "INTEREST_DAY_COUNT": "30E/360",
    "LOG_LEVEL": "INFO",
    "MAX_LOAN_AMOUNT_EUR": "750000",
    "SESSION_TIMEOUT_SECONDS": "1800",
}
SECURE = ("DATABASE_PASSWORD", "DJANGO_SECRET_KEY", "PAYMENT_GATEWAY_TOKEN")


def secrets(account: LenderAccount) -> dict[str, str]:
    """Name → value. One needs escaping wherever it is quoted, to be found if it ever leaks."""
    found = {name: secret_value(account.seed, account.environment, name) for name in SECURE}
    found["DATABASE_PASSWORD"] = f'{found["DATABASE_PASSWORD"]}"&=\\é/+'
    return found


def stock(account: LenderAccount, wanted: ParameterStore, key: str) -> int:
    """Write the parameters below the first path that the policy names; returns how many.

    :param key: alias of the KMS key for secure strings.
    """
    ssm, path = account.client("ssm"), wanted.paths[0]
    there = {
        one["Name"]
        for page in ssm.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        for one in page["Parameters"]
    }
    requests = [
        {"Name": f"{path}{name}", "Value": value, "Type": "String"} for name, value in PLAIN.items()
    ] + [
        {"Name": f"{path}{name}", "Value": value, "Type": "SecureString", "KeyId": key}
        for name, value in secrets(account).items()
    ]
    for request in requests:
        if request["Name"] not in there:
            ssm.put_parameter(**request, Tags=TAGS, Description=f"of the loan system: {path}")
    return len(requests)
