"""WAF as a source: names for ARNs, read again only when changed, put back under WAF's lock.

moto has no ListResourcesForWebACL and keeps what a request leaves out of an update; the first is
completed (`complete_moto`), the second is avoided. What it never does is stubbed, or done by
`Busy`, our own client that is refused now and then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pytest
from botocore.stub import Stubber

from include.sandbox.web_firewall import complete_moto
from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item, Secret, revealed
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Source
from ledgerkeep.configuration.sources.waf import Waf
from ledgerkeep.configuration.sources.waf.api import WAITS
from ledgerkeep.errors import AwsRefused, AwsUnavailable, ConfigurationError, SourceChanged
from tests.support.configuration import REGION, Account, aws, open_account, policy_with

__all__ = ["aws"]

complete_moto()

BALANCER = f"arn:aws:elasticloadbalancing:{REGION}:123456789012:loadbalancer/app/loan/1"
GATEWAY = f"arn:aws:apigateway:{REGION}::/restapis/1/stages/live"
BUCKET = "arn:aws:s3:::aws-waf-logs-loan"
KEYS = [
    "regional/associations/loan",
    "regional/ip-set/blocked",
    "regional/logging/loan",
    "regional/regex-set/bots",
    "regional/rule-group/common",
    "regional/web-acl/loan",
]


@dataclass
class Busy:
    """A client that remembers what it wrote, and is refused when it is told to."""

    client: Any
    written: list[str] = field(default_factory=list)
    refuse: Callable[[str, Mapping[str, Any]], str] = lambda _name, _request: ""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if not callable(found):
            return found

        def send(**request: Any) -> Any:
            code = self.refuse(name, request)
            if code:
                error = {"Error": {"Code": code, "Message": "no"}}
                raise self.client.exceptions.ClientError(error, name)
            if not name.startswith(("get_", "list_")):
                self.written.append(name)
            return found(**request)

        return send


@dataclass
class Stock:
    """A web ACL of a lender, and what it is made of."""

    account: Account
    waf: Busy

    @cached_property
    def source(self) -> Waf:
        return self.source_with()

    def source_with(self, **settings: Any) -> Waf:
        found = open_source("waf", self.account.access, policy_with(waf=settings))
        assert isinstance(found, Waf)
        return found

    def summary(self, operation: str, member: str, name: str) -> Any:
        every = getattr(self.waf.client, operation)(Scope="REGIONAL")[member]
        return next(one for one in every if one["Name"] == name)

    @property
    def acl(self) -> Any:
        return self.summary("list_web_acls", "WebACLs", "loan")

    @property
    def blocked(self) -> Any:
        return self.summary("list_ip_sets", "IPSets", "blocked")


def _seen(name: str) -> dict[str, Any]:
    return {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": name}


def _rule(name: str, priority: int, statement: Any, **more: Any) -> dict[str, Any]:
    action = {} if "OverrideAction" in more else {"Action": {"Block": {}}}
    return {
        "Name": name,
        "Priority": priority,
        "Statement": statement,
        "VisibilityConfig": _seen(name),
        **action,
        **more,
    }


def _header(text: bytes, field_to_match: Any) -> dict[str, Any]:
    return {
        "ByteMatchStatement": {
            "SearchString": text,
            "FieldToMatch": field_to_match,
            "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
            "PositionalConstraint": "EXACTLY",
        }
    }


def _stock(waf: Any, scope: str = "REGIONAL") -> str:
    blocked = waf.create_ip_set(
        Name="blocked",
        Scope=scope,
        Description="Seen attacking",
        IPAddressVersion="IPV4",
        Addresses=["198.51.100.7/32", "192.0.2.0/24"],
        Tags=[{"Key": "owner", "Value": "lending"}],
    )["Summary"]["ARN"]
    bots = waf.create_regex_pattern_set(
        Name="bots",
        Scope=scope,
        Description="Bots",
        RegularExpressionList=[{"RegexString": "bot"}, {"RegexString": "ai.*"}],
    )["Summary"]["ARN"]
    pattern = {
        "RegexPatternSetReferenceStatement": {
            "ARN": bots,
            "FieldToMatch": {"UriPath": {}},
            "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
        }
    }
    common = waf.create_rule_group(
        Name="common",
        Scope=scope,
        Capacity=50,
        Description="Common",
        VisibilityConfig=_seen("common"),
        Rules=[_rule("bots", 0, pattern)],
    )["Summary"]["ARN"]
    acl = waf.create_web_acl(
        Name="loan",
        Scope=scope,
        Description="In front of the loans",
        DefaultAction={
            "Allow": {
                "CustomRequestHandling": {
                    "InsertHeaders": [{"Name": "x-checked", "Value": "inserted-s3cret"}]
                }
            }
        },
        VisibilityConfig=_seen("loan"),
        TokenDomains=["b.example", "a.example"],
        Rules=[
            _rule("origin", 3, _header(b"origin-s3cret", {"SingleHeader": {"Name": "x-origin"}})),
            _rule("path", 4, _header(b"/admin", {"UriPath": {}})),
            _rule("raw", 5, _header(b"\xff\x00", {"UriPath": {}})),
            _rule(
                "common",
                1,
                {"RuleGroupReferenceStatement": {"ARN": common}},
                OverrideAction={"None": {}},
            ),
            _rule(
                "blocked",
                0,
                {"NotStatement": {"Statement": {"IPSetReferenceStatement": {"ARN": blocked}}}},
            ),
            _rule(
                "aws",
                2,
                {
                    "ManagedRuleGroupStatement": {
                        "VendorName": "AWS",
                        "Name": "AWSManagedRulesCommonRuleSet",
                    }
                },
                OverrideAction={"None": {}},
            ),
        ],
    )["Summary"]["ARN"]
    return str(acl)


@pytest.fixture
def stock(aws: None) -> Stock:
    account = open_account(policy_with(waf={}))
    waf = Busy(account.client("wafv2"))
    acl = _stock(waf.client)
    waf.client.associate_web_acl(WebACLArn=acl, ResourceArn=GATEWAY)
    waf.client.associate_web_acl(WebACLArn=acl, ResourceArn=BALANCER)
    waf.client.put_logging_configuration(
        LoggingConfiguration={
            "ResourceArn": acl,
            "LogDestinationConfigs": [BUCKET],
            "RedactedFields": [{"SingleHeader": {"Name": "authorization"}}],
        }
    )

    def client(service: str, connection: str, region: str) -> Any:
        return (
            waf
            if (service, region) == ("wafv2", REGION)
            else account.access.client(service, connection, region)
        )

    return Stock(replace(account, access=replace(account.access, client=client)), waf)


def _live(source: Source) -> dict[str, Any]:
    return {one.key: one.content for one in source.export({}) if isinstance(one, Found)}


def _plan(stock: Stock, source: Source, wanted: Mapping[str, Any]) -> list[Planned]:
    mark = stock.account.marker.mark
    live = {key: mark(key, one).item for key, one in _live(source).items()}
    after = {key: mark(key, one).item for key, one in wanted.items()}
    return source.order(compare(live, after))


def _apply(source: Source, plan: list[Planned], wanted: Mapping[str, Any]) -> None:
    live = _live(source)
    for one in plan:
        after = wanted[one.key] if one.action != "delete" else None
        source.apply(Change(one.action, one.key, live.get(one.key), after))


# -- exporting


def test_everything_is_exported_by_names_without_any_id(stock: Stock) -> None:
    found = _live(stock.source)
    assert sorted(found) == KEYS
    assert found["regional/ip-set/blocked"] == {
        "settings": {
            "Addresses": ["192.0.2.0/24", "198.51.100.7/32"],
            "Description": "Seen attacking",
        },
        "made_with": {"IPAddressVersion": "IPV4"},
        "tags": {"owner": "lending"},
    }
    assert found["regional/regex-set/bots"]["settings"]["RegularExpressionList"] == [
        {"RegexString": "ai.*"},
        {"RegexString": "bot"},
    ]
    group = found["regional/rule-group/common"]
    assert group["made_with"] == {"Capacity": 50}
    assert (
        group["settings"]["Rules"][0]["Statement"]["RegexPatternSetReferenceStatement"]["ARN"]
        == "regex-set/bots"
    )
    assert found["regional/associations/loan"] == {"resources": [GATEWAY, BALANCER]}
    assert found["regional/logging/loan"] == {
        "LogDestinationConfigs": [BUCKET],
        "RedactedFields": [{"SingleHeader": {"Name": "authorization"}}],
    }
    assert "arn:aws:wafv2" not in repr(found)


def test_rules_come_by_priority_and_refer_by_name(stock: Stock) -> None:
    settings = _live(stock.source)["regional/web-acl/loan"]["settings"]
    statements = [one["Statement"] for one in settings["Rules"]]
    assert [one["Name"] for one in settings["Rules"]] == [
        "blocked",
        "common",
        "aws",
        "origin",
        "path",
        "raw",
    ]
    assert statements[0] == {
        "NotStatement": {"Statement": {"IPSetReferenceStatement": {"ARN": "ip-set/blocked"}}}
    }
    assert statements[1] == {"RuleGroupReferenceStatement": {"ARN": "rule-group/common"}}
    assert settings["TokenDomains"] == ["a.example", "b.example"]


def test_passwords_in_headers_are_secrets_and_paths_are_not(stock: Stock) -> None:
    settings = _live(stock.source)["regional/web-acl/loan"]["settings"]
    searched = [
        one["Statement"]["ByteMatchStatement"]["SearchString"] for one in settings["Rules"][3:]
    ]
    assert searched == [Secret("origin-s3cret"), "/admin", {"base64": "/wA="}]
    inserted = settings["DefaultAction"]["Allow"]["CustomRequestHandling"]["InsertHeaders"]
    assert inserted == [{"Name": "x-checked", "Value": Secret("inserted-s3cret")}]


def test_a_version_holds_no_secret_in_the_clear_and_is_put_back_from(stock: Stock) -> None:
    version = stock.account.back_up(stock.source).version
    assert all(b"s3cret" not in one.body for one in stock.account.store.objects.values())
    key = "regional/web-acl/loan"
    wanted = revealed(
        stock.account.versions.items(version)[key], stock.account.versions.values(version)[key]
    )
    assert wanted == _live(stock.source)[key]


def test_what_has_its_lock_token_is_not_read_again(stock: Stock) -> None:
    known = {one.key: one.mark for one in stock.source.export({}) if isinstance(one, Found)}
    _update_blocked(stock, ["203.0.113.0/24"])
    again = list(stock.source.export(known))
    assert sorted(one.key for one in again if isinstance(one, Known)) == [
        "regional/regex-set/bots",
        "regional/rule-group/common",
        "regional/web-acl/loan",
    ]
    assert sorted(one.key for one in again if isinstance(one, Found)) == [
        "regional/associations/loan",
        "regional/ip-set/blocked",
        "regional/logging/loan",
    ]


def _update_blocked(stock: Stock, addresses: list[str]) -> None:
    one = stock.blocked
    stock.waf.client.update_ip_set(
        Name="blocked",
        Scope="REGIONAL",
        Id=one["Id"],
        LockToken=one["LockToken"],
        Description="Seen attacking",
        Addresses=addresses,
    )


def test_an_unchanged_source_gets_no_new_version(stock: Stock) -> None:
    first = stock.account.back_up(stock.source)
    again = stock.account.back_up(stock.source)
    assert (first.is_new, again.is_new, again.read_items) == (True, False, 2)


def test_only_what_begins_with_the_policys_prefix_is_exported(stock: Stock) -> None:
    assert sorted(_live(stock.source_with(name_prefix="lo"))) == [
        "regional/associations/loan",
        "regional/logging/loan",
        "regional/web-acl/loan",
    ]


def test_what_is_for_cloudfront_is_read_where_waf_keeps_it(stock: Stock) -> None:
    _stock(stock.account.access.client("wafv2", "aws", "us-east-1"), "CLOUDFRONT")
    found = _live(stock.source_with(scopes=["CLOUDFRONT"]))
    assert sorted(found) == [
        "cloudfront/ip-set/blocked",
        "cloudfront/regex-set/bots",
        "cloudfront/rule-group/common",
        "cloudfront/web-acl/loan",
    ]
    rules = found["cloudfront/web-acl/loan"]["settings"]["Rules"]
    assert rules[1]["Statement"] == {"RuleGroupReferenceStatement": {"ARN": "rule-group/common"}}


def test_all_pages_are_read(stock: Stock) -> None:
    for at in range(101):
        stock.waf.client.create_ip_set(
            Name=f"more-{at}", Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=[]
        )
    found = [one for one in _live(stock.source) if one.startswith("regional/ip-set/")]
    assert len(found) == 102


def test_what_firewall_manager_made_is_not_exported(aws: None) -> None:
    """moto has no Firewall Manager, so its answer is stubbed."""
    account = open_account(policy_with(waf={}))
    waf = account.client("wafv2")
    with Stubber(waf) as stub:
        for operation, member in [
            ("list_ip_sets", "IPSets"),
            ("list_regex_pattern_sets", "RegexPatternSets"),
            ("list_rule_groups", "RuleGroups"),
        ]:
            stub.add_response(operation, {member: []})
        arn = f"arn:aws:wafv2:{REGION}:123456789012:regional/webacl/FMManaged/1"
        stub.add_response(
            "list_web_acls",
            {"WebACLs": [{"Name": "FMManaged", "Id": "1", "ARN": arn, "LockToken": "t"}]},
        )
        acl = {
            "Name": "FMManaged",
            "Id": "1",
            "ARN": arn,
            "DefaultAction": {"Allow": {}},
            "VisibilityConfig": _seen("x"),
            "ManagedByFirewallManager": True,
        }
        stub.add_response("get_web_acl", {"WebACL": acl, "LockToken": "t"})
        logging = {"ResourceArn": arn, "LogDestinationConfigs": [BUCKET]}
        stub.add_response("list_logging_configurations", {"LoggingConfigurations": [logging]})
        assert _live(open_source("waf", account.access, account.policy)) == {}


def test_a_missing_permission_is_named(stock: Stock) -> None:
    stock.waf.refuse = lambda name, _: "AccessDeniedException" if name == "list_ip_sets" else ""
    with pytest.raises(AwsRefused) as refused:
        list(stock.source.export({}))
    assert refused.value.message == "aws refused to list ip sets (AccessDeniedException)"
    assert refused.value.hint == (
        "allow wafv2:List*, wafv2:Get* and wafv2:ListTagsForResource, and for a recovery "
        "wafv2:Create*, wafv2:Update*, wafv2:Delete*, wafv2:AssociateWebACL, "
        "wafv2:DisassociateWebACL, wafv2:PutLoggingConfiguration, wafv2:TagResource and "
        "wafv2:UntagResource, and what the associated services want, such as "
        "elasticloadbalancing:SetWebACL, and where logs go, such as logs:CreateLogDelivery and "
        "logs:PutResourcePolicy, to the identity of the connection"
    )


def test_a_kind_of_resource_that_the_region_does_not_have_is_passed_over(stock: Stock) -> None:
    before = _live(stock.source)
    stock.waf.refuse = lambda name, request: (
        "WAFInvalidParameterException"
        if name == "list_resources_for_web_acl" and request["ResourceType"] == "APP_RUNNER_SERVICE"
        else ""
    )
    assert _live(stock.source) == before


def test_a_throttled_export_is_tried_again_later(stock: Stock) -> None:
    stock.waf.refuse = lambda name, _: "ThrottlingException" if name == "get_rule_group" else ""
    with pytest.raises(AwsUnavailable) as busy:
        list(stock.source.export({}))
    assert busy.value.message == "aws was too busy to read rule-group common (ThrottlingException)"


# -- putting back


def _damage(stock: Stock) -> None:
    waf = stock.waf.client
    _update_blocked(stock, ["0.0.0.0/1"])
    acl = stock.acl
    waf.update_web_acl(
        Name="loan",
        Scope="REGIONAL",
        Id=acl["Id"],
        LockToken=acl["LockToken"],
        DefaultAction={"Allow": {}},
        Rules=[],
        VisibilityConfig=_seen("loan"),
    )
    waf.disassociate_web_acl(ResourceArn=BALANCER)
    waf.delete_logging_configuration(ResourceArn=acl["ARN"])
    waf.tag_resource(
        ResourceARN=stock.blocked["ARN"],
        Tags=[{"Key": key, "Value": "x"} for key in ("owner", "new")],
    )
    waf.create_ip_set(
        Name="friends", Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=["0.0.0.0/1"]
    )


def test_what_was_damaged_is_named_and_put_back(stock: Stock) -> None:
    wanted = _live(stock.source)
    _damage(stock)
    plan = _plan(stock, stock.source, wanted)
    assert [(one.action, one.key) for one in plan] == [
        ("update", "regional/ip-set/blocked"),
        ("update", "regional/web-acl/loan"),
        ("create", "regional/logging/loan"),
        ("update", "regional/associations/loan"),
        ("delete", "regional/ip-set/friends"),
    ]
    assert {stock.source.by_hand(one) for one in plan} == {""}
    _apply(stock.source, plan, wanted)
    assert _live(stock.source) == wanted
    stock.waf.written.clear()
    _apply(stock.source, [one for one in plan if "logging" not in one.key], wanted)
    assert stock.waf.written == []


def test_everything_is_made_again_though_all_ids_are_others(stock: Stock) -> None:
    wanted = _live(stock.source)
    _apply(stock.source, _plan(stock, stock.source, {}), {})
    assert _live(stock.source) == {}
    plan = _plan(stock, stock.source, wanted)
    assert [one.key.split("/")[1] for one in plan] == [
        "ip-set",
        "regex-set",
        "rule-group",
        "web-acl",
        "logging",
        "associations",
    ]
    _apply(stock.source, plan, wanted)
    assert _live(stock.source) == wanted


def test_deletions_begin_with_what_refers(stock: Stock) -> None:
    plan = _plan(stock, stock.source, {})
    assert [one.key.split("/")[1] for one in plan] == [
        "associations",
        "logging",
        "web-acl",
        "rule-group",
        "regex-set",
        "ip-set",
    ]
    _apply(stock.source, plan, {})
    _apply(stock.source, plan, {})


def test_what_is_referred_to_and_missing_is_told(stock: Stock) -> None:
    wanted = _live(stock.source)
    _apply(stock.source, _plan(stock, stock.source, {}), {})
    with pytest.raises(ConfigurationError) as told:
        stock.source.apply(
            Change("create", "regional/web-acl/loan", None, wanted["regional/web-acl/loan"])
        )
    assert told.value.message == "regional/ip-set/blocked is referred to and not there"
    assert told.value.hint == "recover it too, and run this again"
    with pytest.raises(ConfigurationError) as told:
        stock.source.apply(
            Change("create", "regional/logging/loan", None, wanted["regional/logging/loan"])
        )
    assert told.value.message == "there is no web acl loan"


def test_a_stale_lock_token_is_read_anew_once_when_nothing_else_has_changed(stock: Stock) -> None:
    wanted = _live(stock.source)
    _update_blocked(stock, ["0.0.0.0/1"])
    refusals = iter(["WAFOptimisticLockException"])
    stock.waf.refuse = lambda name, _: next(refusals, "") if name == "update_ip_set" else ""
    _apply(stock.source, _plan(stock, stock.source, wanted), wanted)
    assert _live(stock.source) == wanted


def test_what_somebody_else_writes_meanwhile_is_not_overwritten(stock: Stock) -> None:
    wanted = _live(stock.source)
    _update_blocked(stock, ["0.0.0.0/1"])
    plan = _plan(stock, stock.source, wanted)

    others = iter([["203.0.113.0/24"]])

    def interfere(name: str, _: Mapping[str, Any]) -> str:
        addresses = next(others, None) if name == "update_ip_set" else None
        if addresses:
            _update_blocked(stock, addresses)
        return ""

    stock.waf.refuse = interfere
    with pytest.raises(SourceChanged) as told:
        _apply(stock.source, plan, wanted)
    assert told.value.message == "somebody else is changing ip-set blocked"
    assert told.value.hint == (
        "what they wrote was left as it is: find out who it is (CloudTrail), and start again for a "
        "plan of what is live then"
    )
    assert _live(stock.source)["regional/ip-set/blocked"]["settings"]["Addresses"] == [
        "203.0.113.0/24"
    ]


def test_a_token_that_is_stale_twice_is_somebody_else_at_work(stock: Stock) -> None:
    wanted = _live(stock.source)
    _update_blocked(stock, ["0.0.0.0/1"])
    stock.waf.refuse = lambda name, _: (
        "WAFOptimisticLockException" if name == "update_ip_set" else ""
    )
    with pytest.raises(SourceChanged):
        _apply(stock.source, _plan(stock, stock.source, wanted), wanted)


def test_what_waf_does_not_know_yet_is_waited_for(stock: Stock) -> None:
    """A web ACL is made right after the sets it refers to."""
    slept: list[float] = []
    firewall = replace(stock.source.firewalls[0], sleep=slept.append)
    source = replace(stock.source, firewalls=(firewall,))
    wanted = _live(source)
    _apply(source, _plan(stock, source, {}), {})
    refusals = iter(["WAFUnavailableEntityException"] * 2)
    stock.waf.refuse = lambda name, _: next(refusals, "") if name == "create_web_acl" else ""
    _apply(source, _plan(stock, source, wanted), wanted)
    assert slept == list(WAITS[:2])
    assert _live(source) == wanted


def test_what_waf_never_gets_to_know_is_told(stock: Stock) -> None:
    firewall = replace(stock.source.firewalls[0], sleep=lambda _: None)
    source = replace(stock.source, firewalls=(firewall,))
    wanted = _live(source)
    stock.waf.client.disassociate_web_acl(ResourceArn=BALANCER)
    stock.waf.refuse = lambda name, _: (
        "WAFUnavailableEntityException" if name == "associate_web_acl" else ""
    )
    with pytest.raises(AwsRefused) as refused:
        _apply(source, _plan(stock, source, wanted), wanted)
    assert (
        refused.value.message
        == f"aws refused to associate loan with {BALANCER} (WAFUnavailableEntityException)"
    )
    assert (
        refused.value.hint
        == "what it refers to is not there, or not yet: run this again in a minute"
    )


def test_a_resource_is_moved_before_another_web_acl_lets_it_go(stock: Stock) -> None:
    """So that it is protected at every moment."""
    wanted = _live(stock.source)
    other = stock.waf.client.create_web_acl(
        Name="aside", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=_seen("aside")
    )["Summary"]["ARN"]
    wanted["regional/web-acl/aside"] = _live(stock.source)["regional/web-acl/aside"]
    wanted["regional/associations/aside"] = {"resources": ["arn:aws:appsync:x:1:apis/1"]}
    for resource in (BALANCER, "arn:aws:appsync:x:1:apis/1"):
        stock.waf.client.associate_web_acl(WebACLArn=other, ResourceArn=resource)
    plan = _plan(stock, stock.source, wanted)
    assert [one.key for one in plan] == [
        "regional/associations/loan",
        "regional/associations/aside",
    ]
    _apply(stock.source, plan, wanted)
    assert stock.waf.written == ["associate_web_acl"]
    assert _live(stock.source) == wanted


def test_what_was_made_otherwise_is_left_to_a_person(stock: Stock) -> None:
    wanted = _live(stock.source)
    key = "regional/ip-set/blocked"
    wanted[key] = {**wanted[key], "made_with": {"IPAddressVersion": "IPV6"}}
    (change,) = _plan(stock, stock.source, wanted)
    assert stock.source.by_hand(change) == (
        "regional/ip-set/blocked was made otherwise: delete blocked when nothing refers to it, and "
        "run this again"
    )
    with pytest.raises(ConfigurationError) as told:
        _apply(stock.source, [change], wanted)
    assert told.value.message == "the IPAddressVersion of ip-set blocked cannot be changed"
    assert told.value.hint == "delete the ip-set when nothing refers to it, and run this again"


# -- an isolated place


def test_copies_stand_beside_the_originals_and_are_removed_whole(stock: Stock) -> None:
    original = _live(stock.source)
    wanted = {
        key: one
        for key, one in original.items()
        if key.split("/")[1] not in ("logging", "associations")
    }
    beside = stock.source.beside("run-1")
    _apply(beside, _plan(stock, beside, wanted), wanted)
    assert _live(beside) == wanted
    assert _plan(stock, beside, wanted) == []
    assert _live(stock.source) == original
    copy = stock.summary("list_web_acls", "WebACLs", "ledgerkeep-restore-test-run-1-loan")
    acl = stock.waf.client.get_web_acl(Name=copy["Name"], Id=copy["Id"], Scope="REGIONAL")["WebACL"]
    arns = [
        rule["Statement"]["RuleGroupReferenceStatement"]["ARN"]
        for rule in acl["Rules"]
        if "RuleGroupReferenceStatement" in rule["Statement"]
    ]
    assert "/ledgerkeep-restore-test-run-1-common/" in arns[0]
    beside.clear()
    assert _live(beside) == {}
    beside.clear()
    assert _live(stock.source) == original


def test_a_copy_protects_nothing(stock: Stock) -> None:
    beside = stock.source.beside("run-1")
    for kind in ("associations", "logging"):
        key = f"regional/{kind}/loan"
        item = Item(key=key, content={"resources": [BALANCER]})
        words = f"{key}: a copy protects nothing, so there is nothing to log"
        assert beside.by_hand(Planned("create", key, None, item)) == words


def test_only_an_isolated_place_can_be_cleared(stock: Stock) -> None:
    with pytest.raises(NotImplementedError):
        stock.source.clear()
    assert sorted(_live(stock.source)) == KEYS
