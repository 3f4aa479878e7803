"""The hash of a table: what changes it and what does not."""

import pytest

from ledgerkeep.database.postgres.fingerprint.hashing import PINNED
from tests.conftest import Cluster
from tests.database.postgres.fingerprint.support import content, read_now

pytestmark = pytest.mark.integration


def _hash(cluster: Cluster, database: str, *statements: str) -> tuple[int, str]:
    cluster.execute("DROP TABLE IF EXISTS rows", database)
    for statement in statements:
        cluster.execute(statement, database)
    return content(read_now(cluster, database))["rows"]


def test_order_of_rows_does_not_matter(cluster: Cluster, database: str) -> None:
    """A copy may hold the rows in other places."""
    make = "CREATE TABLE rows (a int, b text)"
    forward = _hash(
        cluster, database, make, "INSERT INTO rows SELECT i, i FROM generate_series(1, 9) i"
    )
    backward = _hash(
        cluster,
        database,
        make,
        "INSERT INTO rows SELECT i, i FROM generate_series(9, 1, -1) i",
    )

    assert forward == backward
    assert forward[0] == 9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(1, 'a'), (2, 'b')", "(1, 'b'), (2, 'a')"),
        ("(1, 'a'), (1, 'a')", "(2, 'b'), (2, 'b')"),
        ("(1, 'a'), (1, 'a'), (2, 'b')", "(1, 'a'), (2, 'b'), (2, 'b')"),
        ("(1, '')", "(1, NULL)"),
        ("(1, 'a')", "(1, 'a ')"),
        ("(1, 'a,b')", "(1, '\"a,b\"')"),
    ],
    ids=["swapped", "pairs", "which doubled", "empty or null", "trailing space", "quoting"],
)
def test_difference_is_seen(cluster: Cluster, database: str, one: str, other: str) -> None:
    """Also where a sum of column hashes, or an exclusive or, would see none."""
    make = "CREATE TABLE rows (a int, b text)"
    assert _hash(cluster, database, make, f"INSERT INTO rows VALUES {one}") != _hash(
        cluster, database, make, f"INSERT INTO rows VALUES {other}"
    )


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("numeric", "1.0", "1.00"),
        ("float8", "'0'", "'-0'"),
        ("float8", "0.1", "0.1 + 1e-17 * 2"),
        ("jsonb", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'"),
        ("interval", "'1 day'", "'24 hours'"),
        ("timestamptz", "'2026-01-01 00:00:00.000001Z'", "'2026-01-01 00:00:00.000002Z'"),
    ],
)
def test_values_that_compare_equal_are_told_apart(
    cluster: Cluster, database: str, kind: str, one: str, other: str
) -> None:
    """The copy must be identical, not just equal by the type's own notion."""
    make = f"CREATE TABLE rows (a {kind})"
    assert _hash(cluster, database, make, f"INSERT INTO rows VALUES ({one})") != _hash(
        cluster, database, make, f"INSERT INTO rows VALUES ({other})"
    )


def test_settings_of_the_database_change_nothing(cluster: Cluster, database: str) -> None:
    """Text output depends on a dozen settings; all of them are pinned."""
    make = (
        "CREATE TABLE rows (at timestamptz, took interval, share float8, raw bytea, "
        "cost money, who aclitem)"
    )
    fill = (
        "INSERT INTO rows VALUES ('2026-01-31 12:00Z', '1 day 02:00', 0.1, '\\x00ff', "
        "12.5::numeric::money, 'postgres=r/postgres')"
    )
    usual = _hash(cluster, database, make, fill)
    for setting in (
        "DateStyle = 'German'",
        "TimeZone = 'Asia/Tokyo'",
        "IntervalStyle = 'iso_8601'",
        "extra_float_digits = -15",
        "bytea_output = 'escape'",
        "client_encoding = 'LATIN1'",
        "search_path = 'nowhere'",
    ):
        cluster.execute(f"ALTER DATABASE {database} SET {setting}")

    assert content(read_now(cluster, database))["rows"] == usual


def test_all_pinned_settings_are_known_to_the_newest_server(cluster: Cluster) -> None:
    """A misspelt one would be left out in silence."""
    known = {name.lower() for (name,) in cluster.execute("SELECT name FROM pg_settings")}

    assert {name.lower() for name in PINNED} <= known


def test_types_without_a_wire_format_are_hashed_as_text(cluster: Cluster, database: str) -> None:
    """An extension's type, a composite, a domain, an array of them: nothing is refused."""
    cluster.execute("CREATE TYPE pair AS (a int, b aclitem)", database)
    cluster.execute("CREATE DOMAIN amount AS numeric CHECK (value > 0)", database)
    one, two = (
        _hash(
            cluster,
            database,
            "CREATE TABLE rows (p pair, q pair[], d amount, r int4range)",
            f"INSERT INTO rows VALUES (ROW({n}, NULL), ARRAY[ROW({n}, NULL)::pair], 1, '[1,2)')",
        )
        for n in (1, 2)
    )

    assert one != two


def test_names_are_quoted_and_a_column_may_be_called_like_the_alias(
    cluster: Cluster, database: str
) -> None:
    """Table names are data to us."""
    cluster.execute('CREATE SCHEMA "My ""Schema"', database)
    cluster.execute('CREATE TABLE "My ""Schema"."select; --" (t int, "T" text)', database)
    cluster.execute('INSERT INTO "My ""Schema"."select; --" VALUES (1, \'x\')', database)
    cluster.execute("CREATE TABLE no_columns ()", database)
    cluster.execute("INSERT INTO no_columns DEFAULT VALUES", database)

    found = content(read_now(cluster, database))

    assert found['My "Schema.select; --'][0] == 1
    assert found["no_columns"][0] == 1


def test_large_objects_are_one_entry(cluster: Cluster, database: str) -> None:
    """Their content and their numbers count, also those of an empty one."""
    empty = content(read_now(cluster, database))["pg_catalog.pg_largeobject"]
    cluster.execute("SELECT lo_from_bytea(4711, 'contract')", database)
    one = content(read_now(cluster, database))["pg_catalog.pg_largeobject"]
    cluster.execute("SELECT lo_put(4711, 0, 'Contract')", database)
    changed = content(read_now(cluster, database))["pg_catalog.pg_largeobject"]
    cluster.execute("SELECT lo_create(4712)", database)
    more = content(read_now(cluster, database))["pg_catalog.pg_largeobject"]

    assert empty[0] == 0
    assert len({empty, one, changed, more}) == 4
