"""Security groups as a source: rule by rule, by names, put back without a closed moment.

moto keeps no description of a rule that refers to a group or a prefix list, removes none, and
gives all groups and rules in one page; it deletes a group that is in use. What it cannot show is
shown by `Ec2`, our own recorder in front of it, and by answers that are stubbed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.stub import Stubber

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Planned, Source
from ledgerkeep.errors import AwsRefused, AwsUnavailable, ConfigurationError
from tests.support.configuration import Account, aws, open_account, policy_with

__all__ = ["aws"]

PROJECT = {"Project": "LoanManagementSystem"}
EVERY = [f"{kind}/loan/{name}" for kind in ("group", "rules") for name in ("app", "db", "worker")]
ANY_IPV6 = {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
ANY = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


@dataclass
class Ec2:
    """A client that remembers what it was asked."""

    client: Any
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if not callable(found) or name.startswith(("get_", "can_")):
            return found

        def send(**request: Any) -> Any:
            self.asked.append((name, request))
            return found(**request)

        return send

    def written(self) -> list[str]:
        return [name for name, _ in self.asked if not name.startswith("describe")]


@dataclass
class Stock:
    """A VPC with an application, a database, a worker, and groups that are not the policy's."""

    account: Account
    ec2: Any
    vpc: str
    app: str
    db: str
    worker: str
    other: str

    @cached_property
    def source(self) -> Source:
        return open_source("security_groups", self.account.access, self.account.policy)


def _group(ec2: Any, vpc: str, name: str, tags: Mapping[str, str] = PROJECT) -> str:
    specification: list[Any] = (
        [{"ResourceType": "security-group", "Tags": _tags(tags)}] if tags else []
    )
    made = ec2.create_security_group(
        GroupName=name, Description=f"The {name}", VpcId=vpc, TagSpecifications=specification
    )
    return str(made["GroupId"])


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _tcp(port: int, **peer: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peer}


def _from(group: str) -> dict[str, Any]:
    return {"UserIdGroupPairs": [{"GroupId": group}]}


@pytest.fixture
def stock(aws: None) -> Stock:
    account = open_account(policy_with(security_groups={"tags": PROJECT}))
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(
        CidrBlock="10.0.0.0/16",
        AmazonProvidedIpv6CidrBlock=True,
        TagSpecifications=[{"ResourceType": "vpc", "Tags": _tags({"Name": "loan"})}],
    )["Vpc"]["VpcId"]
    app, db, worker, other = (
        _group(ec2, vpc, name, tags)
        for name, tags in [("app", PROJECT), ("db", PROJECT), ("worker", PROJECT), ("other", {})]
    )
    prefix_list = ec2.create_managed_prefix_list(
        PrefixListName="offices", MaxEntries=1, AddressFamily="IPv4"
    )["PrefixList"]["PrefixListId"]
    ec2.authorize_security_group_ingress(
        GroupId=app,
        IpPermissions=[
            _tcp(443, IpRanges=[{"CidrIp": "10.0.0.0/8", "Description": "Inside"}]),
            _tcp(443, Ipv6Ranges=[{"CidrIpv6": "2001:db8::/32", "Description": "Inside"}]),
            _tcp(22, PrefixListIds=[{"PrefixListId": prefix_list}]),
            _tcp(9000, **_from(other)),
            _tcp(7946, **_from(app)),
            {
                "IpProtocol": "icmp",
                "FromPort": 8,
                "ToPort": -1,
                "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
            },
        ],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": _tags({"why": "web"})}],
    )
    ec2.authorize_security_group_ingress(
        GroupId=db, IpPermissions=[_tcp(5432, **_from(app)), _tcp(5432, **_from(worker))]
    )
    ec2.revoke_security_group_egress(GroupId=db, IpPermissions=[ANY])
    # The worker and the database refer to each other.
    ec2.authorize_security_group_egress(GroupId=worker, IpPermissions=[_tcp(5432, **_from(db))])
    return Stock(account, ec2, vpc, app, db, worker, other)


def _live(source: Source) -> dict[str, Any]:
    return {one.key: one.content for one in source.export({}) if isinstance(one, Found)}


def _items(contents: Mapping[str, Any]) -> dict[str, Item]:
    return {key: Item(key=key, content=content) for key, content in contents.items()}


