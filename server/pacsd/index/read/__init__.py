"""Queries and selections: a plan, its SELECT, and the rows as they stream."""
