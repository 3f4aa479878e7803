"""Tests of ledgerkeep.console."""