def _plan(source: Source, wanted: Mapping[str, Any]) -> list[Planned]:
    return source.order(compare(_items(_live(source)), _items(wanted)))


def _apply(source: Source, plan: list[Planned]) -> None:
    for one in plan:
        before = one.before.content if one.before else None
        after = one.after.content if one.after else None
        source.apply(Change(one.action, one.key, before, after))


def _told(plan: list[Planned]) -> list[tuple[str, str]]:
    return [(one.action, one.key) for one in plan]


def _recorded(stock: Stock) -> tuple[Ec2, Source]:
    ec2 = Ec2(stock.ec2)

    def client(service: str, connection: str, region: str) -> Any:
        return ec2 if service == "ec2" else stock.account.access.client(service, connection, region)

    access = replace(stock.account.access, client=client)
    return ec2, open_source("security_groups", access, stock.account.policy)


# -- exporting


def test_groups_are_exported_by_names_without_any_id(stock: Stock) -> None:
    found = _live(stock.source)
    assert sorted(found) == EVERY
    assert found["group/loan/db"] == {
        "vpc": "loan",
        "name": "db",
        "description": "The db",
        "tags": PROJECT,
    }
    assert found["rules/loan/db"] == {
        "vpc": "loan",
        "name": "db",
        "ingress": [
            {
                "protocol": "tcp",
                "from_port": 5432,
                "to_port": 5432,
                "group": {"vpc": "loan", "name": name},
                "description": "",
                "tags": {},
            }
            for name in ("app", "worker")
        ],
        "egress": [
            {
                "protocol": "-1",
                "from_port": -1,
                "to_port": -1,
                "cidr_ipv6": "::/0",
                "description": "",
                "tags": {},
            }
        ],
    }
    assert "sg-" not in repr(found)
    assert "sgr-" not in repr(found)
    assert "pl-" not in repr(found)


def test_every_kind_of_rule_is_in_it(stock: Stock) -> None:
    rules = _live(stock.source)["rules/loan/app"]["ingress"]
    told = [
        (
            one["protocol"],
            one["from_port"],
            one.get("cidr_ipv4")
            or one.get("cidr_ipv6")
            or one.get("prefix_list")
            or one["group"]["name"],
            one["description"],
            one["tags"],
        )
        for one in rules
    ]
    assert sorted(told, key=repr) == [
        ("icmp", 8, "10.0.0.0/8", "", {"why": "web"}),
        ("tcp", 22, "offices", "", {"why": "web"}),
        ("tcp", 443, "10.0.0.0/8", "Inside", {"why": "web"}),
        ("tcp", 443, "2001:db8::/32", "Inside", {"why": "web"}),
        ("tcp", 7946, "app", "", {"why": "web"}),
        ("tcp", 9000, "other", "", {"why": "web"}),
    ]


def test_the_order_in_which_rules_were_made_does_not_matter(stock: Stock) -> None:
    before = _live(stock.source)
    rule = _tcp(5432, **_from(stock.app))
    stock.ec2.revoke_security_group_ingress(GroupId=stock.db, IpPermissions=[rule])
    stock.ec2.authorize_security_group_ingress(GroupId=stock.db, IpPermissions=[rule])
    assert _live(stock.source) == before


def test_only_the_vpcs_of_the_policy_are_exported(stock: Stock) -> None:
    elsewhere = stock.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    _group(stock.ec2, elsewhere, "app")
    settings = {"vpc_ids": [elsewhere]}
    policy = policy_with(security_groups=settings)
    found = _live(open_source("security_groups", stock.account.access, policy))
    groups = [one for one in sorted(found) if one.startswith("group/")]
    assert groups == [f"group/{elsewhere}/app", f"group/{elsewhere}/default"]


def test_vpcs_that_share_a_name_are_told_apart_by_their_ids(stock: Stock) -> None:
    twin = stock.ec2.create_vpc(
        CidrBlock="10.9.0.0/16",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": _tags({"Name": "loan"})}],
    )["Vpc"]["VpcId"]
    _group(stock.ec2, twin, "app")
    found = {one.partition("/")[2] for one in _live(stock.source)}
    assert found == {f"{twin}/app", *(f"{stock.vpc}/{one}" for one in ("app", "db", "worker"))}


