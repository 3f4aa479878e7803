"""The environment variables of the sandbox: for Airflow, for its tasks, and for a person's shell.

Everything a real deployment would get from its configuration and its secrets backend comes from
here: the connections that the policies name, and where this worker keeps programs and rooms. The
three environments share the sandbox's servers; each has its buckets. What the policies call a
replica lies on a store of its own, the second region.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from include.sandbox.lender.account import role_arn
from include.sandbox.lender.saas import logins
from include.sandbox.objectstore import REGION
from include.sandbox.place import Place
from include.sandbox.processes import inherited_environment
from include.sandbox.state import Ports, Secrets, State
from ledgerkeep.configuration.registry import source_names
from ledgerkeep.policy.model import Policy

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "include" / "policies"
DATABASE = "loan_management"
METADATA = "airflow"
ACCOUNT_SEED = "SANDBOX_ACCOUNT_SEED"
"""Where the AWS stand-in finds what the accounts' keys follow from."""


def airflow_url(ports: Ports) -> str:
    """Address of the Airflow UI and of its REST API."""
    return f"http://127.0.0.1:{ports.airflow}"


def store_url(ports: Ports) -> str:
    """Address of the object store."""
    return f"http://127.0.0.1:{ports.store}"


def replica_url(ports: Ports) -> str:
    """Address of the object store of the second region."""
    return f"http://127.0.0.1:{ports.replica}"


def aws_url(ports: Ports) -> str:
    """Address of the AWS stand-in, for everything but S3."""
    return f"http://127.0.0.1:{ports.aws}"


def saas_url(ports: Ports) -> str:
    """Address of the stand-in for Auth0, DocuSign and SendGrid."""
    return f"http://127.0.0.1:{ports.saas}"


def worker_variables(place: Place, policies_in: Path = POLICIES) -> dict[str, str]:
    """Settings of Ledgerkeep's worker, see `ledgerkeep.worker`.

    :param policies_in: directory of the policy files.
    """
    return {
        "LEDGERKEEP_POLICIES": str(policies_in),
        "LEDGERKEEP_EXPECTATIONS": str(ROOT / "include" / "expectations"),
        "LEDGERKEEP_REPORT_TEMPLATES": str(ROOT / "include" / "reports"),
        "LEDGERKEEP_SQL": str(ROOT / "include" / "sql"),
        "LEDGERKEEP_RUNBOOKS": str(ROOT / "include" / "runbooks"),
        "LEDGERKEEP_REGISTERS": str(ROOT / "include" / "registers"),
        "LEDGERKEEP_POSTGRES_PROGRAMS": str(place.programs.directory),
        "LEDGERKEEP_ROOMS": str(place.rooms),
        "LEDGERKEEP_SERVER_ACCOUNT": place.account.name,
        # The policies ask for KMS, which this store keeps in memory only: a key would not
        # survive a restart. SSE-S3 it has for real.
        "LEDGERKEEP_STORE_ENCRYPTION": "AES256",
    }


