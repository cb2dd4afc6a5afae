"""A-ASSOCIATE PDUs from their parts (PS3.8 §9.3.2), broken ones as easily as good ones."""

from __future__ import annotations

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
APPLICATION_CONTEXT = b"\x10\x00\x00\x151.2.840.10008.3.1.1.1"


def item(item_type: int, content: bytes, *, second: int = 0, length: int | None = None) -> bytes:
    """Make an item or sub-item, with a false length if asked."""
    length = len(content) if length is None else length
    return bytes((item_type, second)) + length.to_bytes(2, "big") + content


def field(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content


def proposed(context_id: int = 1, *sub_items: bytes) -> bytes:
    syntaxes = sub_items or (item(0x30, VERIFICATION.encode()), item(0x40, IMPLICIT.encode()))
    return item(0x20, bytes((context_id, 0, 0, 0)) + b"".join(syntaxes))


def answered(context_id: int, result: int, *sub_items: bytes) -> bytes:
    return item(0x21, bytes((context_id, 0, result, 0)) + b"".join(sub_items))


def associate(*items: bytes, called: bytes = b"ANY-SCP", calling: bytes = b"ECHOSCU") -> bytes:
    """Make the body of an A-ASSOCIATE-RQ or -AC."""
    return b"\0\1\0\0" + called.ljust(16) + calling.ljust(16) + bytes(32) + b"".join(items)
