"""Tests of ledgerkeep.triggers."""