def test_a_group_of_a_peered_vpc_is_meant_by_both_names(stock: Stock) -> None:
    peer = stock.ec2.create_vpc(
        CidrBlock="10.9.0.0/16",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": _tags({"Name": "shared"})}],
    )["Vpc"]["VpcId"]
    monitor = _group(stock.ec2, peer, "monitor", {})
    stock.ec2.authorize_security_group_ingress(
        GroupId=stock.app, IpPermissions=[_tcp(9100, **_from(monitor))]
    )
    wanted = _live(stock.source)
    groups = [
        one.get("group") for one in wanted["rules/loan/app"]["ingress"] if one["from_port"] == 9100
    ]
    assert groups == [{"vpc": "shared", "name": "monitor"}]
    stock.ec2.revoke_security_group_ingress(
        GroupId=stock.app, IpPermissions=[_tcp(9100, **_from(monitor))]
    )
    _apply(stock.source, _plan(stock.source, wanted))
    assert _live(stock.source) == wanted


def test_a_group_of_another_account_is_meant_by_account_and_id(aws: None) -> None:
    """moto knows no group of another account, so its answer is stubbed."""
    account = open_account(policy_with(security_groups={}))
    ec2 = account.client("ec2")
    with Stubber(ec2) as stub:
        stub.add_response("describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}]})
        group = {
            "GroupId": "sg-1",
            "OwnerId": "123456789012",
            "VpcId": "vpc-1",
            "GroupName": "app",
            "Description": "d",
        }
        shared = {**group, "GroupId": "sg-2", "OwnerId": "999999999999"}
        stub.add_response("describe_security_groups", {"SecurityGroups": [group, shared]})
        raw = {
            "SecurityGroupRuleId": "sgr-1",
            "GroupId": "sg-1",
            "IsEgress": False,
            "IpProtocol": "tcp",
            "FromPort": 1,
            "ToPort": 2,
            "ReferencedGroupInfo": {
                "GroupId": "sg-9",
                "UserId": "999999999999",
                "VpcPeeringConnectionId": "pcx-1",
            },
        }
        gone = {
            **raw,
            "SecurityGroupRuleId": "sgr-2",
            "ReferencedGroupInfo": {"GroupId": "sg-8", "UserId": "123456789012"},
        }
        stub.add_response("describe_security_group_rules", {"SecurityGroupRules": [raw, gone]})
        stub.add_response("describe_security_groups", {"SecurityGroups": []})
        found = _live(_with_client(account, ec2))
    assert [one["group"] for one in found["rules/vpc-1/app"]["ingress"]] == [
        {"account": "999999999999", "id": "sg-9"},
        {"id": "sg-8"},
    ]


def test_all_pages_are_read(aws: None) -> None:
    """moto has one page of everything, so two are stubbed."""
    account = open_account(policy_with(security_groups={}))
    ec2 = account.client("ec2")
    with Stubber(ec2) as stub:
        stub.add_response("describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}], "NextToken": "v"})
        stub.add_response("describe_vpcs", {"Vpcs": [{"VpcId": "vpc-2"}]})
        groups = [
            {
                "GroupId": f"sg-{at}",
                "OwnerId": "123456789012",
                "VpcId": f"vpc-{at}",
                "GroupName": "app",
                "Description": "d",
            }
            for at in (1, 2)
        ]
        stub.add_response(
            "describe_security_groups", {"SecurityGroups": groups[:1], "NextToken": "g"}
        )
        stub.add_response("describe_security_groups", {"SecurityGroups": groups[1:]})
        rules = [
            {
                "SecurityGroupRuleId": f"sgr-{at}",
                "GroupId": f"sg-{at}",
                "IsEgress": True,
                "IpProtocol": "-1",
                "FromPort": -1,
                "ToPort": -1,
                "CidrIpv4": f"10.{at}.0.0/16",
            }
            for at in (1, 2)
        ]
        stub.add_response(
            "describe_security_group_rules", {"SecurityGroupRules": rules[:1], "NextToken": "r"}
        )
        stub.add_response("describe_security_group_rules", {"SecurityGroupRules": rules[1:]})
        found = _live(_with_client(account, ec2))
        stub.assert_no_pending_responses()
    assert {
        key: one["egress"][0]["cidr_ipv4"] for key, one in found.items() if "egress" in one
    } == {
        "rules/vpc-1/app": "10.1.0.0/16",
        "rules/vpc-2/app": "10.2.0.0/16",
    }


def _with_client(account: Account, ec2: Any) -> Source:
    def client(service: str, connection: str, region: str) -> Any:
        return ec2 if service == "ec2" else account.access.client(service, connection, region)

    return open_source("security_groups", replace(account.access, client=client), account.policy)


def test_a_missing_permission_is_named(aws: None) -> None:
    account = open_account(policy_with(security_groups={}))
    ec2 = account.client("ec2")
    with Stubber(ec2) as stub:
        stub.add_client_error("describe_vpcs", "UnauthorizedOperation")
        with pytest.raises(AwsRefused) as refused:
            list(_with_client(account, ec2).export({}))
    assert refused.value.message == "aws refused to list vpcs (UnauthorizedOperation)"
    assert refused.value.hint == (
        "allow ec2:DescribeVpcs, ec2:DescribeSecurityGroups, ec2:DescribeSecurityGroupRules and "
        "ec2:DescribeManagedPrefixLists, and for a recovery ec2:CreateSecurityGroup, "
        "ec2:DeleteSecurityGroup, ec2:AuthorizeSecurityGroup*, ec2:RevokeSecurityGroup*, "
        "ec2:UpdateSecurityGroupRuleDescriptions*, ec2:CreateTags, ec2:DeleteTags and "
        "ec2:DescribeNetworkInterfaces, to the identity of the connection"
    )


def test_a_throttled_export_is_tried_again_later(aws: None) -> None:
    account = open_account(policy_with(security_groups={}))
    once = Config(retries={"total_max_attempts": 1})
    ec2 = boto3.client("ec2", "eu-central-1", config=once)
    with Stubber(ec2) as stub:
        stub.add_client_error("describe_vpcs", "RequestLimitExceeded")
        with pytest.raises(AwsUnavailable) as busy:
            list(_with_client(account, ec2).export({}))
    assert busy.value.message == "aws was too busy to list vpcs (RequestLimitExceeded)"
    assert busy.value.retryable


# -- putting back


def _damage(stock: Stock) -> None:
    ec2 = stock.ec2
    ec2.authorize_security_group_ingress(
        GroupId=stock.db, IpPermissions=[_tcp(5432, IpRanges=[{"CidrIp": "0.0.0.0/0"}])]
    )
    ec2.revoke_security_group_ingress(
        GroupId=stock.db, IpPermissions=[_tcp(5432, **_from(stock.app))]
    )
    ec2.create_tags(
        Resources=[stock.db], Tags=_tags({"Project": "LoanManagementSystem", "by": "hand"})
    )
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=stock.app,
        IpPermissions=[_tcp(443, IpRanges=[{"CidrIp": "10.0.0.0/8", "Description": "Whoever"}])],
    )
    ec2.authorize_security_group_egress(GroupId=stock.db, IpPermissions=[ANY])
    _group(ec2, stock.vpc, "backdoor")


def test_what_was_damaged_is_named_and_put_back(stock: Stock) -> None:
    wanted = _live(stock.source)
    _damage(stock)
    plan = _plan(stock.source, wanted)
    assert _told(plan) == [
        ("update", "group/loan/db"),
        ("update", "rules/loan/app"),
        ("update", "rules/loan/db"),
        ("delete", "rules/loan/backdoor"),
        ("delete", "group/loan/backdoor"),
    ]
    assert {stock.source.by_hand(one) for one in plan} == {""}
    _apply(stock.source, plan)
    assert _live(stock.source) == wanted


def test_putting_back_again_changes_nothing(stock: Stock) -> None:
    wanted = _live(stock.source)
    _damage(stock)
    plan = _plan(stock.source, wanted)
    _apply(stock.source, plan)
    ec2, source = _recorded(stock)
    _apply(source, plan)
    assert ec2.written() == []
    assert _live(source) == wanted


def test_missing_rules_are_opened_before_surplus_ones_are_closed(stock: Stock) -> None:
    """In both directions: wanted traffic is open at every moment."""
    wanted = _live(stock.source)
    _damage(stock)
    ec2, source = _recorded(stock)
    _apply(source, [one for one in _plan(source, wanted) if one.key == "rules/loan/db"])
    assert ec2.written() == [
        "authorize_security_group_ingress",
        "revoke_security_group_ingress",
        "revoke_security_group_egress",
    ]


def test_a_rule_that_only_its_description_differs_in_is_never_closed(stock: Stock) -> None:
    wanted = _live(stock.source)
    _damage(stock)
    ec2, source = _recorded(stock)
    _apply(source, [one for one in _plan(source, wanted) if one.key == "rules/loan/app"])
    assert ec2.written() == ["update_security_group_rule_descriptions_ingress"]


def test_a_description_is_removed_by_leaving_it_out(stock: Stock) -> None:
    """moto removes none; what it is asked is what AWS documents."""
    wanted = _live(stock.source)
    stock.ec2.update_security_group_rule_descriptions_egress(
        GroupId=stock.worker,
        IpPermissions=[
            {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}]}
        ],
    )
    ec2, source = _recorded(stock)
    _apply(source, _plan(source, wanted))
    assert ec2.asked[-1] == (
        "update_security_group_rule_descriptions_egress",
        {"GroupId": stock.worker, "IpPermissions": [ANY]},
    )


