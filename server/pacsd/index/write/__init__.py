"""Commits: what becomes of a batch of records, and the rows of the four levels for them."""
