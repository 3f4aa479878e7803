"""Exports of a large account, at the rates that AWS allows: full, unchanged, and the peer's.

Ours lists, reads, marks, compares and stores a version of each source on a real object store; the
second time nothing has changed. The peer is the procedures' own commands with boto3 in place of
the command line (which starts a Python for each of them): values of parameters by path, the
default version of each policy, security groups. They save less: no tags, no roles and nothing of
what is attached to them, no secrets apart.

Every request is counted, also those that boto3 sends again because the account was asked too fast.

    python -m include.bench.configuration [--parameters N] [--iam N] [--groups N]
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from include.bench.limited_aws import DESCRIBE, DESCRIBE_BURST, READ_VALUES
from include.bench.measure import Measured, Row, compared, measure_apart
from include.sandbox import environment, objectstore, processes
from include.sandbox.lender.account import TAGS, LenderAccount
from include.sandbox.ports import free_ports
from include.sandbox.servers import answers
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.configuration.access import PATIENT, Access
from ledgerkeep.configuration.back_up import Asked, back_up
from ledgerkeep.configuration.hash_key import hash_key
from ledgerkeep.configuration.items import Marker
from ledgerkeep.configuration.registry import configuration_of, open_source
from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.configuration.versions import Versions
from ledgerkeep.policy.load import load_environment
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.open import open_store
from ledgerkeep.worker import WorkerSettings

PARAMETERS, ENTITIES, GROUPS = 10_000, 2_000, 1_000
SOURCES = ("parameters", "iam", "security_groups")
_URL, _SEED = "LEDGERKEEP_BENCH_AWS", "bench"
_BACKUPS = "backups"
_AT_ONCE = 8


@dataclass(frozen=True)
class Told:
    """What a process of this module said at its end."""

    measured: Measured
    seconds: dict[str, float]
    """Source → seconds."""
    requests: dict[str, dict[str, int]]
    """Source → operation → requests."""

    def count(self) -> int:
        """All requests."""
        return sum(sum(one.values()) for one in self.requests.values())


def configuration_rows(parameters: int, entities: int, groups: int) -> list[Row]:
    """The rows of the table; takes minutes, half of them to stock the account."""
    with _served() as there:
        there.stock(parameters, entities, groups)
        full = there.run("full")
        again = there.run("again")
        peer = there.run("peer")
    what = f"export of {parameters} parameters, {entities} IAM entities, {groups} security groups"
    fraction = again.measured.seconds / full.measured.seconds
    return [
        compared(f"{what} / the procedures' commands", full.measured, peer.measured),
        (
            "the same, nothing changed / the full export",
            f"{again.measured.seconds:.1f} s",
            f"{full.measured.seconds:.1f} s",
            f"{fraction:.2f}",
        ),
        (
            "peak memory of the full export",
            f"{full.measured.peak_mb:.0f} MB",
            f"{peer.measured.peak_mb:.0f} MB",
            "",
        ),
        (
            "requests: full, nothing changed",
            f"{full.count():,}, {again.count():,}",
            f"{peer.count():,}",
            "",
        ),
        *_rates(full),
    ]


def _rates(full: Told) -> list[Row]:
    """Requests per second against what AWS publishes; boto3's adaptive mode keeps below."""
    values = sum(
        count
        for name, count in full.requests["parameters"].items()
        if name.startswith("GetParameter")
    )
    described = max(full.requests["security_groups"].values())
    return [
        (
            "values of parameters read per second",
            f"{values / full.seconds['parameters']:.1f} of {READ_VALUES:.0f} allowed",
            "",
            "",
        ),
        (
            "requests for security groups",
            f"{described} of {DESCRIBE_BURST:.0f} at once and {DESCRIBE:.0f} per second allowed",
            "",
            "",
        ),
    ]