def aws_variables(state: State) -> dict[str, str]:
    """What an AWS client needs to reach the sandbox and nothing else."""
    return {
        "AWS_ENDPOINT_URL": aws_url(state.ports),
        "AWS_ENDPOINT_URL_S3": store_url(state.ports),
        "AWS_ACCESS_KEY_ID": state.secrets.store_key,
        "AWS_SECRET_ACCESS_KEY": state.secrets.store_secret,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def database_url(state: State) -> str:
    """Address of the loan database."""
    return (
        f"postgresql://postgres:{state.secrets.database_password}"
        f"@127.0.0.1:{state.ports.database}/{DATABASE}"
    )


def own_buckets(policies: Iterable[Policy]) -> tuple[str, ...]:
    """The buckets that the policies back up into."""
    return tuple(sorted({policy.storage.bucket for policy in policies}))


def vault_buckets(policies: Iterable[Policy]) -> tuple[str, ...]:
    """The buckets of the policies' vaults, which another account opens."""
    archives = (policy.database.compliance_archive for policy in policies)
    return tuple(sorted({archive.vault.bucket for archive in archives if archive}))


def buckets_here(policies: Iterable[Policy]) -> tuple[str, ...]:
    """Everything that the first region's store holds but the vaults."""
    known = tuple(policies)
    return (*own_buckets(known), *documents_buckets(known))


def documents_buckets(policies: Iterable[Policy]) -> tuple[str, ...]:
    """The buckets of the documents."""
    return tuple(sorted({policy.documents.bucket for policy in policies if policy.documents}))


def replica_buckets(policies: Iterable[Policy]) -> tuple[str, ...]:
    """The buckets of the documents' replicas, which lie in the second region."""
    return tuple(
        sorted(
            {
                policy.documents.replica.bucket
                for policy in policies
                if policy.documents and policy.documents.replica
            }
        )
    )


def connections(state: State, policies: Iterable[Policy]) -> dict[str, str]:
    """Every connection that a policy names, as Airflow reads them from the environment."""
    return {
        f"AIRFLOW_CONN_{connection_id.upper()}": json.dumps(connection)
        for policy in policies
        for connection_id, connection in _wanted_connections(state, policy).items()
    }


def airflow_variables(
    state: State,
    home: Path,
    place: Place,
    policies: Iterable[Policy],
    *,
    policies_in: Path = POLICIES,
) -> dict[str, str]:
    """The whole environment of the Airflow processes and of their tasks.

    :param policies_in: directory of the policy files.
    """
    airflow_home = home / "airflow"
    metadata = (
        f"postgresql+psycopg2://postgres:{state.secrets.metadata_password}"
        f"@127.0.0.1:{state.ports.metadata}/{METADATA}"
    )
    inherited = inherited_environment()
    programs = Path(sys.executable).parent
    return {
        **inherited,
        **aws_variables(state),
        **worker_variables(place, policies_in),
        **connections(state, policies),
        **_airflow_settings(state.ports, state.secrets),
        "PATH": f"{programs}:{inherited.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(_AIRFLOW_SETTINGS)]),
        "PYTHONUNBUFFERED": "1",
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file(home)),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(airflow_home / "logs"),
    }


_AIRFLOW_SETTINGS = ROOT / "include" / "sandbox" / "airflow_settings"
"""Where Airflow finds the module of its local settings."""


def passwords_file(home: Path) -> Path:
    """Where Airflow's simple auth manager reads its users' passwords."""
    return home / "airflow" / "passwords.json"


def shell_lines(
    state: State, place: Place, policies: Iterable[Policy], *, policies_in: Path = POLICIES
) -> str:
    """The text of `.sandbox/env`, for a shell to source.

    :param policies_in: directory of the policy files.
    """
    production = next(policy for policy in policies if policy.environment == "production")
    variables = {
        "SANDBOX_DATABASE_URL": database_url(state),
        **_documents_variables(state, production),
        **aws_variables(state),
        "LEDGERKEEP_BUCKET": production.storage.bucket,
        **worker_variables(place, policies_in),
        "AIRFLOW_API_URL": airflow_url(state.ports),
        "AIRFLOW_USERNAME": "admin",
        "AIRFLOW_PASSWORD": state.secrets.airflow_admin,
        "AIRFLOW_APPROVER_USERNAME": "approver",
        "AIRFLOW_APPROVER_PASSWORD": state.secrets.airflow_approver,
    }
    return _unset("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION") + _exports(variables)


def _documents_variables(state: State, policy: Policy) -> dict[str, str]:
    found = {}
    if policy.documents:
        found["SANDBOX_DOCUMENTS_BUCKET"] = policy.documents.bucket
        if policy.documents.replica:
            found["SANDBOX_REPLICA_BUCKET"] = policy.documents.replica.bucket
            found["SANDBOX_REPLICA_URL"] = replica_url(state.ports)
    return found


