"""Connections to SQLite and PostgreSQL, their failures, and what is tried again."""
