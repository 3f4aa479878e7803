"""The lender's services in ECS: what the loan system runs, with its environment variables."""

from typing import Any

from include.sandbox.lender.account import LenderAccount
from include.sandbox.lender.seed import secret_value
from ledgerkeep.policy.configuration_sources import EcsCluster, Services

ROLES = ("backend", "worker")
_TASKS = 2


def variables(account: LenderAccount) -> dict[str, str]:
    """Secret variables: nobody should put one there, and everybody has found one there."""
    names = ("BROKER_PASSWORD", "SENTRY_AUTH_TOKEN")
    return {name: secret_value(account.seed, account.environment, name) for name in names}


def stock(account: LenderAccount, wanted: Services) -> None:
    """Make the clusters that the policy names, and two services in each."""
    client = account.client("ecs")
    for cluster in wanted.clusters:
        client.create_cluster(clusterName=cluster.name)
        names = service_names(cluster, account.environment)
        described = client.describe_services(cluster=cluster.name, services=names)["services"]
        there = {one["serviceName"] for one in described if one["status"] == "ACTIVE"}
        for name in names:
            if name not in there:
                _make(client, cluster.name, name, account)


def service_names(cluster: EcsCluster, environment: str) -> list[str]:
    """The services of a cluster."""
    return cluster.services or [f"loan-management-{role}-{environment}" for role in ROLES]


def task_definition(account: LenderAccount, name: str, release: str = "1.0.0") -> dict[str, Any]:
    """What a service runs, in a release."""
    parameter = f"/loan-management/{account.environment}/DATABASE_PASSWORD"
    plain = {"DJANGO_SETTINGS_MODULE": "loans.settings", "RELEASE": release, "WORKERS": "4"}
    return {
        "family": name,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "512",
        "memory": "1024",
        "executionRoleArn": f"arn:aws:iam::{account.id}:role/loan-management-execution",
        "taskRoleArn": f"arn:aws:iam::{account.id}:role/loan-management-backend",
        "containerDefinitions": [
            {
                "name": "app",
                "image": f"registry.example.com/loan-management:{release}",
                "essential": True,
                "portMappings": [{"containerPort": 8000, "protocol": "tcp"}],
                "environment": [
                    {"name": key, "value": value}
                    for key, value in {**plain, **variables(account)}.items()
                ],
                "secrets": [{"name": "DATABASE_PASSWORD", "valueFrom": parameter}],
            }
        ],
    }


def _make(client: Any, cluster: str, name: str, account: LenderAccount) -> None:
    client.register_task_definition(**task_definition(account, name))
    client.create_service(cluster=cluster, serviceName=name, taskDefinition=name)
    # The stand-in runs tasks only once it is told of another number than at first.
    client.update_service(cluster=cluster, service=name, desiredCount=_TASKS)
