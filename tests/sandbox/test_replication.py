"""Replication between the two regions: what arrives, what does not, and the way back."""

import contextlib
import os
import secrets
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from include.sandbox import environment, objectstore, processes, replication
from include.sandbox.documents import DocumentStore, document
from include.sandbox.objectstore import Credentials, ObjectStoreServer
from include.sandbox.processes import Daemon
from include.sandbox.replication import Pair
from include.sandbox.state import Ports
from ledgerkeep.policy.load import load_policies
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import ObjectVersion, list_versions
from tests.support.buckets import documents_bucket

pytestmark = pytest.mark.integration

PAIR = Pair("production", "papers", "papers-replica")
KEYS = [f"documents/{number:010d}/0-x.pdf" for number in range(30)]


class Regions:
    """Two stores, and replication that goes one way or the other."""

    def __init__(self, home: Path) -> None:
        self.home, self.ports = home, Ports.choose()
        user = Credentials("user", secrets.token_hex(8))
        admin = Credentials("admin", secrets.token_hex(8))
        key = objectstore.encryption_key(home / "store")
        self.servers: list[ObjectStoreServer] = []
        for name in ("store", "replica"):
            self.servers.append(
                objectstore.start(
                    home / name,
                    user=user,
                    admin=admin,
                    port=getattr(self.ports, name),
                    filer_port=getattr(self.ports, f"{name}_filer"),
                    key=key,
                    mark=home,
                )
            )
        here, there = self.servers
        for bucket in (PAIR.primary, "backups"):
            objectstore.make_bucket(here, bucket)
        objectstore.make_bucket(there, PAIR.replica)
        self.primary = documents_bucket(here, PAIR.primary)
        self.replica = documents_bucket(there, PAIR.replica)
        self.written = DocumentStore(here.endpoint, user, PAIR.primary)
        self.written_there = DocumentStore(there.endpoint, user, PAIR.replica)

    def start(self, *, backwards: bool = False) -> Daemon:
        return replication.start(PAIR, self.ports, home=self.home, backwards=backwards)

    def become_in_step(self) -> None:
        """Return when both have the same versions, in the same order."""
        deadline = monotonic() + 30
        while monotonic() < deadline:
            here, there = versions(self.primary), versions(self.replica)
            if here == there:
                return
            sleep(0.1)
        assert here == there


def versions(bucket: Bucket) -> list[ObjectVersion]:
    return list(list_versions(bucket))


def end(daemon: Daemon, number: signal.Signals = signal.SIGTERM) -> None:
    assert daemon.process is not None
    processes.end([daemon.process], first=number, grace=10)


@pytest.fixture(scope="module")
def regions(run_directory: Path) -> Iterator[Regions]:
    home = run_directory / f"regions-{secrets.token_hex(3)}"
    home.mkdir()
    made = Regions(home)
    yield made
    for server in made.servers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture
def forward(regions: Regions) -> Iterator[Daemon]:
    """Replication as it usually goes."""
    daemon = regions.start()
    yield daemon
    if daemon.process:
        end(daemon)


@pytest.mark.usefixtures("forward")
def test_versions_markers_and_what_belongs_to_them_arrive(regions: Regions) -> None:
    regions.written.put_all(map(document, KEYS))
    regions.written.put(document(KEYS[1], "again"))
    regions.written.remove(KEYS[2])
    until_then = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    regions.primary.client.put_object(
        Bucket=PAIR.primary,
        Key="locked",
        Body=b"x",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=until_then,
    )
    regions.become_in_step()
    assert sum(version.is_delete_marker for version in versions(regions.replica)) == 1
    found = regions.replica.client.get_object(Bucket=PAIR.replica, Key=KEYS[1])
    assert found["Body"].read() == document(KEYS[1], "again").content
    assert found["Metadata"] == {"package": "0000000001"}
    assert found["ContentType"] == "application/pdf"
    tags: Any = regions.replica.client.get_object_tagging(Bucket=PAIR.replica, Key=KEYS[1])
    assert {"Key": "kind", "Value": "loan-document"} in tags["TagSet"]
    locked = regions.replica.client.head_object(Bucket=PAIR.replica, Key="locked")
    assert locked["ObjectLockMode"] == "COMPLIANCE"
    assert locked["ObjectLockRetainUntilDate"] == until_then


@pytest.mark.usefixtures("forward")
def test_no_other_bucket_is_replicated(regions: Regions) -> None:
    here, there = map(objectstore.admin_client, regions.servers)
    here.put_object(Bucket="backups", Key="kept-here", Body=b"x")
    regions.written.put(document("documents/0000000099/after.pdf"))
    regions.become_in_step()
    assert [bucket["Name"] for bucket in there.list_buckets()["Buckets"]] == [PAIR.replica]
    assert all("kept-here" not in version.key for version in versions(regions.replica))


def test_what_was_written_while_it_was_dead_arrives_afterwards(
    regions: Regions, forward: Daemon
) -> None:
    end(forward, signal.SIGKILL)
    regions.written.put_all(document(key, "meanwhile") for key in KEYS[:9])
    regions.written.remove(KEYS[0])
    again = regions.start()
    regions.become_in_step()
    end(again)


def test_turned_round_the_replica_is_followed_and_nothing_comes_back_twice(
    regions: Regions, forward: Daemon
) -> None:
    regions.written.put(document(KEYS[4], "before"))
    regions.become_in_step()
    end(forward)
    regions.written_there.put(document(KEYS[4], "in the other region"))
    regions.written_there.remove(KEYS[5])
    before = len(versions(regions.replica))
    backward = regions.start(backwards=True)
    regions.become_in_step()
    end(backward)
    assert len(versions(regions.primary)) == before
    body = regions.primary.client.get_object(Bucket=PAIR.primary, Key=KEYS[4])["Body"].read()
    assert body == document(KEYS[4], "in the other region").content

    usual = regions.start()
    regions.written.put(document(KEYS[6], "at home again"))
    regions.become_in_step()
    end(usual)
    assert len(versions(regions.replica)) == before + 1


def test_only_what_a_policy_calls_continuous_is_replicated() -> None:
    assert replication.pairs(load_policies(environment.POLICIES)) == (
        Pair(
            "production",
            "loan-management-documents-production",
            "loan-management-documents-production-replica",
        ),
    )


def test_replication_without_its_stores_is_reported(tmp_path: Path) -> None:
    with pytest.raises(processes.ServerFailed, match=r"^replication-production ended"):
        replication.start(PAIR, Ports.choose(), home=tmp_path)