def test_tags_of_a_rule_are_put_back_in_place(stock: Stock) -> None:
    wanted = _live(stock.source)
    rules = stock.ec2.describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [stock.app]}]
    )
    tagged = next(one for one in rules["SecurityGroupRules"] if one["Tags"])
    stock.ec2.create_tags(
        Resources=[tagged["SecurityGroupRuleId"]], Tags=_tags({"why": "?", "x": "y"})
    )
    ec2, source = _recorded(stock)
    _apply(source, _plan(source, wanted))
    assert ec2.written() == ["create_tags", "delete_tags"]
    assert _live(source) == wanted


def test_groups_that_refer_to_each_other_are_made_again(stock: Stock) -> None:
    wanted = _live(stock.source)
    _remove_all(stock)
    assert _live(stock.source) == {}
    plan = _plan(stock.source, wanted)
    assert _told(plan) == [("create", key) for key in EVERY]
    _apply(stock.source, plan)
    assert _live(stock.source) == wanted
    assert _plan(stock.source, wanted) == []


def test_the_default_rule_of_a_new_group_is_closed_where_it_is_not_wanted(stock: Stock) -> None:
    """EC2 opens all egress of a new group by itself."""
    wanted = _live(stock.source)
    assert [one.get("cidr_ipv4") for one in wanted["rules/loan/db"]["egress"]] == [None]
    _remove_all(stock)
    _apply(stock.source, _plan(stock.source, wanted))
    assert _live(stock.source)["rules/loan/db"]["egress"] == wanted["rules/loan/db"]["egress"]


