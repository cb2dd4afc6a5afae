"""Checksums of data sets, written as `algorithm:hex`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ALGORITHMS", "Checksum", "new_checksum"]


class Checksum(Protocol):
    """A running checksum, as `hashlib` and `xxhash` have them."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take more bytes in."""
        ...

    def hexdigest(self) -> str:
        """Return the checksum of the bytes so far."""
        ...


ALGORITHMS: Final[dict[str, Callable[[], Checksum]]] = {
    "xxh3_128": xxhash.xxh3_128,
    "sha256": hashlib.sha256,
}
"""By name: the fast one finds damage, the cryptographic one also intent."""


def new_checksum(algorithm: str) -> Checksum:
    """Return an empty checksum; raises `ValueError` for an algorithm that is not in `ALGORITHMS`."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown checksum algorithm {algorithm!r}: choose one of {', '.join(ALGORITHMS)}")
    return ALGORITHMS[algorithm]()
