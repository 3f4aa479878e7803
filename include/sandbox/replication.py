"""Replication between the sandbox's two regions, done by SeaweedFS' own `filer.sync`.

It stands for a replication rule of S3, for one bucket and its replica each. A process follows what
changes in the bucket's directory and does the same in the replica's: the versions keep their ids,
their metadata, tags and locks, and delete markers arrive like everything else. How far it has come
is remembered in the replica's store, so one that was killed goes on where it was.

What it does not do, or does differently from S3: a bucket's making and removal are never passed on,
but the removal of a single version is (S3 never does that), and so is what SeaweedFS removes along
with a bucket. Neither right belongs to an ordinary identity but the removal of a version. Both
buckets have to be there first: a directory that replication makes keeps no versions.

Only what a policy calls `continuous` is replicated here; the rest is the work of its own DAG.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from include.sandbox import objectstore, processes
from include.sandbox.processes import Daemon
from include.sandbox.state import Ports
from ledgerkeep.policy.model import Policy


@dataclass(frozen=True)
class Pair:
    """A bucket of documents and its replica, in the other region."""

    environment: str
    primary: str
    replica: str

    @property
    def name(self) -> str:
        """Of the process, in the sandbox's state."""
        return f"replication-{self.environment}"


def pairs(policies: Iterable[Policy]) -> tuple[Pair, ...]:
    """The pairs that the policies want to be in step all the time."""
    return tuple(
        Pair(policy.environment, policy.documents.bucket, policy.documents.replica.bucket)
        for policy in policies
        if policy.documents
        and policy.documents.replica
        and policy.documents.replica.replication == "continuous"
    )


def start(pair: Pair, ports: Ports, *, home: Path, backwards: bool = False) -> Daemon:
    """Follow one bucket of the pair with the other; returns when it does.

    :param home: the sandbox's directory.
    :param backwards: from the replica to the primary, as after a failover.
    :raises ServerFailed: it ended, as it does when one of the stores does not answer.
    """
    sides = [(ports.store_filer, pair.primary), (ports.replica_filer, pair.replica)]
    source, target = reversed(sides) if backwards else sides
    log = home / "logs" / f"{pair.name}.log"
    already = log.stat().st_size if log.exists() else 0
    daemon = processes.start(
        [
            str(Path(sys.executable).with_name("weed")),
            "-v=0",
            "-logtostderr=true",
            "filer.sync",
            "-isActivePassive",
            # Which version is the current one is an attribute of a directory, and SeaweedFS lets
            # changes of those overtake each other: one at a time, the last one wins.
            "-concurrency=1",
            f"-a={objectstore.filer_address(source[0])}",
            f"-a.path={_directory(source[1])}",
            f"-b={objectstore.filer_address(target[0])}",
            f"-b.path={_directory(target[1])}",
        ],
        home=home,
        log=log,
        directory=home,
        environment=processes.inherited_environment(),
    )

    def follows() -> bool:
        with log.open("rb") as said:
            said.seek(already)
            return b"start sync" in said.read()

    processes.wait_until(follows, daemon, name=pair.name, log=log, timeout=60)
    return daemon


def _directory(bucket: str) -> str:
    return f"/buckets/{bucket}"
