"""The lender's security groups: a load balancer, the application behind it, the database."""

from typing import Any

from include.sandbox.lender.account import TAGS, LenderAccount

BALANCER, APPLICATION, DATABASE = (
    "loan-management-balancer",
    "loan-management-application",
    "loan-management-database",
)
_NETWORK = "10.20.0.0/16"


def stock(account: LenderAccount) -> None:
    """Make the network and its groups, which refer to each other."""
    ec2 = account.client("ec2")
    name = f"loan-management-{account.environment}"
    wanted = [{"Name": "tag:Name", "Values": [name]}]
    if ec2.describe_vpcs(Filters=wanted)["Vpcs"]:
        return
    network = ec2.create_vpc(CidrBlock=_NETWORK)["Vpc"]["VpcId"]
    balancer, application, database = (
        ec2.create_security_group(
            GroupName=group,
            Description=f"{group} of the loan system",
            VpcId=network,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": TAGS}],
        )["GroupId"]
        for group in (BALANCER, APPLICATION, DATABASE)
    )
    _admit(ec2, balancer, 443, IpRanges=[{"CidrIp": "0.0.0.0/0", "Description": "customers"}])
    _admit(ec2, application, 8000, UserIdGroupPairs=[_group(balancer, "requests")])
    _admit(ec2, database, 5432, UserIdGroupPairs=[_group(application, "queries")])
    # Replicas of the database talk to each other.
    _admit(ec2, database, 5432, UserIdGroupPairs=[_group(database, "replication")])
    ec2.authorize_security_group_egress(
        GroupId=application,
        IpPermissions=[_permission(5432, UserIdGroupPairs=[_group(database, "queries")])],
    )
    # Last: with its name, all the rest is there.
    ec2.create_tags(Resources=[network], Tags=[{"Key": "Name", "Value": name}])


def group_id(account: LenderAccount, name: str) -> str:
    """The id of one of the groups, which another start of the stand-in gives anew."""
    found = account.client("ec2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [name]}]
    )
    group: str = found["SecurityGroups"][0]["GroupId"]
    return group


def _admit(ec2: Any, group: str, port: int, **whom: Any) -> None:
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_permission(port, **whom)])


def _permission(port: int, **whom: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **whom}


def _group(group: str, why: str) -> dict[str, str]:
    return {"GroupId": group, "Description": why}
