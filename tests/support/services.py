"""A cluster with two services on the stand-in, and an ECS of our own that takes its time.

The stand-in (moto) runs what is desired at once, and never fails. `SlowEcs` is a small fake of our
own around it: a deployment begins, goes on for some looks, then is through or has failed, as the
test says; with ECS's own rollback, where the service's circuit breaker has one.
"""

from typing import Any

from tests.support.configuration import REGION, Account

CLUSTER = "loan-management"
BACKEND, WORKER = f"{CLUSTER}/backend", f"{CLUSTER}/worker"


def definition(**changed: Any) -> dict[str, Any]:
    """A task definition as it is registered."""
    container = {
        "name": "app",
        "image": "loans:1.2.3",
        "essential": True,
        "portMappings": [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}],
        "command": ["serve", "--token", "t0ken-s3cret"],
        "environment": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "DB_PASSWORD", "value": "passw0rd-s3cret"},
            {"name": "DATABASE_URL", "value": "postgresql://app:url-s3cret@db/loans"},
        ],
        "secrets": [{"name": "API_KEY", "valueFrom": "arn:aws:ssm:eu-central-1:1:parameter/key"}],
        "dockerLabels": {"team": "lending"},
        "logConfiguration": {
            "logDriver": "splunk",
            "options": {"splunk-url": "https://log", "splunk-token": "log-s3cret"},
        },
        **changed.pop("container", {}),
    }
    sidecar = {"name": "agent", "image": "agent:1", "essential": False, "memory": 64}
    return {
        "family": "backend",
        "taskRoleArn": "arn:aws:iam::123456789012:role/loans",
        "executionRoleArn": "arn:aws:iam::123456789012:role/ecs",
        "networkMode": "bridge",
        "cpu": "256",
        "memory": "512",
        "requiresCompatibilities": ["EC2"],
        "volumes": [{"name": "data", "host": {"sourcePath": "/data"}}],
        "tags": [{"key": "owner", "value": "lending"}],
        "containerDefinitions": [container, sidecar],
        **changed,
    }


def stock(account: Account) -> Any:
    """A cluster with two services that run two tasks each; the client of its ECS."""
    ecs = account.client("ecs")
    ecs.create_cluster(clusterName=CLUSTER)
    for family in ("backend", "worker"):
        ecs.register_task_definition(**definition(family=family))
        ecs.create_service(
            cluster=CLUSTER,
            serviceName=family,
            taskDefinition=family,
            desiredCount=2,
            launchType="EC2",
            tags=[{"key": "owner", "value": "lending"}],
        )
        # The stand-in runs tasks only when it is told of another number.
        ecs.update_service(cluster=CLUSTER, service=family, desiredCount=2)
    return ecs


def variable(name: str, value: str) -> dict[str, Any]:
    """A change of `definition`: one environment variable instead of all."""
    return {"container": {"environment": [{"name": name, "value": value}]}}


def arn(revision: str) -> str:
    """Of `family:revision`."""
    return f"arn:aws:ecs:{REGION}:123456789012:task-definition/{revision}"


class SlowEcs:
    """A fake of our own: ECS whose deployments take some looks, and may fail."""

    def __init__(self, ecs: Any) -> None:
        self.ecs = ecs
        self.looks: dict[str, int] = {}
        """Revision → looks until it is through; a revision that is not named is at once."""
        self.failing: set[str] = set()
        """Revisions whose deployments fail when they would be through."""
        self.never: set[str] = set()
        """Revisions whose tasks stop as soon as they start, for ever."""
        self.rolls_back = False
        """Whether ECS goes back by itself when a deployment has failed."""
        self.updates: list[tuple[str, str]] = []
        self._seen: dict[tuple[str, str], int] = {}
        self._before: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ecs, name)

    def update_service(self, **request: Any) -> Any:
        if revision := request.get("taskDefinition"):
            answer = self.ecs.describe_services(
                cluster=request["cluster"], services=[request["service"]]
            )
            self._before[request["service"]] = answer["services"][0]["taskDefinition"]
            self.updates.append((request["service"], revision.rsplit("/", 1)[-1]))
            self._seen.pop((request["service"], revision), None)
        return self.ecs.update_service(**request)

    def describe_services(self, **request: Any) -> Any:
        answer = self.ecs.describe_services(**request)
        for service in answer["services"]:
            self._under_way(service)
        return answer

    def _under_way(self, service: dict[str, Any]) -> None:
        name, revision = service["serviceName"], service["taskDefinition"]
        if name not in self._before or self._before[name] == revision:
            return
        short = revision.rsplit("/", 1)[-1]
        seen = self._seen[name, revision] = self._seen.get((name, revision), 0) + 1
        through = short not in self.never and seen > self.looks.get(short, 0)
        if through and short not in self.failing:
            return
        newest = {**service["deployments"][0], "status": "PRIMARY", "taskDefinition": revision}
        old = {**newest, "status": "ACTIVE", "taskDefinition": self._before[name]}
        if through and self.rolls_back:
            self.ecs.update_service(
                cluster=service["clusterArn"].rsplit("/", 1)[-1],
                service=name,
                taskDefinition=self._before[name],
            )
            service |= {"taskDefinition": self._before[name], "deployments": [old]}
            old["status"] = "PRIMARY"
            return
        if through:
            newest |= {"rolloutState": "FAILED", "rolloutStateReason": "tasks failed to start"}
        service |= {"deployments": [newest, old]}
