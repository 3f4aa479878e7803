"""A rollback of services: planned, carried out, judged, undone. On the stand-in and `SlowEcs`."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.rollback.carry_out import go_back, judge, roll_back
from ledgerkeep.configuration.rollback.plan import (
    RollbackPlan,
    read_plan,
    readable,
    write_plan,
)
from ledgerkeep.configuration.rollback.request import read_form
from ledgerkeep.configuration.rollback.target import make_plan
from ledgerkeep.configuration.sources.services import Services
from ledgerkeep.ecs import ServiceState
from ledgerkeep.errors import (
    AwsUnavailable,
    ForeignVersion,
    LedgerkeepError,
    SourceChanged,
    VersionMissing,
)
from tests.support.configuration import Account, aws, open_account, policy_with
from tests.support.services import (
    BACKEND,
    CLUSTER,
    WORKER,
    SlowEcs,
    arn,
    definition,
    stock,
    variable,
)

__all__ = ["aws"]

SECRETS = ("t0ken-s3cret", "passw0rd-s3cret", "url-s3cret", "log-s3cret", "new-s3cret")


@pytest.fixture
def account(aws: None) -> Account:
    """Revision 1 of both services is exported; then both are deployed anew."""
    account = open_account(
        policy_with(services={"clusters": [{"name": CLUSTER}], "stable_within": "15m"})
    )
    ecs = stock(account)
    account.back_up(open_source("services", account.access, account.policy))
    deploy(ecs, "backend", **variable("DB_PASSWORD", "new-s3cret"))
    deploy(ecs, "worker", cpu="512")
    return account


@pytest.fixture
def services(account: Account) -> Services:
    source = open_source("services", account.access, account.policy)
    assert isinstance(source, Services)
    return replace(source, ecs=SlowEcs(source.ecs))


def slow(services: Services) -> SlowEcs:
    assert isinstance(services.ecs, SlowEcs)
    return services.ecs


def deploy(ecs: Any, family: str, **changed: Any) -> str:
    """Register a new revision and let the service run it."""
    answer = ecs.register_task_definition(**definition(family=family, **changed))
    revision: str = answer["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(cluster=CLUSTER, service=family, taskDefinition=revision)
    return revision


def planned(account: Account, services: Services, version: str, *chosen: str) -> RollbackPlan:
    request = read_form({"version": version, "services": list(chosen)})
    return make_plan(services, account.versions, account.marker, request)


def carried_out(account: Account, services: Services, plan: RollbackPlan) -> dict[str, str]:
    return roll_back(services, account.versions, account.marker, plan, tell=str)


def undone(account: Account, services: Services, plan: RollbackPlan) -> Any:
    return go_back(services, account.versions, plan, tell=str)


def runs(services: Services) -> dict[str, str]:
    return {key: one.task_definition.rsplit("/")[-1] for key, one in services.live().items()}


# -- planning


def test_a_plan_shows_from_what_to_what_and_no_secret(account: Account, services: Services) -> None:
    plan = planned(account, services, "newest")
    assert plan.describe() == [
        "all services, back to the newest version",
        BACKEND,
        "  backend:2 → backend:1",
        "  + /task_definition/containers/app/environment/DATABASE_URL: *** (secret)",
        "  - /task_definition/containers/app/environment/DB_PASSWORD: *** (secret)",
        "  + /task_definition/containers/app/environment/DB_PASSWORD: *** (secret)",
        '  + /task_definition/containers/app/environment/LOG_LEVEL: "info"',
        WORKER,
        "  worker:2 → worker:1",
        '  - /task_definition/cpu: "512"',
        '  + /task_definition/cpu: "256"',
    ]
    shown = readable(plan, reason="INC-7: broken", asked_by="dana")
    assert "| asked for by | dana |" in shown
    text = plan.to_json().decode() + shown
    assert [one for one in SECRETS if one in text] == []


def test_a_plan_is_written_down_and_read_again(account: Account, services: Services) -> None:
    plan = planned(account, services, "newest")
    short = write_plan(account.versions, plan)
    assert (read_plan(account.versions, short), short.changes) == (plan, 2)


@pytest.mark.parametrize(
    ("version", "chosen", "steps", "same"),
    [
        ("1", (), {BACKEND: "backend:1", WORKER: "worker:1"}, []),
        ("1", ("worker",), {WORKER: "worker:1"}, []),
        ("backend:1", (), {BACKEND: "backend:1"}, []),
        (arn("backend:1"), ("backend",), {BACKEND: "backend:1"}, []),
        ("2", (), {}, [BACKEND, WORKER]),
    ],
)
def test_a_revision_is_that_of_the_services_own_family(
    account: Account,
    services: Services,
    version: str,
    chosen: tuple[str, ...],
    steps: dict[str, str],
    same: list[str],
) -> None:
    plan = planned(account, services, version, *chosen)
    assert {one.key: one.after.rsplit("/")[-1] for one in plan.steps} == steps
    assert plan.same == same


def test_a_time_means_the_version_that_was_stored_then(
    account: Account, services: Services
) -> None:
    first = account.versions.newest("services")
    account.back_up(services)
    assert first is not None
    between = datetime.now(UTC).isoformat()
    assert planned(account, services, between).steps == []
    then = first.created_at.isoformat()
    plan = planned(account, services, then)
    assert (plan.version_id, len(plan.steps)) == (first.id, 2)
    assert planned(account, services, first.id).version_id == first.id


@pytest.mark.parametrize(
    ("version", "chosen", "message", "hint"),
    [
        (
            "backend:99",
            (),
            "there is no revision backend:99",
            "the newest active ones are backend:2, backend:1",
        ),
        (
            "backend:1",
            ("worker",),
            f"backend:1 is of the family backend, and {WORKER} runs worker",
            "choose the services that run it, or give only the number of the revision",
        ),
        (
            "front:1",
            (),
            "no service runs the family front",
            "name the services, or another revision",
        ),
        (
            "newest",
            ("new",),
            "version {newest} has no service loan-management/new",
            "it was made later, or not exported then; choose other services, or another version",
        ),
    ],
)
def test_what_cannot_be_reached_is_refused_with_what_can(
    account: Account,
    services: Services,
    version: str,
    chosen: tuple[str, ...],
    message: str,
    hint: str,
) -> None:
    services.ecs.create_service(cluster=CLUSTER, serviceName="new", taskDefinition="worker")
    newest = account.versions.newest("services")
    assert newest is not None
    with pytest.raises(LedgerkeepError) as caught:
        planned(account, services, version, *chosen)
    assert caught.value.message == message.replace("{newest}", newest.id)
    assert caught.value.hint == hint


def test_versions_that_are_missing_or_of_another_account_are_refused(
    account: Account, services: Services
) -> None:
    with pytest.raises(VersionMissing):
        planned(account, services, "20200101T000000000000Z-abcdef")
    elsewhere = services.owner.model_copy(update={"account": "210987654321"})
    with pytest.raises(ForeignVersion):
        planned(account, replace(services, owner=elsewhere), "newest")


def test_a_service_that_another_deployer_deploys_is_refused(
    account: Account, services: Services
) -> None:
    services.ecs.create_service(
        cluster=CLUSTER,
        serviceName="blue",
        taskDefinition="worker",
        deploymentController={"type": "CODE_DEPLOY"},
    )
    with pytest.raises(LedgerkeepError) as caught:
        planned(account, services, "1")
    assert str(caught.value) == (
        f"{CLUSTER}/blue is deployed by CODE_DEPLOY, and only that can roll it back\n"
        "Hint: roll it back there, and choose the other services here"
    )


def test_whoever_approves_is_told_that_nothing_will_show(
    account: Account, services: Services
) -> None:
    services.ecs.update_service(cluster=CLUSTER, service="worker", desiredCount=0)
    assert planned(account, services, "1").doubts() == [
        f"{WORKER} shall run no task, so nothing shows whether one would start"
    ]


# -- carrying out


def test_services_run_what_was_planned_and_doing_it_again_deploys_nothing(
    account: Account, services: Services
) -> None:
    plan = planned(account, services, "newest")
    deployed = carried_out(account, services, plan)
    assert deployed == {BACKEND: arn("backend:1"), WORKER: arn("worker:1")}
    assert runs(services) == {BACKEND: "backend:1", WORKER: "worker:1"}
    assert carried_out(account, services, plan) == deployed
    assert slow(services).updates == [("backend", "backend:1"), ("worker", "worker:1")]
    assert planned(account, services, "newest").steps == []


@pytest.mark.parametrize("version", ["newest", "backend:1"])
def test_a_retired_revision_is_registered_once_with_its_secrets(
    account: Account, services: Services, version: str
) -> None:
    services.ecs.deregister_task_definition(taskDefinition="backend:1")
    plan = planned(account, services, version, "backend")
    assert (plan.steps[0].after, len(plan.describe())) == ("", 7)
    assert "→ a new revision, as in " in plan.steps[0].words
    for _ in range(2):
        assert carried_out(account, services, plan) == {BACKEND: arn("backend:3")}
    assert services.revisions.read("backend:3").content == (
        services.revisions.read("backend:1").content
    )
    assert undone(account, services, plan) == ({BACKEND: arn("backend:2")}, [])


def test_a_rollback_that_was_killed_halfway_goes_on(account: Account, services: Services) -> None:
    plan = planned(account, services, "newest")

    class Dying:
        """A fake of our own: the second deployment is not answered."""

        def __getattr__(self, name: str) -> Any:
            return getattr(services.ecs, name)

        def update_service(self, **request: Any) -> Any:
            if request["service"] == "worker":
                raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "UpdateService")
            return services.ecs.update_service(**request)

    with pytest.raises(AwsUnavailable):
        carried_out(account, replace(services, ecs=Dying()), plan)  # type: ignore[arg-type]
    assert runs(services) == {BACKEND: "backend:1", WORKER: "worker:2"}
    carried_out(account, services, plan)
    assert runs(services) == {BACKEND: "backend:1", WORKER: "worker:1"}


def test_what_somebody_else_deployed_meanwhile_is_not_touched(
    account: Account, services: Services
) -> None:
    plan = planned(account, services, "newest")
    deploy(services.ecs, "worker", cpu="1024")
    with pytest.raises(SourceChanged) as caught:
        carried_out(account, services, plan)
    assert str(caught.value) == (
        f"{WORKER} ran worker:2 when the rollback was planned, and now runs worker:3\n"
        "Hint: somebody else deploys it; find out who, then start the rollback again"
    )
    assert runs(services) == {BACKEND: "backend:2", WORKER: "worker:3"}
    assert undone(account, services, plan) == ({}, [])


def test_only_what_was_planned_is_deployed(account: Account, services: Services) -> None:
    plan = planned(account, services, "1")
    step = plan.steps[0].model_copy(update={"content_sha256": "0" * 64})
    forged = plan.model_copy(update={"steps": [step]})
    with pytest.raises(SourceChanged) as caught:
        carried_out(account, services, forged)
    assert caught.value.message == f"what {BACKEND} shall run is no longer what was planned"
    assert runs(services) == {BACKEND: "backend:2", WORKER: "worker:2"}


# -- going back


def test_all_services_go_back_to_what_they_ran(account: Account, services: Services) -> None:
    plan = planned(account, services, "newest")
    carried_out(account, services, plan)
    for _ in range(2):
        assert undone(account, services, plan) == (
            {BACKEND: arn("backend:2"), WORKER: arn("worker:2")},
            [],
        )
    assert runs(services) == {BACKEND: "backend:2", WORKER: "worker:2"}
    assert len(slow(services).updates) == 4


def test_going_back_leaves_alone_what_somebody_else_did(
    account: Account, services: Services
) -> None:
    plan = planned(account, services, "newest")
    carried_out(account, services, plan)
    deploy(services.ecs, "worker", cpu="1024")
    services.ecs.delete_service(cluster=CLUSTER, service="backend", force=True)
    assert undone(account, services, plan) == (
        {},
        [
            f"{BACKEND} is gone: it is left alone",
            f"{WORKER} runs worker:3, which somebody else deployed: it is left alone",
        ],
    )


def test_nothing_goes_back_before_anything_was_deployed(
    account: Account, services: Services
) -> None:
    """Not even what somebody deployed that happens to be the target."""
    plan = planned(account, services, "newest")
    services.deploy(BACKEND, arn("backend:1"))
    assert undone(account, services, plan) == ({}, [])
    assert runs(services)[BACKEND] == "backend:1"


def test_what_ran_before_is_registered_anew_if_it_was_retired_meanwhile(
    account: Account, services: Services
) -> None:
    plan = planned(account, services, "1", "backend")
    carried_out(account, services, plan)
    services.ecs.deregister_task_definition(taskDefinition="backend:2")
    for _ in range(2):
        assert undone(account, services, plan) == ({BACKEND: arn("backend:3")}, [])


# -- judging


def state(**fields: Any) -> ServiceState:
    return ServiceState.model_validate(
        {
            **{"name": "x", "desired": 2, "running": 2, "deployments": 1},
            "task_definition": arn("x:1"),
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("found", "waiting", "failed"),
    [
        (state(), {}, {}),
        (state(deployments=2), {"c/x": "x: 2 of 2 tasks run, 2 deployments under way"}, {}),
        (state(running=1), {"c/x": "x: 1 of 2 tasks run, 1 deployments under way"}, {}),
        (state(failed="no image"), {}, {"c/x": "x: the deployment failed: no image"}),
        (
            state(task_definition=arn("x:2")),
            {},
            {"c/x": "it was set to x:2 by ECS or somebody else"},
        ),
        (None, {}, {"c/x": "it is gone"}),
    ],
)
def test_a_service_is_stable_only_with_the_revision_it_shall_run(
    found: ServiceState | None, waiting: dict[str, str], failed: dict[str, str]
) -> None:
    judged = judge({"c/x": found} if found else {}, {"c/x": arn("x:1")})
    assert (judged.waiting, judged.failed) == (waiting, failed)


@pytest.mark.parametrize("rolls_back", [False, True])
def test_a_deployment_that_takes_its_time_then_fails_is_seen(
    account: Account, services: Services, rolls_back: bool
) -> None:
    """Also where ECS's circuit breaker has set the service back by itself, and it is stable."""
    ecs = slow(services)
    ecs.looks["backend:1"], ecs.rolls_back = 2, rolls_back
    ecs.failing.add("backend:1")
    deployed = carried_out(account, services, planned(account, services, "backend:1"))
    seen = [judge(services.states(deployed), deployed) for _ in range(3)]
    assert [bool(one.waiting) for one in seen] == [True, True, False]
    assert seen[-1].failed == {
        BACKEND: "it was set to backend:2 by ECS or somebody else"
        if rolls_back
        else "backend: the deployment failed: tasks failed to start"
    }
