"""What is hashed, what is left out, and why."""

import pytest

from ledgerkeep.catalog.models import SequencePosition
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.fingerprint import fingerprint_copy
from ledgerkeep.database.postgres.fingerprint.tables import read_sequences, take_inventory
from tests.conftest import Cluster
from tests.database.postgres.fingerprint.support import content, read_now

pytestmark = pytest.mark.integration


def test_partitions_are_hashed_by_leaf_and_views_by_their_rows(
    cluster: Cluster, database: str
) -> None:
    """The partitioned table has no rows of its own, a plain view neither."""
    for statement in (
        "CREATE TABLE payments (id int, at date) PARTITION BY RANGE (at)",
        "CREATE TABLE payments_2025 PARTITION OF payments "
        "FOR VALUES FROM (MINVALUE) TO ('2026-1-1')",
        "CREATE TABLE payments_2026 PARTITION OF payments "
        "FOR VALUES FROM ('2026-1-1') TO (MAXVALUE)",
        "INSERT INTO payments VALUES (1, '2025-5-5'), (2, '2026-5-5'), (3, '2026-6-6')",
        "CREATE TABLE parent (a int)",
        "CREATE TABLE child (b int) INHERITS (parent)",
        "INSERT INTO child VALUES (1, 2)",
        "CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM payments",
        "CREATE VIEW recent AS SELECT * FROM payments",
    ):
        cluster.execute(statement, database)

    rows = {name: found[0] for name, found in content(read_now(cluster, database)).items()}

    assert rows == {
        "payments_2025": 1,
        "payments_2026": 2,
        "parent": 0,
        "child": 1,
        "totals": 1,
        "pg_catalog.pg_largeobject": 0,
    }


def test_what_has_no_fingerprint_is_named_with_the_reason(cluster: Cluster, database: str) -> None:
    """A report that leaves something out has to say so."""
    for statement in (
        "CREATE UNLOGGED TABLE cache (a int)",
        "CREATE FOREIGN DATA WRAPPER nowhere",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere",
        "CREATE FOREIGN TABLE remote (a int) SERVER elsewhere",
    ):
        cluster.execute(statement, database)
    with connect(cluster.address.to(database)) as session:
        session.execute("CREATE TEMPORARY TABLE basket (a int)")
        schema = session.execute("SELECT pg_my_temp_schema()::regnamespace::text").fetchone()
        left_out = read_now(cluster, database).left_out

    assert schema is not None
    assert left_out == {
        "public.cache": "unlogged: it is empty in every restored copy",
        "public.remote": "foreign: its rows are in another server",
        f"{schema[0]}.basket": "temporary: it belongs to a session",
    }


def test_what_the_role_may_not_read_is_named(cluster: Cluster, database: str) -> None:
    """Half a table must not pass for a whole one."""
    role = f"reader_of_{database}"
    cluster.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reader'")
    try:
        for statement in (
            "CREATE TABLE seen (a int)",
            "CREATE TABLE hidden (a int)",
            "CREATE TABLE filtered (a int)",
            "ALTER TABLE filtered ENABLE ROW LEVEL SECURITY",
            f"GRANT SELECT ON seen, filtered TO {role}",
        ):
            cluster.execute(statement, database)
        address = ServerAddress("127.0.0.1", cluster.port, role, "reader", database)
        with connect(address) as connection:
            found = take_inventory(connection).left_out
    finally:
        cluster.execute(f"DROP OWNED BY {role}", database)
        cluster.execute(f"DROP ROLE {role}")

    assert found == {
        "public.filtered": "row level security hides rows from the role",
        "public.hidden": "the role may not read it",
        "pg_catalog.pg_largeobject": "the role may not read it",
    }


def test_sequences_are_read_with_their_direction(cluster: Cluster, database: str) -> None:
    """Behind means lower for one that counts up and higher for one that counts down."""
    for statement in (
        "CREATE SEQUENCE up",
        "CREATE SEQUENCE down INCREMENT -5",
        "CREATE SEQUENCE untouched",
        "CREATE SEQUENCE round CYCLE",
        "CREATE UNLOGGED SEQUENCE gone",
        "SELECT nextval('up'), nextval('up'), nextval('down'), nextval('round')",
    ):
        cluster.execute(statement, database)
    with connect(cluster.address.to(database)) as connection:
        found = {
            position.name: (position, reason)
            for position, reason in read_sequences(connection).values()
        }

    def at(name: str, value: int | None, increment: int = 1) -> SequencePosition:
        return SequencePosition(
            schema_name="public", name=name, last_value=value, increment=increment
        )

    assert found == {
        "up": (at("up", 2), ""),
        "down": (at("down", -1, -5), ""),
        "untouched": (at("untouched", None), ""),
        "round": (at("round", None), "it cycles: no value is ahead of another"),
    }


def test_sampled_table_is_read_in_part(cluster: Cluster, database: str) -> None:
    """The same pages each time, so that a copy can be held against them."""
    cluster.execute("CREATE TABLE big AS SELECT i FROM generate_series(1, 50000) i", database)
    whole = read_now(cluster, database)
    sample = read_now(cluster, database, big=20.0)
    table = sample.tables[-1]

    assert table.sampled_percent == 20.0
    assert 0 < table.rows < 25_000 < content(whole)["big"][0]
    assert read_now(cluster, database, big=20.0).tables == sample.tables
    assert fingerprint_copy(cluster.address, database, sample, 1).tables == sample.tables
