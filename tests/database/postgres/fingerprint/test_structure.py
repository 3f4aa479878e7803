"""The hash of the structure sees what a schema change is, and nothing else."""

import pytest

from tests.conftest import Cluster
from tests.database.postgres.fingerprint.support import read_now

pytestmark = pytest.mark.integration

_CHANGES = [
    "CREATE SCHEMA other",
    "CREATE TABLE more (a int)",
    "ALTER TABLE loans ADD COLUMN note text",
    "ALTER TABLE loans ALTER COLUMN status SET DEFAULT 'closed'",
    "ALTER TABLE loans ALTER COLUMN status DROP NOT NULL",
    "ALTER TABLE loans ADD CONSTRAINT positive CHECK (amount > 0)",
    "ALTER TABLE loans DROP CONSTRAINT loans_status_key",
    "CREATE INDEX by_amount ON loans (amount) WHERE amount > 10",
    "CREATE OR REPLACE FUNCTION twice(a int) RETURNS int LANGUAGE sql AS 'SELECT 3 * a'",
    "CREATE OR REPLACE VIEW open_loans AS SELECT id FROM loans WHERE status = 'active'",
    "CREATE TYPE colour AS ENUM ('red')",
    "ALTER TYPE mood ADD VALUE 'bad'",
    "CREATE TRIGGER t BEFORE UPDATE ON loans FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "GRANT SELECT ON loans TO PUBLIC",
    "ALTER SEQUENCE loans_id_seq INCREMENT 7",
    "ALTER TABLE loans ENABLE ROW LEVEL SECURITY",
]


def test_every_kind_of_schema_change_is_seen(cluster: Cluster, database: str) -> None:
    """Each change gives a hash that was not there before."""
    for statement in (
        "CREATE TABLE loans (id serial PRIMARY KEY, amount int, "
        "status text NOT NULL UNIQUE DEFAULT 'open')",
        "CREATE FUNCTION twice(a int) RETURNS int LANGUAGE sql AS 'SELECT 2 * a'",
        "CREATE VIEW open_loans AS SELECT id FROM loans WHERE status = 'open'",
        "CREATE TYPE mood AS ENUM ('good')",
    ):
        cluster.execute(statement, database)
    seen = {read_now(cluster, database).structure_hash: "at first"}

    for change in _CHANGES:
        cluster.execute(change, database)
        found = read_now(cluster, database).structure_hash
        assert found not in seen, f"not seen: {change}"
        seen[found] = change


def test_use_and_upkeep_are_no_change(cluster: Cluster, database: str) -> None:
    """Rows, statistics, vacuum and reindexing change catalogs in place, not the structure."""
    cluster.execute("CREATE TABLE loans (id serial PRIMARY KEY, amount int)", database)
    before = read_now(cluster, database).structure_hash

    for statement in (
        "INSERT INTO loans (amount) SELECT 1 FROM generate_series(1, 1000)",
        "DELETE FROM loans WHERE id > 500",
        "VACUUM (ANALYZE, FREEZE) loans",
        "REINDEX TABLE loans",
        "VACUUM FULL loans",
        "CREATE TEMPORARY TABLE basket (a int)",
    ):
        cluster.execute(statement, database)

    assert read_now(cluster, database).structure_hash == before
