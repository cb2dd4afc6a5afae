"""Damage to bytes: what a byte mutator does where no coverage leads it. The same seed does the same damage."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

LONGEST = 1 << 16
"""Bytes of a mutated input; the damage is in the structure and not in the bulk."""

LENGTHS = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
"""Where lengths wrap, and where they mean something else."""

TOKENS = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\x0d\xe0\x00\x00\x00\x00",
    b"\xfe\xff\xdd\xe0\x00\x00\x00\x00",
    b"UN\x00\x00\xff\xff\xff\xff",
    b"SQ\x00\x00\xff\xff\xff\xff",
    b"OB\x00\x00\xff\xff\xff\xff",
    b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x02\x01\x00",
    b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00",
    b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x00",
    b"\x00\x00\x00\x08\x02\x00\x00\x00",
    b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192",
    b"\\ISO 2022 IR 87\\ISO 2022 IR 159",
    b"\x1b$B",
    b"../../",
    b"\x00" * 16,
)
"""What means something to a parser of PDUs or of data sets."""

Damage = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def mutate(source: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of the seeds after one to eight pieces of damage."""
    data = bytearray(source.choice(seeds))
    for _ in range(source.randint(1, 8)):
        source.choice(_DAMAGES)(source, data, seeds)
    return bytes(data[:LONGEST])


def _place(source: random.Random, data: bytearray) -> int:
    return source.randint(0, len(data))


def _flip(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    if data:
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def _overwrite(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    if data:
        data[source.randrange(len(data))] = source.randrange(256)


def _set_length(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    number = source.choice((source.choice(LENGTHS), source.randrange(2 * len(data) + 2)))
    layout, bits = source.choice(((">I", 32), ("<I", 32), (">H", 16), ("<H", 16)))
    encoded = struct.pack(layout, number & (1 << bits) - 1)
    place = _place(source, data)
    data[place : place + len(encoded)] = encoded


def _insert_token(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    place = _place(source, data)
    data[place:place] = source.choice(TOKENS) * source.choice((1, 1, 1, 2, 40))


def _overwrite_with_token(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    token = source.choice(TOKENS)
    place = _place(source, data)
    data[place : place + len(token)] = token


def _remove(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    place = _place(source, data)
    del data[place : place + source.choice((1, 2, 4, 8, source.randrange(len(data) + 1)))]


def _repeat(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    place = _place(source, data)
    part = data[place : place + source.randint(1, 64)]
    data[place:place] = part * source.choice((1, 2, 30))


def _truncate(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del data[_place(source, data) :]


def _splice(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = source.choice(seeds)
    data[_place(source, data) :] = other[source.randint(0, len(other)) :]


_DAMAGES: Sequence[Damage] = (
    _flip,
    _flip,
    _overwrite,
    _overwrite,
    _set_length,
    _set_length,
    _insert_token,
    _overwrite_with_token,
    _remove,
    _repeat,
    _truncate,
    _splice,
)
