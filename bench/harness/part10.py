"""The header of a DICOM file (PS3.10 §7.1)."""

from __future__ import annotations

import struct

from harness import wire


def part10_header(sop_class: bytes, sop_uid: bytes, transfer_syntax: str) -> bytes:
    """Return preamble, prefix and file meta information."""
    body = (
        _element(1, b"OB", b"\0\1")
        + _element(2, b"UI", sop_class)
        + _element(3, b"UI", sop_uid)
        + _element(0x10, b"UI", transfer_syntax.encode())
        + _element(0x12, b"UI", wire.IMPLEMENTATION_CLASS)
    )
    return bytes(128) + b"DICM" + _element(0, b"UL", struct.pack("<I", len(body))) + body


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        return struct.pack("<HH2sHI", 2, number, vr, 0, len(value)) + value
    value = value + b"\0" if len(value) & 1 else value
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value
