"""Switching the application over to the replica of the documents, and back."""
