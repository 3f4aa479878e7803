"""A full backup where an incremental was asked for: whatever leaves a doubt, on real servers."""

import shutil
import subprocess

import pytest

from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.description import describe
from ledgerkeep.policy.model import Policy
from tests.conftest import Cluster
from tests.database.postgres.backup_support import (
    full_backup,
    incremental_backup,
    make_policy,
)
from tests.database.postgres.increment_support import run_program, summarized
from tests.support.interrupted import until
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.integration


def with_longest_chain(policy: Policy, count: int) -> Policy:
    section = policy.database.incremental_backup.model_copy(update={"longest_chain": count})
    database = policy.database.model_copy(update={"incremental_backup": section})
    return policy.model_copy(update={"database": database})


def test_chain_of_full_length_begins_anew(fresh_cluster: Cluster) -> None:
    policy = with_longest_chain(make_policy("memory"), 1)
    catalog = Catalog(MemoryStore(), policy)
    taken = [incremental_backup(fresh_cluster, catalog) for _ in range(4)]
    assert [one.id[17] for one in taken] == ["F", "I", "F", "I"]
    assert taken[2].full_because == f"the chain of {taken[0].id} has its 1 incremental backups"
    assert taken[3].parent_id == taken[2].id


def test_promotion_makes_the_next_one_full(fresh_cluster: Cluster, shelf: Catalog) -> None:
    """As after a restore, or a failover: the summaries before it may be incomplete."""
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.stop()
    (fresh_cluster.data / "standby.signal").touch()
    fresh_cluster.place.account.own(fresh_cluster.data / "standby.signal")
    fresh_cluster.start()
    fresh_cluster.execute("SELECT pg_promote()")

    after = incremental_backup(fresh_cluster, shelf)

    assert after.full_because == f"the server is on timeline 2, backup {full.id} on timeline 1"
    assert (after.method, after.timeline) == ("full", 2)
    assert incremental_backup(fresh_cluster, shelf).parent_id == after.id


def test_switched_checksums_make_the_next_one_full(
    fresh_cluster: Cluster, shelf: Catalog, place: Place
) -> None:
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.stop()
    run_program(place, "pg_checksums", "--disable", "-D", str(fresh_cluster.data))
    fresh_cluster.start()
    assert incremental_backup(fresh_cluster, shelf).full_because == (
        f"data checksums were switched off since backup {full.id}"
    )


def test_summarizing_off_makes_the_next_one_full(fresh_cluster: Cluster, shelf: Catalog) -> None:
    full_backup(fresh_cluster, shelf)
    switch_summarizing(fresh_cluster, "off")
    assert incremental_backup(fresh_cluster, shelf).full_because == (
        "the server does not summarize its WAL (summarize_wal is off)"
    )


def switch_summarizing(cluster: Cluster, on: str) -> None:
    cluster.stop()
    cluster.settings["summarize_wal"] = on
    cluster.start()


def test_summaries_that_are_gone_make_the_next_one_full(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """Older than wal_summary_keep_time, or lost with the disk they were on."""
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.execute("CREATE TABLE late AS SELECT 1 AS n")
    fresh_cluster.execute("CHECKPOINT")
    until(lambda: summarized(fresh_cluster) > full.stop_lsn, "nothing was summarized")
    for path in (fresh_cluster.data / "pg_wal" / "summaries").iterdir():
        path.unlink()

    after = incremental_backup(fresh_cluster, shelf)

    assert after.full_because.startswith("the server has no WAL summary from ")
    assert after.full_because.endswith(
        f"after the start of backup {full.id} (it keeps them for 10d)"
    )
    assert incremental_backup(fresh_cluster, shelf).parent_id == after.id


def test_time_of_minimal_wal_makes_the_next_one_full(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """What is written without WAL is in no summary; the server leaves a gap there."""
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.execute("CHECKPOINT")
    fresh_cluster.stop()
    settings = dict(fresh_cluster.settings)
    fresh_cluster.settings |= {
        "wal_level": "minimal",
        "summarize_wal": "off",
        "max_wal_senders": "0",
    }
    fresh_cluster.start()
    fresh_cluster.execute("CREATE TABLE unseen AS SELECT generate_series(1, 9000) n")
    fresh_cluster.stop()
    fresh_cluster.settings = settings
    fresh_cluster.start()
    with connect(fresh_cluster.address) as connection:
        now = describe(connection).lsn
    fresh_cluster.execute("CHECKPOINT")
    until(lambda: summarized(fresh_cluster) >= now, "the summarizer does not come past it")

    after = incremental_backup(fresh_cluster, shelf)

    assert after.full_because.startswith("the server has no WAL summary from ")
    assert after.full_because.endswith(
        f"after the start of backup {full.id} (it keeps them for 10d)"
    )


def test_disk_that_was_set_back_makes_the_next_one_full(
    fresh_cluster: Cluster, shelf: Catalog
) -> None:
    """Same identifier, same timeline, past the backup's end, and yet another history."""
    fresh_cluster.stop()
    snapshot = fresh_cluster.data.with_name(f"{fresh_cluster.data.name}.snapshot")
    subprocess.run(["cp", "-a", fresh_cluster.data, snapshot], check=True)
    fresh_cluster.start()
    fresh_cluster.execute("CREATE TABLE lost AS SELECT generate_series(1, 1000) n")
    full = full_backup(fresh_cluster, shelf)
    fresh_cluster.stop()
    shutil.rmtree(fresh_cluster.data)
    snapshot.rename(fresh_cluster.data)
    fresh_cluster.start()
    # Not a segment's end, where both histories may have begun anew.
    fresh_cluster.execute("CREATE TABLE other AS SELECT generate_series(1, 500000) n")
    fresh_cluster.execute("CHECKPOINT")
    until(lambda: summarized(fresh_cluster) > full.stop_lsn, "nothing was summarized")

    after = incremental_backup(fresh_cluster, shelf)

    assert after.full_because == (
        f"backup {full.id} is not in this server's past: no checkpoint began at "
        f"{format_lsn(full.start_lsn)}; was its disk set back to an earlier state?"
    )
