"""Measures Ledgerkeep against its peers, all in one run, on one cluster, to one store over TLS.

    make bench                    # SIZE_MB=3000 RUNS=3

Every row is a ratio of medians from this run: absolute seconds say more about the machine than
about the programs. pg_basebackup comes with PostgreSQL; pgBackRest is measured when it is on the
PATH. Nothing here decides anything: a slow result is printed as it is.
"""
