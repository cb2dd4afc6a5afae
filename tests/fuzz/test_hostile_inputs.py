"""Inputs made to hurt: what they claim or repeat costs neither memory nor time, and ends as documented."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from tests.dicomnet.pair import AssociationPair, pdv, take_events

from dicomnet.connection import Connection
from dicomnet.dimse.command_set import read_command_set
from dicomnet.errors import RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.reader import read_pdu
from fuzz.campaign import budgets, run_one
from fuzz.targets import feed_acceptor
from pacsd.dataset.header import examine
from pacsd.errors import DatasetInvalid

EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
UNDEFINED = 0xFFFFFFFF
MEBIBYTE = 1 << 20


def peak_of(call: Callable[[], None]) -> int:
    """Bytes that a call takes at the most, within its budget of time."""
    tracemalloc.start()
    try:
        with budgets():
            run_one(lambda _: call(), b"")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def violation(connection: Connection) -> RemoteProtocolError:
    """What the connection says was wrong, as its last event."""
    last = take_events(connection)[-1]
    assert isinstance(last, ul.ProtocolViolated)
    return last.error


@pytest.mark.parametrize("pdu_type", range(1, 8))
def test_a_claimed_4_gib_pdu(pdu_type: int) -> None:
    """Refused by its header alone; as P-DATA-TF it is a stream, of which nothing is kept."""
    acceptor = AssociationPair.associated().acceptor

    def receive() -> None:
        acceptor.receive_data(struct.pack(">BxI", pdu_type, 0xFFFFFFFF))
        for _ in range(100):
            acceptor.receive_data(bytes(100_000))

    assert peak_of(receive) < MEBIBYTE
    violation(acceptor)


@pytest.mark.parametrize("item_type", [0x10, 0x20, 0x21, 0x30, 0x50, 0x54, 0xEE])
def test_10000_items(item_type: int) -> None:
    """Presentation contexts are limited as such, other items by their number, or they change nothing."""
    items = struct.pack(">BxHBxxx", item_type, 4, 1) * 10_000
    body = struct.pack(">HH", 1, 0) + b"ARCHIVE".ljust(16) + b"MODALITY".ljust(16) + bytes(32) + items

    def read() -> None:
        try:
            read_pdu(1, body, Limits())
        except RemoteProtocolError:
            return
        assert item_type not in (0x20, 0x10), "10,000 presentation contexts were taken"

    assert peak_of(read) < 8 * MEBIBYTE


def test_millions_of_pdvs_of_one_byte() -> None:
    """A command set in one-byte PDVs ends at its limit, however many follow."""
    acceptor = AssociationPair.associated().acceptor
    stream = pdv(b"\0", command=True, last=False) * 10_000

    def receive() -> None:
        for _ in range(100):
            acceptor.receive_data(stream)
            acceptor.data_to_send()

    assert peak_of(receive) < MEBIBYTE
    assert "command set of more than" in str(violation(acceptor))


def test_millions_of_pdvs_without_a_byte() -> None:
    acceptor = AssociationPair.associated().acceptor
    stream = pdv(b"", command=True, last=False) * 10_000

    def receive() -> None:
        for _ in range(100):
            acceptor.receive_data(stream)
            acceptor.data_to_send()

    assert peak_of(receive) < MEBIBYTE
    assert "empty fragments" in str(violation(acceptor))


def test_a_connection_of_one_byte_reads() -> None:
    stream = pdv(b"\0" * 100, command=True, last=False)
    with budgets():
        run_one(feed_acceptor, stream * 20)


def test_a_command_set_of_empty_elements() -> None:
    data = struct.pack("<HHI", 0, 0x5555, 0) * 8000
    assert peak_of(lambda: read_command_set(data).clear()) < MEBIBYTE


def refused(data: bytes, transfer_syntax: str) -> None:
    """The header scan refuses it."""
    with pytest.raises(DatasetInvalid):
        examine(data[:65536], len(data), lambda at, length: data[at : at + length], transfer_syntax)


@pytest.mark.parametrize("ends", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("depth", [10_000, 100_000])
def test_sequences_however_deep(depth: int, ends: bool) -> None:
    """Walked without recursion; those that are never closed are refused."""
    begin = struct.pack("<HHIHHI", 0x0008, 0x1140, UNDEFINED, 0xFFFE, 0xE000, UNDEFINED)
    end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    data = begin * depth + (end * depth if ends else b"")

    def walk() -> None:
        if ends:
            examine(data[:65536], len(data), lambda at, length: data[at : at + length], IMPLICIT)
        else:
            refused(data, IMPLICIT)

    assert peak_of(walk) < MEBIBYTE


def test_a_deflate_bomb() -> None:
    """64 MiB of zeros in 64 KiB: inflated a window at a time, and no data set."""
    element = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, UNDEFINED - 1)
    packer = zlib.compressobj(9, wbits=-15)
    parts = [packer.compress(element), *(packer.compress(bytes(MEBIBYTE)) for _ in range(64)), packer.flush()]
    bomb = b"".join(parts)
    assert len(bomb) < 100_000
    assert peak_of(lambda: refused(bomb, DEFLATED)) < MEBIBYTE


@pytest.mark.parametrize("vr", [b"\0\0", b"ZZ", b"??", b"un", b"\xff\xff", b"U\0", b"SQ", b"UN", b"OB"])
@pytest.mark.parametrize("length", [0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_odd_vrs_with_lengths_that_wrap(vr: bytes, length: int) -> None:
    for layout in ("<HH2sHI", "<HH2sI"):
        fields = (0, length) if layout.endswith("HI") else (length,)
        data = struct.pack(layout, 0x0008, 0x0016, vr, *fields)
        assert peak_of(lambda data=data: refused(data + bytes(1), EXPLICIT)) < MEBIBYTE
