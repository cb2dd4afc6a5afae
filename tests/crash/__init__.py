"""Servers that are killed, and what they know afterwards."""