@dataclass(frozen=True)
class _Served:
    home: Path
    account: LenderAccount

    def stock(self, parameters: int, entities: int, groups: int) -> None:
        """Put everything there: half of the entities are roles, half are policies."""
        ssm, iam, ec2 = (self.account.client(one) for one in ("ssm", "iam", "ec2"))
        network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda n: _parameter(ssm, n), range(parameters)))
            list(pool.map(lambda n: _role_and_policy(iam, n), range(entities // 2)))
            list(pool.map(lambda n: _group(ec2, network, n), range(groups)))

    def run(self, what: str) -> Told:
        """Measure a process of this module."""
        log = self.home / f"{what}.log"
        command = [sys.executable, "-m", "include.bench.configuration", what]
        measured = measure_apart(command, log=log, environment=dict(os.environ))
        said = json.loads(log.read_text().splitlines()[-1])
        return Told(measured, said["seconds"], said["requests"])


@contextmanager
def _served() -> Iterator[_Served]:
    home = Path(tempfile.mkdtemp(prefix="lkc-", dir="/var/tmp"))
    (port,) = free_ports(1)
    url, log = f"http://127.0.0.1:{port}", home / "aws.log"
    store = objectstore.start(
        home / "weed",
        user=objectstore.Credentials("ledgerkeep", secrets.token_hex(16)),
        admin=objectstore.Credentials("admin", secrets.token_hex(16)),
    )
    aws = processes.start(
        [sys.executable, "-m", "include.bench.limited_aws", f"--port={port}"],
        home=home,
        log=log,
        directory=environment.ROOT,
        environment={**processes.inherited_environment(), environment.ACCOUNT_SEED: _SEED},
    )
    try:
        processes.wait_until(
            lambda: answers(f"{url}/moto-api/"), aws, name="AWS", log=log, timeout=60
        )
        objectstore.make_bucket(store, _BACKUPS, object_lock=False)
        os.environ |= {
            _URL: url,
            "AWS_ENDPOINT_URL_S3": store.endpoint,
            "AWS_ACCESS_KEY_ID": store.user.access_key,
            "AWS_SECRET_ACCESS_KEY": store.user.secret_key,
            "AWS_DEFAULT_REGION": objectstore.REGION,
            "LEDGERKEEP_STORE_ENCRYPTION": "none",
        }
        yield _Served(home, _account())
    finally:
        processes.end([psutil.Process(aws.pid)], first=signal.SIGKILL, grace=5)
        os.killpg(store.pid, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)


def _account() -> LenderAccount:
    return LenderAccount.of(_policy(), os.environ[_URL], _SEED)


def _policy() -> Policy:
    production = load_environment("production")
    storage = production.storage.model_copy(update={"bucket": _BACKUPS, "object_lock": None})
    return production.model_copy(update={"storage": storage})


def _parameter(ssm: Any, number: int) -> None:
    """Every fourth one is secret."""
    ssm.put_parameter(
        Name=f"/loan-management/production/{number % 100:02}/{number:06}",
        Value=secrets.token_hex(16),
        Type="SecureString" if number % 4 == 0 else "String",
        Tags=TAGS,
    )


def _role_and_policy(iam: Any, number: int) -> None:
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::b{number}/*"}
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    assume = {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
    name = f"bench-{number:06}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(assume), Tags=TAGS)
    arn = iam.create_policy(PolicyName=name, PolicyDocument=policy)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)


def _group(ec2: Any, network: str, number: int) -> None:
    made: str = ec2.create_security_group(
        GroupName=f"bench-{number:06}",
        Description="bench",
        VpcId=network,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": TAGS}],
    )["GroupId"]
    port = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    ec2.authorize_security_group_ingress(
        GroupId=made,
        IpPermissions=[
            {**port, "IpRanges": [{"CidrIp": f"10.0.{number % 256}.0/24"}]},
            {**port, "UserIdGroupPairs": [{"GroupId": made}]},
        ],
    )


class _Counting:
    """Clients of the account that count what they send, source by source."""

    def __init__(self) -> None:
        self.account = _account()
        self.requests: dict[str, Counter[str]] = {}
        self.seconds: dict[str, float] = {}
        self._now: Counter[str] = Counter()

    def client(self, service: str, _connection: str = "", region: str = "") -> Any:
        made = self.account.client(service, region or None, config=PATIENT)
        made.meta.events.register("before-send", self._count)
        return made

    @contextmanager
    def counted(self, source: str) -> Iterator[None]:
        """What is sent in here is sent for this source."""
        self._now = self.requests[source] = Counter()
        began = time.monotonic()
        yield
        self.seconds[source] = round(time.monotonic() - began, 2)

    def tell(self) -> None:
        """The last line of the log."""
        print(json.dumps({"seconds": self.seconds, "requests": self.requests}))

    def _count(self, event_name: str, **_: Any) -> None:
        self._now[event_name.rsplit(".", 1)[-1]] += 1


def _export() -> None:
    """What the tasks of configuration_backup do, one after the other."""
    policy, counting = _policy(), _Counting()
    access = Access(client=counting.client, login=_no_login)
    configuration = configuration_of(policy)
    sealer = Sealer(configuration.sealing_key, counting.client("kms"))
    catalog = Catalog(open_store(policy.storage, WorkerSettings()), policy)
    versions = Versions(catalog.store, policy, sealer)
    marker = Marker(hash_key(catalog.store, policy, sealer))
    for name in SOURCES:
        with counting.counted(name):
            back_up(open_source(name, access, policy), versions, marker, Asked(run="bench"))
    counting.tell()


def _commands() -> None:
    """The backup commands of the procedures, call by call; what they print is thrown away."""
    counting = _Counting()
    ssm, iam, ec2 = (counting.client(one) for one in ("ssm", "iam", "ec2"))
    with counting.counted("parameters"):
        pages = ssm.get_paginator("get_parameters_by_path").paginate(
            Path="/loan-management/production/", Recursive=True, WithDecryption=True
        )
        json.dumps([one["Parameters"] for one in pages], default=str)
    with counting.counted("iam"):
        for page in iam.get_paginator("list_policies").paginate(Scope="Local"):
            for one in page["Policies"]:
                found = iam.get_policy(PolicyArn=one["Arn"])["Policy"]
                iam.get_policy_version(PolicyArn=one["Arn"], VersionId=found["DefaultVersionId"])
    with counting.counted("security_groups"):
        wanted = [{"Name": "tag:Project", "Values": ["LoanManagementSystem"]}]
        json.dumps(ec2.describe_security_groups(Filters=wanted), default=str)
    counting.tell()


def _no_login(connection: str) -> Any:
    raise NotImplementedError(f"the bench has no {connection}")


def main() -> None:
    """Print the rows; or be one of the processes that are measured."""
    if len(sys.argv) == 2 and sys.argv[1] in _PROCESSES:
        _PROCESSES[sys.argv[1]]()
        return
    parser = argparse.ArgumentParser(prog="python -m include.bench.configuration")
    parser.add_argument("--parameters", type=int, default=PARAMETERS)
    parser.add_argument("--iam", type=int, default=ENTITIES, help="half roles, half policies")
    parser.add_argument("--groups", type=int, default=GROUPS, help="security groups")
    given = parser.parse_args()
    for row in configuration_rows(given.parameters, given.iam, given.groups):
        print(*row, sep="  |  ")


_PROCESSES = {"full": _export, "again": _export, "peer": _commands}

if __name__ == "__main__":
    main()
