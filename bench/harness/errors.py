"""What can go wrong in a measurement; each ends in a row of the table that says so."""

from __future__ import annotations


class WireError(Exception):
    """The peer closed, aborted, rejected or answered something unexpected."""


class ServerError(Exception):
    """A server of `servers.toml` did not start, or its entry is wrong."""