def test_the_default_rule_is_closed_although_it_is_not_listed_yet(stock: Stock) -> None:
    """EC2 tells of what is new after a while; the stand-in at once, so an event hook is late."""
    group = _live(stock.source)["group/loan/db"]
    _remove_all(stock)
    source: Any = stock.source

    def nothing_yet(parsed: dict[str, Any], **_: Any) -> None:
        parsed["SecurityGroupRules"] = []

    source.network.ec2.meta.events.register(
        "after-call.ec2.DescribeSecurityGroupRules", nothing_yet
    )
    source.apply(Change("create", "group/loan/db", None, group))
    found = stock.ec2.describe_security_groups(
        Filters=[
            {"Name": "group-name", "Values": ["db"]},
            {"Name": "vpc-id", "Values": [stock.vpc]},
        ]
    )["SecurityGroups"]
    assert [one["IpPermissionsEgress"] for one in found] == [[]]


def test_a_rule_that_is_still_listed_although_it_was_closed_hinders_nothing(stock: Stock) -> None:
    """EC2 tells of a rule for a while after it was revoked; the stand-in is made to by event hooks:
    it lists the rule, and refuses a request that names it."""
    source: Any = stock.source
    wanted = _live(source)
    gone = "sgr-00000000000000000"
    stock.ec2.authorize_security_group_egress(GroupId=stock.db, IpPermissions=[ANY])

    def late(parsed: dict[str, Any], **_: Any) -> None:
        rule = {"SecurityGroupRuleId": gone, "GroupId": stock.db, "IsEgress": True}
        peer = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIpv4": "10.9.9.9/32"}
        parsed["SecurityGroupRules"].append({**rule, **peer})

    def refuse(params: dict[str, Any], **_: Any) -> Any:
        if gone not in params["body"].values():
            return None
        refusal = {"Error": {"Code": "InvalidSecurityGroupRuleId.NotFound"}}
        return AWSResponse(params["url"], 400, {}, None), refusal

    events = source.network.ec2.meta.events
    live = _live(source)["rules/loan/db"]
    events.register("after-call.ec2.DescribeSecurityGroupRules", late)
    events.register("before-call.ec2.RevokeSecurityGroupEgress", refuse)
    source.apply(Change("update", "rules/loan/db", live, wanted["rules/loan/db"]))
    events.unregister("after-call.ec2.DescribeSecurityGroupRules", late)
    assert _live(source) == wanted


