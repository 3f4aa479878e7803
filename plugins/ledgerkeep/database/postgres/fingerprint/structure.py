"""The shape of a database as one hash: what its tables, types, functions and views are.

The catalogs' own rows are hashed, with their object ids and parse trees: a physical copy has the
same ones. Functions such as `pg_get_viewdef` would read better and are wrong here, because they
look past the transaction's snapshot. Columns that the server changes in place, without a
transaction (statistics, freeze horizons, hints such as `relhasindex`), are no part of it.
"""

import hashlib

import psycopg
from psycopg import sql

# PostgreSQL's own objects have ids below FirstNormalObjectId; 99 is the schema pg_toast.
_USER = sql.SQL("16384")
_NOT_TOAST = sql.SQL("c.relkind <> 't' AND c.relnamespace <> 99 AND c.relpersistence <> 't'")
_OF_RELATIONS = sql.SQL(
    "IN (SELECT c.oid FROM pg_class AS c WHERE c.oid >= {user} AND {not_toast})"
).format(user=_USER, not_toast=_NOT_TOAST)

_PARTS = (
    "SELECT oid, nspname FROM pg_namespace WHERE oid >= {user} "
    "AND nspname !~ '^pg_(toast_)?temp_' ORDER BY oid",
    "SELECT oid, relname, relnamespace, relkind, relpersistence, relam, relowner, reltablespace, "
    "relispartition, relrowsecurity, relforcerowsecurity, reloptions, relpartbound::text, "
    "(SELECT array_agg(ROW(g.*)::text ORDER BY ROW(g.*)::text) FROM aclexplode(relacl) AS g) "
    "FROM pg_class AS c WHERE oid >= {user} AND {not_toast} ORDER BY oid",
    "SELECT attrelid, attnum, attname, atttypid, atttypmod, attnotnull, attisdropped, attidentity, "
    "attgenerated, attcollation, attstorage "
    "FROM pg_attribute WHERE attnum > 0 AND attrelid {of_relations} ORDER BY 1, 2",
    "SELECT adrelid, adnum, adbin::text FROM pg_attrdef WHERE adrelid {of_relations} ORDER BY 1, 2",
    "SELECT oid, conname, contype, conrelid, contypid, condeferrable, condeferred, convalidated, "
    "conindid, confrelid, confupdtype, confdeltype, confmatchtype, conkey, confkey, conbin::text "
    "FROM pg_constraint WHERE oid >= {user} ORDER BY oid",
    "SELECT indexrelid, indrelid, indisunique, indisprimary, indisexclusion, indimmediate, "
    "indnullsnotdistinct, indisvalid, indkey, indclass, indcollation, indoption, indexprs::text, "
    "indpred::text FROM pg_index WHERE indexrelid {of_relations} ORDER BY 1",
    "SELECT inhrelid, inhparent, inhseqno FROM pg_inherits WHERE inhrelid {of_relations} "
    "ORDER BY 1, 3",
    "SELECT partrelid, partstrat, partattrs, partclass, partcollation, partexprs::text "
    "FROM pg_partitioned_table WHERE partrelid {of_relations} ORDER BY 1",
    "SELECT oid, typname, typnamespace, typtype, typbasetype, typtypmod, typnotnull, typdefault "
    "FROM pg_type WHERE oid >= {user} AND typtype IN ('d', 'e', 'r', 'm', 'b') "
    "AND typelem = 0 ORDER BY oid",
    "SELECT oid, enumtypid, enumsortorder, enumlabel FROM pg_enum ORDER BY oid",
    "SELECT oid, proname, pronamespace, prokind, prosecdef, provolatile, proisstrict, proretset, "
    "prorettype, proargtypes, proargnames, proargmodes, proargdefaults::text, prosrc, probin, "
    "prosqlbody::text, proconfig FROM pg_proc WHERE oid >= {user} ORDER BY oid",
    "SELECT ev_class, rulename, ev_type, ev_enabled, is_instead, ev_qual::text, ev_action::text "
    "FROM pg_rewrite WHERE ev_class {of_relations} ORDER BY 1, 2",
    "SELECT oid, tgrelid, tgname, tgfoid, tgtype, tgenabled, tgconstraint, tgdeferrable, "
    "tginitdeferred, tgattr, tgargs, tgqual::text "
    "FROM pg_trigger WHERE tgrelid {of_relations} ORDER BY oid",
    "SELECT polrelid, polname, polcmd, polpermissive, polroles, polqual::text, "
    "polwithcheck::text FROM pg_policy WHERE polrelid {of_relations} ORDER BY 1, 2",
    "SELECT seqrelid, seqtypid, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle "
    "FROM pg_sequence WHERE seqrelid {of_relations} ORDER BY 1",
)


def structure_hash(connection: psycopg.Connection) -> str:
    """SHA-256 of the structure that the connection's transaction sees."""
    digest = hashlib.sha256()
    for part in _PARTS:
        rows_of_part = sql.SQL("COPY (" + part + ") TO STDOUT").format(
            user=_USER, not_toast=_NOT_TOAST, of_relations=_OF_RELATIONS
        )
        digest.update(b"\x00")
        with connection.cursor() as cursor, cursor.copy(rows_of_part) as rows:
            for block in rows:
                digest.update(block)
    return digest.hexdigest()