def _airflow_settings(ports: Ports, secrets: Secrets) -> dict[str, str]:
    url = airflow_url(ports)
    return {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__FERNET_KEY": secrets.airflow_fernet,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,approver:op,viewer:viewer",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports.airflow),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": secrets.airflow_sessions,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.airflow_tokens,
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        # A changed DAG file is read at once all the same. Which events start a DAG that was
        # switched on is looked at whenever its file is read, so this is not longer.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # Whoever answers an approval by script waits for some of these.
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        # A long copy on two busy cores must not be mistaken for a dead API.
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "12",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports.task_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports.trigger_logs),
        # Airflow gives its processes titles; this keeps them from being written over the
        # environment, and so over the sandbox's mark.
        "SPT_NOENV": "1",
        "SCARF_ANALYTICS": "false",
        "GX_ANALYTICS_ENABLED": "false",
    }


def _wanted_connections(state: State, policy: Policy) -> dict[str, dict[str, object]]:
    ours = (state.secrets.store_key, state.secrets.store_secret)
    theirs = (state.secrets.vault_key, state.secrets.vault_secret)
    here, there = store_url(state.ports), replica_url(state.ports)
    archive, documents = policy.database.compliance_archive, policy.documents
    buckets = [(policy.storage, here, ours)]
    if archive:
        buckets.append((archive.vault, here, theirs))
    if documents:
        buckets.append((documents, here, ours))
    if documents and documents.replica:
        buckets.append((documents.replica, there, ours))
    control = {}
    if documents and documents.failover:
        failover = documents.failover
        control[failover.connection_id] = _aws_connection(state, failover.region, there, *ours)
    return {
        **control,
        **_configuration_connections(state, policy),
        policy.database.connection_id: _postgres_connection(state),
        policy.reports.airflow_connection_id: _airflow_connection(state),
        **{
            bucket.connection_id: _aws_connection(state, bucket.region, endpoint, *who)
            for bucket, endpoint, who in buckets
        },
    }


def _configuration_connections(state: State, policy: Policy) -> dict[str, dict[str, object]]:
    """Those of the sources: the environment's own account, and its tenants elsewhere."""
    configuration = policy.configuration
    if configuration is None:
        return {}
    account = _account_connection(state, policy.environment, configuration.region)
    names = {configuration.connection_id}
    if configuration.events and configuration.events.connection_id:
        names.add(configuration.events.connection_id)
    settings = (getattr(configuration.sources, name) for name in source_names(policy))
    names |= {one.connection_id for one in settings if one.connection_id}
    return {**dict.fromkeys(names, account), **_saas_connections(state, policy)}


def _saas_connections(state: State, policy: Policy) -> dict[str, dict[str, object]]:
    return {
        one.connection_id: {
            "conn_type": "http",
            "schema": "http",
            "host": "127.0.0.1",
            "port": state.ports.saas,
            "login": one.login,
            "password": one.password,
            "extra": one.extra,
        }
        for one in logins([policy], state.secrets)
    }


def _account_connection(state: State, name: str, region: str) -> dict[str, object]:
    """The account of an environment, entered by a role; its buckets are on the stand-in, too."""
    url = aws_url(state.ports)
    return {
        "conn_type": "aws",
        "login": state.secrets.store_key,
        "password": state.secrets.store_secret,
        "extra": {
            "region_name": region,
            "role_arn": role_arn(name),
            "endpoint_url": url,
            "service_config": {"sts": {"endpoint_url": url}},
        },
    }


def _aws_connection(
    state: State, region: str, endpoint: str, key: str, secret: str
) -> dict[str, object]:
    return {
        "conn_type": "aws",
        "login": key,
        "password": secret,
        "extra": {
            "region_name": region,
            "endpoint_url": aws_url(state.ports),
            "service_config": {"s3": {"endpoint_url": endpoint}},
        },
    }


def _postgres_connection(state: State) -> dict[str, object]:
    return {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": state.ports.database,
        "login": "postgres",
        "password": state.secrets.database_password,
        "schema": DATABASE,
    }


def _airflow_connection(state: State) -> dict[str, object]:
    return {
        "conn_type": "http",
        "host": "127.0.0.1",
        "port": state.ports.airflow,
        "schema": "http",
        "login": "viewer",
        "password": state.secrets.airflow_viewer,
    }


def _unset(*names: str) -> str:
    return f"unset {' '.join(names)}\n"


def _exports(variables: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
