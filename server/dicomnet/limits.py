"""Bounds on what a peer can make the engine hold; each is checked before memory is taken."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Hard limits of one connection, in bytes or counts; passing one ends in A-ABORT, not in an allocation."""

    associate_pdu_length: int = 1 << 20
    """PDU-length field of an A-ASSOCIATE-RQ or -AC. 128 contexts of 60 transfer syntaxes need about 0.5 MB."""
    presentation_contexts: int = 128
    """In one A-ASSOCIATE: all odd numbers from 1 to 255 (PS3.8 §9.3.2.2)."""
    items: int = 16384
    """Items and sub-items in one A-ASSOCIATE PDU, transfer syntaxes included."""
    command_set_length: int = 1 << 16
    """One assembled command set; the largest legal one is well below 1 KB but for AttributeIdentifierList."""
    identifier_length: int = 1 << 20
    """One data set that is read into memory whole: identifiers and N-service lists, never a stored object."""
    deferred_requests: int = 64
    """Requests that a peer sends ahead of the answer to its previous one."""
    deferred_bytes: int = 1 << 20
    """Of the data sets of these requests together, on one association; the last may pass it."""
    deferred_bytes_in_all: int = 64 << 20
    """The same on all connections of the process together."""
    empty_fragments: int = 65536
    """Zero-length PDVs in one message: legal, endless, and worth nothing."""
    slowest_bytes_per_second: int = 100
    """Of a data set that we receive, and of whatever we send. Only the time that we wait for the peer counts, over
    a whole `Timeouts.dimse` or `Timeouts.write` of it: a byte now and then is no sign of life. 0 = any pace."""
