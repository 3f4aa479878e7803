"""Tests of ledgerkeep.hooks."""
