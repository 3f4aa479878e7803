"""Tests of ledgerkeep.operators."""