def _remove_all(stock: Stock) -> None:
    for group in (stock.app, stock.db, stock.worker):
        stock.ec2.delete_security_group(GroupId=group)


def test_groups_that_refer_to_each_other_are_rid_of_it_before_they_are_deleted(
    stock: Stock,
) -> None:
    plan = _plan(stock.source, {})
    assert _told(plan) == [("delete", key) for key in reversed(EVERY)]
    _apply(stock.source, plan)
    assert _live(stock.source) == {}
    _apply(stock.source, plan)


def test_a_rule_about_a_group_that_is_missing_is_told_and_the_rest_is_done(stock: Stock) -> None:
    wanted = _live(stock.source)
    stock.ec2.delete_security_group(GroupId=stock.app)
    stock.ec2.delete_security_group(GroupId=stock.db)
    db, rules = wanted["group/loan/db"], wanted["rules/loan/db"]
    stock.source.apply(Change("create", "group/loan/db", None, db))
    with pytest.raises(ConfigurationError) as told:
        stock.source.apply(Change("create", "rules/loan/db", None, rules))
    assert told.value.message == (
        "rules of the security group loan/db refer to what is not there: security group loan/app"
    )
    assert told.value.hint == (
        "its other rules are as wanted; make what is missing, and run this again"
    )
    live = _live(stock.source)["rules/loan/db"]
    assert [one["group"]["name"] for one in live["ingress"]] == ["worker"]
    assert live["egress"] == rules["egress"]


def test_rules_of_a_group_that_is_missing_are_told(stock: Stock) -> None:
    rules = _live(stock.source)["rules/loan/db"]
    stock.ec2.delete_security_group(GroupId=stock.db)
    with pytest.raises(ConfigurationError) as told:
        stock.source.apply(Change("create", "rules/loan/db", None, rules))
    assert told.value.message == "there is no security group loan/db for these rules"
    assert told.value.hint == "recover group/loan/db too"


def test_a_vpc_that_is_missing_is_told(stock: Stock) -> None:
    wanted = {**_live(stock.source)["group/loan/app"], "vpc": "gone"}
    with pytest.raises(ConfigurationError) as told:
        stock.source.apply(Change("create", "group/gone/app", None, wanted))
    assert told.value.message == "there is no vpc gone for the security group gone/app"
    assert told.value.hint == "make the VPC first, with that tag Name, and run this again"


