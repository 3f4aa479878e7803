"""Ledgerkeep: backup, recovery and proof for a loan management system.

policy → recovery point → plan → proof → evidence. The rooms of this package import only from
rooms above them (see docs/architecture.md); nothing above `operators` knows Airflow.
"""

__version__ = "0.1.0"
