"""The kinds of things that WAF has, in the order in which they can be made.

Rule groups refer to IP sets and pattern sets, web ACLs to all of them; logging and associations
belong to a web ACL. So what a kind refers to comes before it in this list, and is deleted after it.
(WAFV2 API reference.)
"""

from dataclasses import dataclass

LOGGING = "logging"
ASSOCIATIONS = "associations"


@dataclass(frozen=True)
class Kind:
    """One kind of thing, and what WAF calls it."""

    name: str
    member: str
    """Of the answer of its Get; its Create and Update are called so too."""
    listed: str
    """Member of the answer of its List."""
    operation: str
    """The end of the client's methods: `get_ip_set`, `create_ip_set`."""
    operations: str
    """The end of the one that lists them."""
    arn: str
    """The part of an ARN that tells the kind."""


KINDS = (
    Kind("ip-set", "IPSet", "IPSets", "ip_set", "ip_sets", "ipset"),
    Kind(
        "regex-set",
        "RegexPatternSet",
        "RegexPatternSets",
        "regex_pattern_set",
        "regex_pattern_sets",
        "regexpatternset",
    ),
    Kind("rule-group", "RuleGroup", "RuleGroups", "rule_group", "rule_groups", "rulegroup"),
    Kind("web-acl", "WebACL", "WebACLs", "web_acl", "web_acls", "webacl"),
)
WEB_ACL = KINDS[-1]
BY_NAME = {kind.name: kind for kind in KINDS}
BY_ARN = {kind.arn: kind for kind in KINDS}
RANK = {name: at for at, name in enumerate([*BY_NAME, LOGGING, ASSOCIATIONS])}
