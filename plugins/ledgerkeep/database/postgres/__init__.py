"""PostgreSQL over its own protocols: base backup, WAL, fingerprint, servers of ours."""
