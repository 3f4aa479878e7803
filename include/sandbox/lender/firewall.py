"""The lender's web firewall: an IP set, and a web ACL whose rules refer to it."""

from typing import Any

from include.sandbox.lender.account import LenderAccount

WEB_ACL, IP_SET = "loan-management", "loan-management-blocked"
_SCOPE = "REGIONAL"
_REQUESTS_IN_FIVE_MINUTES = 2000


def stock(account: LenderAccount) -> None:
    """Make them."""
    waf = account.client("wafv2")
    if any(one["Name"] == WEB_ACL for one in waf.list_web_acls(Scope=_SCOPE)["WebACLs"]):
        return
    blocked = waf.create_ip_set(
        Name=IP_SET,
        Scope=_SCOPE,
        Description="addresses that were seen attacking",
        IPAddressVersion="IPV4",
        Addresses=["192.0.2.0/24", "198.51.100.7/32"],
    )["Summary"]["ARN"]
    waf.create_web_acl(
        Name=WEB_ACL,
        Scope=_SCOPE,
        Description="in front of the loan system",
        DefaultAction={"Allow": {}},
        Rules=[
            _rule("blocked", 0, {"IPSetReferenceStatement": {"ARN": blocked}}),
            _rule(
                "rate",
                1,
                {
                    "RateBasedStatement": {
                        "Limit": _REQUESTS_IN_FIVE_MINUTES,
                        "AggregateKeyType": "IP",
                    }
                },
            ),
        ],
        VisibilityConfig=_seen_as(WEB_ACL),
    )


def _rule(name: str, priority: int, statement: dict[str, Any]) -> dict[str, Any]:
    return {
        "Name": name,
        "Priority": priority,
        "Statement": statement,
        "Action": {"Block": {}},
        "VisibilityConfig": _seen_as(name),
    }


def _seen_as(name: str) -> dict[str, Any]:
    return {
        "SampledRequestsEnabled": True,
        "CloudWatchMetricsEnabled": True,
        "MetricName": name,
    }