def test_a_group_in_use_is_not_deleted_and_its_users_are_named(stock: Stock) -> None:
    """moto would delete it; EC2 would refuse without saying why."""
    subnet = stock.ec2.create_subnet(VpcId=stock.vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    interface = stock.ec2.create_network_interface(
        SubnetId=subnet, Groups=[stock.app], Description="RDSNetworkInterface"
    )["NetworkInterface"]["NetworkInterfaceId"]
    plan = _plan(stock.source, {})
    deletion = next(one for one in plan if _told([one]) == [("delete", "group/loan/app")])
    assert stock.source.by_hand(deletion) == (
        f"group/loan/app is used by {interface} (RDSNetworkInterface): give these another group, "
        "and run this again"
    )
    with pytest.raises(ConfigurationError) as told:
        stock.source.apply(
            Change("delete", "group/loan/app", _live(stock.source)["group/loan/app"], None)
        )
    assert told.value.message == (
        f"the security group loan/app is still used by {interface} (RDSNetworkInterface), rules of "
        "db"
    )
    assert told.value.hint == (
        "give these another group, close the rules that refer to it, and run this again"
    )
    assert "group/loan/app" in _live(stock.source)


def test_a_description_is_left_to_a_person_and_the_rest_is_done(stock: Stock) -> None:
    wanted = _live(stock.source)
    wanted["group/loan/db"] = {**wanted["group/loan/db"], "description": "Another"}
    _damage(stock)
    by_hand = (
        "the description of group/loan/db cannot be changed: make another group with the "
        "description 'Another', give it to what uses this one, and delete this one; or store a new "
        "version"
    )
    (change,) = (one for one in _plan(stock.source, wanted) if one.key == "group/loan/db")
    assert stock.source.by_hand(change) == ""
    with pytest.raises(ConfigurationError) as told:
        _apply(stock.source, [change])
    assert f"{told.value.message}: {told.value.hint}" == by_hand
    (change,) = (one for one in _plan(stock.source, wanted) if one.key == "group/loan/db")
    assert stock.source.by_hand(change) == by_hand
    assert _live(stock.source)["group/loan/db"] == {
        **wanted["group/loan/db"],
        "description": "The db",
    }


def test_a_default_group_comes_and_goes_with_its_vpc(stock: Stock) -> None:
    content = {**_live(stock.source)["group/loan/app"], "name": "default"}
    item = Item(key="group/loan/default", content=content)
    words = "group/loan/default is made and deleted by EC2, together with its VPC"
    assert stock.source.by_hand(Planned("create", item.key, None, item)) == words
    assert stock.source.by_hand(Planned("delete", item.key, item, None)) == words


def test_a_group_without_any_rule_has_no_item_for_them(stock: Stock) -> None:
    alone = _group(stock.ec2, stock.vpc, "alone")
    stock.ec2.revoke_security_group_egress(GroupId=alone, IpPermissions=[ANY, ANY_IPV6])
    wanted = _live(stock.source)
    assert "group/loan/alone" in wanted
    assert "rules/loan/alone" not in wanted
    stock.ec2.delete_security_group(GroupId=alone)
    _apply(stock.source, _plan(stock.source, wanted))
    assert _live(stock.source) == wanted


def test_an_unchanged_source_gets_no_new_version(stock: Stock) -> None:
    first = stock.account.back_up(stock.source)
    again = stock.account.back_up(stock.source)
    assert (first.is_new, again.is_new) == (True, False)


# -- an isolated place


def test_copies_stand_beside_the_originals_and_are_removed_whole(stock: Stock) -> None:
    wanted = _live(stock.source)
    beside = stock.source.beside("run-1")
    assert beside is not None
    _apply(beside, _plan(beside, wanted))
    assert _live(beside) == wanted
    assert _plan(beside, wanted) == []
    copies = _copies(stock)
    assert sorted(copies) == [
        f"ledgerkeep-restore-test-run-1-{name}" for name in ("app", "db", "worker")
    ]
    assert _live(stock.source) == wanted
    beside.clear()
    assert _copies(stock) == {}
    beside.clear()
    assert _live(stock.source) == wanted


def _copies(stock: Stock) -> dict[str, Any]:
    found = stock.ec2.describe_security_groups()["SecurityGroups"]
    return {one["GroupName"]: one for one in found if one["GroupName"].startswith("ledgerkeep")}


def test_copies_refer_to_copies_and_have_no_tag_of_an_original(stock: Stock) -> None:
    beside = stock.source.beside("run-1")
    assert beside is not None
    _apply(beside, _plan(beside, _live(stock.source)))
    copies = _copies(stock)
    db = copies["ledgerkeep-restore-test-run-1-db"]
    referred = {
        pair["GroupId"] for rule in db["IpPermissions"] for pair in rule["UserIdGroupPairs"]
    }
    assert referred == {
        copies[f"ledgerkeep-restore-test-run-1-{name}"]["GroupId"] for name in ("app", "worker")
    }
    assert db["Tags"] == _tags({"ledgerkeep-restore-test-run-1-Project": "LoanManagementSystem"})


def test_only_an_isolated_place_can_be_cleared(stock: Stock) -> None:
    with pytest.raises(NotImplementedError):
        stock.source.clear()
    assert sorted(_live(stock.source)) == EVERY
