"""Databases under protection."""
