"""pg_amcheck on a real server, with real damage."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerkeep.errors import RestoreFailed
from ledgerkeep.recovery.amcheck import check_pages, parse_findings
from ledgerkeep.recovery.validation_report import ValidationReport
from tests.conftest import Cluster

_PRINTED = """\
heap table "loans.public.payments", block 3, offset 5, attribute 2:
    attribute 2 with length -2 ends at offset 99 beyond total tuple length 80
btree index "loans.public.payments_pkey":
    ERROR:  item order invariant violated for index "payments_pkey"
    DETAIL:  Lower index tid=(1,2)
"""


def test_findings_name_relation_place_and_fault() -> None:
    """As pg_amcheck prints them: a head, then indented lines of which the first says it."""
    assert [outcome.describe() for outcome in parse_findings(_PRINTED)] == [
        "loans.public.payments: the heap table is sound (block 3, offset 5, attribute 2: "
        "attribute 2 with length -2 ends at offset 99 beyond total tuple length 80)",
        "loans.public.payments_pkey: the btree index is sound "
        '(item order invariant violated for index "payments_pkey")',
    ]


def test_nothing_printed_is_nothing_found() -> None:
    """The usual case."""
    assert parse_findings("") == []


@pytest.fixture
def damaged(fresh_cluster: Cluster) -> Callable[[str, Callable[[bytearray], None]], None]:
    """Changes a relation's file while the server is down; page checksums do not look."""
    fresh_cluster.settings["ignore_checksum_failure"] = "on"
    fresh_cluster.execute(
        "CREATE TABLE t AS SELECT i, md5(i::text) AS h FROM generate_series(1, 2000) i"
    )
    fresh_cluster.execute("ALTER TABLE t ADD PRIMARY KEY (i)")

    def damage(relation: str, change: Callable[[bytearray], None]) -> None:
        path = fresh_cluster.execute(f"SELECT pg_relation_filepath('{relation}')")[0][0]
        fresh_cluster.stop()
        file: Path = fresh_cluster.data / path
        body = bytearray(file.read_bytes())
        change(body)
        file.write_bytes(body)
        fresh_cluster.start()

    return damage


def _check(cluster: Cluster, *databases: str, affordable: int = 2**40) -> ValidationReport:
    return check_pages(
        cluster.server.address,
        databases or ("postgres",),
        programs=cluster.place.programs,
        account=cluster.place.account,
        affordable=affordable,
    )


@pytest.mark.integration
def test_sound_databases_pass(cluster: Cluster, database: str) -> None:
    """A database's name is a name, and no pattern; the extension is gone again afterwards."""
    cluster.execute("CREATE TABLE t AS SELECT 1 AS a", database)
    odd = f'{database} "x.*'
    cluster.execute('CREATE DATABASE "{}"'.format(odd.replace('"', '""')))
    extensions = "SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'"
    try:
        report = _check(cluster, database, odd)
        assert cluster.execute(extensions, database) == [(0,)]
    finally:
        cluster.execute('DROP DATABASE "{}"'.format(odd.replace('"', '""')))

    assert report.broken == []
    assert report.outcomes[0].words == (
        "all tables and indexes are sound, and every row is in every index"
    )


@pytest.mark.integration
def test_damaged_row_header_is_found(fresh_cluster: Cluster, damaged: Callable) -> None:
    """A page with a broken row is named by table and block."""

    def break_last_row(body: bytearray) -> None:
        # t_hoff, the 23rd byte of the row header: where the row's data start.
        offset = int.from_bytes(body[24:28], "little") & 0x7FFF
        body[offset + 22] = 0xF1

    damaged("t", break_last_row)

    finding, *_ = _check(fresh_cluster).broken
    assert finding.table == "postgres.public.t"
    assert finding.observed.startswith("block 0, offset 1: ")


@pytest.mark.integration
def test_index_that_lost_entries_is_found(fresh_cluster: Cluster, damaged: Callable) -> None:
    """The rows are all there, so no fingerprint sees it; lookups would miss them."""

    def forget_last_items(body: bytearray) -> None:
        # Page 1 is the first leaf: end its line pointers three earlier (pd_lower).
        lower = int.from_bytes(body[8192 + 12 : 8192 + 14], "little")
        body[8192 + 12 : 8192 + 14] = (lower - 12).to_bytes(2, "little")

    damaged("t_pkey", forget_last_items)

    assert _check(fresh_cluster, affordable=0).broken == []
    (finding,) = _check(fresh_cluster).broken
    assert finding.table == "postgres.public.t_pkey"
    assert "lacks matching index tuple" in finding.observed


@pytest.mark.integration
def test_missing_database_is_not_a_pass(cluster: Cluster) -> None:
    """Nothing checked is nothing shown."""
    with pytest.raises(RestoreFailed, match="pg_amcheck could not check not_there"):
        _check(cluster, "not_there")
