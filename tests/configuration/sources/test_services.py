"""ECS services as a source: settings and task definitions exported, put back, waited for.

The stand-in (moto) keeps no placement, no deployment configuration and no service connect of a
service that is created, and starts what is desired at once. Settings that it does not keep are
tested on the pure functions (test_services_settings), slow and failing deployments on `SlowEcs`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.stub import Stubber

from ledgerkeep.configuration.items import Item, Secret
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Source
from ledgerkeep.configuration.sources.services import Services, revision_of
from ledgerkeep.errors import AwsRefused, AwsUnavailable
from tests.support.configuration import Account, aws, open_account, policy_with
from tests.support.services import BACKEND, CLUSTER, WORKER, SlowEcs, arn, definition, stock

__all__ = ["aws"]

SECRETS = (b"t0ken-s3cret", b"passw0rd-s3cret", b"url-s3cret", b"log-s3cret")


@pytest.fixture
def account(aws: None) -> Account:
    account = open_account(
        policy_with(services={"clusters": [{"name": CLUSTER}], "stable_within": "15m"})
    )
    stock(account)
    return account


@pytest.fixture
def source(account: Account) -> Services:
    source = open_source("services", account.access, account.policy)
    assert isinstance(source, Services)
    return source


def contents(source: Source) -> dict[str, Mapping[str, Any]]:
    return {one.key: one.content for one in source.export({}) if isinstance(one, Found)}


def put_back(source: Source, wanted: dict[str, Mapping[str, Any]]) -> None:
    live = contents(source)
    for key in sorted(live.keys() | wanted.keys()):
        if live.get(key) != wanted.get(key):
            source.apply(Change("update", key, live.get(key), wanted.get(key)))


def test_a_service_is_exported_with_everything_of_its_task_definition(source: Services) -> None:
    found = contents(source)
    assert sorted(found) == [BACKEND, WORKER]
    assert found[BACKEND] == {
        "settings": {
            "deploymentController": {"type": "ECS"},
            "desiredCount": 2,
            "launchType": "EC2",
            "propagateTags": "NONE",
            "schedulingStrategy": "REPLICA",
        },
        "tags": {"owner": "lending"},
        "task_definition": {
            "family": "backend",
            "taskRoleArn": "arn:aws:iam::123456789012:role/loans",
            "executionRoleArn": "arn:aws:iam::123456789012:role/ecs",
            "networkMode": "bridge",
            "cpu": "256",
            "memory": "512",
            "requiresCompatibilities": ["EC2"],
            "volumes": {"data": {"host": {"sourcePath": "/data"}}},
            "tags": {"owner": "lending"},
            "containers": {
                "agent": {
                    "image": "agent:1",
                    "cpu": 0,
                    "memory": 64,
                    "essential": False,
                    "environment": {},
                    "secrets": {},
                },
                "app": {
                    "image": "loans:1.2.3",
                    "cpu": 0,
                    "essential": True,
                    "portMappings": [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}],
                    "command": ["serve", "--token", Secret("t0ken-s3cret")],
                    "environment": {
                        "DATABASE_URL": Secret("postgresql://app:url-s3cret@db/loans"),
                        "DB_PASSWORD": Secret("passw0rd-s3cret"),
                        "LOG_LEVEL": "info",
                    },
                    "secrets": {"API_KEY": "arn:aws:ssm:eu-central-1:1:parameter/key"},
                    "dockerLabels": {"team": "lending"},
                    "logConfiguration": {
                        "logDriver": "splunk",
                        "options": {
                            "splunk-token": Secret("log-s3cret"),
                            "splunk-url": "https://log",
                        },
                    },
                },
            },
        },
    }


def test_a_version_holds_no_secret_in_the_clear(account: Account, source: Services) -> None:
    version = account.back_up(source).version
    assert version.secret_count == 8
    bodies = b"".join(one.body for one in account.store.objects.values())
    assert [one for one in SECRETS if one in bodies] == []


def test_a_task_definition_is_not_read_again_while_the_service_runs_it(
    account: Account, source: Services
) -> None:
    account.back_up(source)
    assert account.back_up(source).read_items == 0
    ecs = account.client("ecs")
    ecs.register_task_definition(**definition(cpu="512"))
    assert account.back_up(source).read_items == 0
    ecs.update_service(cluster=CLUSTER, service="backend", taskDefinition=arn("backend:2"))
    changed = account.back_up(source)
    assert (changed.read_items, [one.key for one in changed.changes]) == (1, [BACKEND])
    ecs.update_service(cluster=CLUSTER, service="worker", desiredCount=3)
    assert [one.key for one in account.back_up(source).changes] == [WORKER]


def test_the_mark_tells_the_revision(source: Services) -> None:
    marks = {one.key: one.mark for one in source.export({}) if isinstance(one, Found)}
    assert revision_of(marks[BACKEND]) == arn("backend:1")
    assert all(isinstance(one, Known) for one in source.export(marks))


def test_damage_is_named_and_put_back(account: Account, source: Services) -> None:
    before = contents(source)
    version = account.back_up(source).version
    ecs = account.client("ecs")
    ecs.register_task_definition(**definition(container={"image": "evil:1", "environment": []}))
    ecs.update_service(
        cluster=CLUSTER, service="backend", taskDefinition=arn("backend:2"), desiredCount=7
    )
    service = ecs.describe_services(cluster=CLUSTER, services=["backend"])["services"][0]
    ecs.tag_resource(resourceArn=service["serviceArn"], tags=[{"key": "more", "value": "1"}])
    ecs.delete_service(cluster=CLUSTER, service="worker", force=True)
    ecs.create_service(cluster=CLUSTER, serviceName="new", taskDefinition="worker", desiredCount=1)

    damaged = account.back_up(source)
    assert [(one.action, one.key) for one in damaged.changes] == [
        ("update", BACKEND),
        ("create", f"{CLUSTER}/new"),
        ("delete", WORKER),
    ]
    put_back(source, before)
    assert contents(source) == before
    assert account.back_up(source, reread=True).version.content_sha256 == version.content_sha256
    # Revisions that hold the same are used again.
    assert len(ecs.list_task_definitions(familyPrefix="backend")["taskDefinitionArns"]) == 2
    for key in before:
        source.apply(Change("update", key, None, before[key]))
    assert contents(source) == before


def test_a_retired_revision_is_registered_anew_with_its_secrets(
    account: Account, source: Services
) -> None:
    before = contents(source)
    ecs = account.client("ecs")
    ecs.register_task_definition(**definition(cpu="512"))
    ecs.update_service(cluster=CLUSTER, service="backend", taskDefinition=arn("backend:2"))
    ecs.deregister_task_definition(taskDefinition="backend:1")
    put_back(source, before)
    assert contents(source) == before
    service = ecs.describe_services(cluster=CLUSTER, services=["backend"])["services"][0]
    assert service["taskDefinition"] == arn("backend:3")


def test_a_service_that_runs_the_right_thing_is_left_alone_although_it_was_retired(
    account: Account, source: Services
) -> None:
    before = contents(source)
    ecs = SlowEcs(account.client("ecs"))
    ecs.deregister_task_definition(taskDefinition="backend:1")
    replace(source, ecs=ecs).apply(Change("update", BACKEND, None, before[BACKEND]))
    assert ecs.updates == []
    assert contents(source) == before


def test_a_service_that_is_scaled_tells_no_number_of_tasks(
    account: Account, source: Services
) -> None:
    scaled = replace(source, scaled=frozenset({"backend"}))
    before = contents(scaled)
    assert "desiredCount" not in before[BACKEND]["settings"]
    ecs = account.client("ecs")
    ecs.update_service(cluster=CLUSTER, service="backend", desiredCount=9)
    assert contents(scaled) == before
    scaled.apply(Change("update", BACKEND, None, before[BACKEND]))
    ecs.delete_service(cluster=CLUSTER, service="backend", force=True)
    scaled.apply(Change("create", BACKEND, None, before[BACKEND]))
    service = ecs.describe_services(cluster=CLUSTER, services=["backend"])["services"][0]
    assert service["desiredCount"] == 1


def test_all_pages_of_a_cluster_are_read(account: Account, source: Services) -> None:
    ecs = account.client("ecs")
    for number in range(25):
        ecs.create_service(
            cluster=CLUSTER, serviceName=f"many-{number:02}", taskDefinition="worker"
        )
    assert len(contents(source)) == 27


def test_only_the_services_that_the_policy_names_count(source: Services) -> None:
    named = replace(source, clusters={CLUSTER: ("worker", "gone")})
    found = contents(named)
    assert sorted(found) == [WORKER]
    items = {key: Item(key=key, content={}) for key in found}
    assert named.findings(items, {}) == [
        f"the cluster {CLUSTER} has no service gone, which the policy names"
    ]
    assert source.findings(items, {}) == []


# -- waiting


def test_settled_waits_until_the_deployment_is_through(account: Account, source: Services) -> None:
    slow, slept = SlowEcs(account.client("ecs")), []
    account.client("ecs").register_task_definition(**definition(cpu="512"))
    slow.looks["backend:2"] = 3
    waiting = replace(source, ecs=slow, sleep=slept.append)
    waiting.deploy(BACKEND, arn("backend:2"))
    assert waiting.settled([BACKEND, WORKER, f"{CLUSTER}/gone"]) == []
    assert slept == [10.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("failing", "backend: the deployment failed: tasks failed to start"),
        ("never", "backend: 2 of 2 tasks run, 2 deployments under way"),
    ],
)
def test_settled_says_what_did_not_come_in_the_policys_time(
    account: Account, source: Services, how: str, words: str
) -> None:
    slow = SlowEcs(account.client("ecs"))
    account.client("ecs").register_task_definition(**definition(cpu="512"))
    getattr(slow, how).add("backend:2")
    waiting = replace(source, ecs=slow, patience=0.0)
    waiting.deploy(BACKEND, arn("backend:2"))
    assert waiting.settled([BACKEND]) == [words]


# -- what only a person can do


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {"desiredCount": 1}, ""),
        (
            {"schedulingStrategy": "DAEMON"},
            {"schedulingStrategy": "REPLICA"},
            f"ecs changes schedulingStrategy of {BACKEND} only by making it anew: delete the "
            "service, then restore it",
        ),
        (
            {"deploymentController": {"type": "CODE_DEPLOY"}},
            {"deploymentController": {"type": "CODE_DEPLOY"}},
            f"{BACKEND} is deployed by CODE_DEPLOY: let that deploy what it shall run",
        ),
    ],
)
def test_what_only_a_person_can_do_is_said(
    source: Services, before: dict[str, Any], after: dict[str, Any], words: str
) -> None:
    one, other = (Item(key=BACKEND, content={"settings": it}) for it in (before, after))
    assert source.by_hand(Planned("update", BACKEND, one, other)) == words
    assert source.by_hand(Planned("create", BACKEND, None, other)) == ""


def test_a_service_with_task_sets_is_exported_and_left_to_its_deployer(source: Services) -> None:
    """With the controller EXTERNAL it has no task definition, which the stand-in always gives."""

    def external(parsed: dict[str, Any], **_: Any) -> None:
        for one in parsed["services"]:
            if one["serviceName"] == BACKEND.split("/")[1]:
                del one["taskDefinition"]
                one["deploymentController"] = {"type": "EXTERNAL"}

    source.ecs.meta.events.register("after-call.ecs.DescribeServices", external)
    found = contents(source)
    assert found[BACKEND]["task_definition"] == {}
    assert found[WORKER]["task_definition"]["family"]
    settings = {"deploymentController": {"type": "EXTERNAL"}}
    stored = Item(key=BACKEND, content={"settings": settings, "task_definition": {}})
    anew = Planned("create", BACKEND, None, stored)
    words = f"{BACKEND} has task sets, which Ledgerkeep does not export: let its deployer make it"
    assert source.by_hand(anew) == words
    assert source.beside("run-1").by_hand(anew) == words
    changed = source.by_hand(Planned("update", BACKEND, stored, stored))
    assert changed == f"{BACKEND} is deployed by EXTERNAL: let that deploy what it shall run"


# -- an isolated place


def test_an_isolated_place_holds_task_definitions_and_no_service(
    account: Account, source: Services
) -> None:
    original = contents(source)
    ecs = account.client("ecs")
    services = ecs.list_services(cluster=CLUSTER)["serviceArns"]
    beside = source.beside("run-1")
    for _ in range(2):
        for key, content in original.items():
            beside.apply(Change("create", key, None, content))
        assert contents(beside) == original
    assert beside.scope() == source.scope()
    assert ecs.list_services(cluster=CLUSTER)["serviceArns"] == services
    copies = ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
    assert len([one for one in copies if "ledgerkeep-restore-test-run-1-" in one]) == 2
    beside.apply(Change("delete", BACKEND, None, None))
    assert sorted(contents(beside)) == [WORKER]
    beside.clear()
    beside.clear()
    left = [
        one
        for status in ("ACTIVE", "INACTIVE")
        for one in ecs.list_task_definitions(status=status)["taskDefinitionArns"]
    ]
    assert sorted(left) == [arn("backend:1"), arn("worker:1")]
    assert contents(source) == original


def test_only_an_isolated_place_can_be_cleared(source: Services) -> None:
    with pytest.raises(NotImplementedError):
        source.clear()


# -- refusals


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        ("ThrottlingException", AwsUnavailable, "nothing was changed; it is tried again"),
        (
            "ClusterNotFoundException",
            AwsRefused,
            "correct configuration.sources.services.clusters in the policy",
        ),
        (
            "AccessDeniedException",
            AwsRefused,
            "allow ecs:ListServices, ecs:DescribeServices, ecs:DescribeTaskDefinition and "
            "ecs:ListTaskDefinitions, and for a recovery ecs:RegisterTaskDefinition, "
            "ecs:CreateService, ecs:UpdateService, ecs:DeleteService, ecs:TagResource, "
            "ecs:UntagResource, and iam:PassRole on the tasks' roles, and for a restore test "
            "ecs:ListTaskDefinitionFamilies, ecs:DeregisterTaskDefinition and "
            "ecs:DeleteTaskDefinitions, to the identity of the connection",
        ),
    ],
)
def test_refusals_name_what_to_do(
    account: Account, source: Services, code: str, kind: type[AwsRefused], hint: str
) -> None:
    ecs = account.client("ecs")
    with Stubber(ecs) as stub:
        stub.add_client_error("list_services", code)
        with pytest.raises(kind) as caught:
            list(replace(source, ecs=ecs).export({}))
    assert caught.value.message.endswith(f"list the services of the cluster {CLUSTER} ({code})")
    assert (caught.value.hint, type(caught.value)) == (hint, kind)
