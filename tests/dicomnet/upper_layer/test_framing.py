"""The byte stream cut into PDUs and fragments (PS3.8 §9.3): any chunking, limits, a lost place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dicomnet.upper_layer import strategies
from tests.dicomnet.upper_layer.frames import Frame, merged, value

from dicomnet.limits import Limits
from dicomnet.upper_layer.framing import PduFramer
from dicomnet.upper_layer.pdu import (
    Abort,
    DataTransfer,
    Pdu,
    PresentationDataValue,
    ReleaseRequest,
    ReleaseResponse,
)
from dicomnet.upper_layer.writer import p_data_header, write_pdu

if TYPE_CHECKING:
    from collections.abc import Iterable

RELEASE_RQ = write_pdu(ReleaseRequest())


def receive_all(framer: PduFramer, chunks: Iterable[bytes]) -> list[Frame]:
    """Feed through one buffer that is overwritten each time, as a socket's is; keep copies of the data."""
    frames: list[Frame] = []
    buffer = bytearray()
    for chunk in chunks:
        buffer = bytearray(chunk)
        for frame in framer.receive(memoryview(buffer)):
            if isinstance(frame, PresentationDataValue):
                frame = value(
                    bytes(frame.data),
                    context_id=frame.context_id,
                    is_command=frame.is_command,
                    is_last=frame.is_last,
                )
            frames.append(frame)
        buffer[:] = b"\xee" * len(buffer)
    return frames


def flattened(pdus: Iterable[Pdu]) -> list[Frame]:
    frames: list[Frame] = []
    for pdu in pdus:
        frames.extend(pdu.values if isinstance(pdu, DataTransfer) else [pdu])
    return frames


# What comes out.


@given(st.lists(strategies.pdus(), max_size=4))
def test_a_stream_in_one_piece_gives_what_was_sent(pdus: list[Pdu]) -> None:
    framer = PduFramer(Limits())
    assert receive_all(framer, [b"".join(map(write_pdu, pdus))]) == flattened(pdus)
    assert framer.is_between_pdus


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(strategies.pdus(), min_size=1, max_size=4), st.data())
def test_any_chunking_gives_the_same(pdus: list[Pdu], data: st.DataObject) -> None:
    framer = PduFramer(Limits())
    chunks = data.draw(strategies.chunkings(b"".join(map(write_pdu, pdus))))
    assert merged(receive_all(framer, chunks)) == merged(flattened(pdus))
    assert framer.is_between_pdus


@given(st.lists(strategies.pdus(), min_size=1, max_size=3))
def test_byte_by_byte_gives_the_same(pdus: list[Pdu]) -> None:
    framer = PduFramer(Limits())
    stream = b"".join(map(write_pdu, pdus))
    frames = receive_all(framer, (stream[i : i + 1] for i in range(len(stream))))
    assert merged(frames) == merged(flattened(pdus))


@given(st.lists(strategies.data_transfers(), min_size=1, max_size=4), st.data())
def test_only_the_last_piece_of_a_last_fragment_is_last(
    pdus: list[DataTransfer], data: st.DataObject
) -> None:
    chunks = data.draw(strategies.chunkings(b"".join(map(write_pdu, pdus))))
    frames = receive_all(PduFramer(Limits()), chunks)
    sent = [pdv for pdu in pdus for pdv in pdu.values]
    assert sum(frame.is_last for frame in frames) == sum(pdv.is_last for pdv in sent)
    assert sum(not frame.data for frame in frames) == sum(not pdv.data for pdv in sent)


def test_a_fragment_comes_in_pieces_as_the_bytes_do() -> None:
    framer = PduFramer(Limits())
    pdu = write_pdu(DataTransfer((value(b"abcdef"),)))
    assert receive_all(framer, [pdu[:12]]) == []
    assert receive_all(framer, [pdu[12:14]]) == [value(b"ab", is_last=False)]
    assert receive_all(framer, [pdu[14:17]]) == [value(b"cde", is_last=False)]
    assert not framer.is_between_pdus
    assert receive_all(framer, [pdu[17:] + RELEASE_RQ]) == [value(b"f"), ReleaseRequest()]
    assert framer.is_between_pdus


def test_the_data_are_the_callers_buffer() -> None:
    """Nothing is copied: what the caller writes into the buffer shows in the piece."""
    buffer = bytearray(p_data_header(1, is_command=False, is_last=True, length=4) + b"data")
    (piece,) = PduFramer(Limits()).receive(buffer)
    assert isinstance(piece, PresentationDataValue)
    buffer[12:] = b"seen"
    assert piece.data == b"seen"


def test_the_callers_buffer_is_free_after_a_call() -> None:
    buffer = bytearray(p_data_header(1, is_command=False, is_last=True, length=4) + b"da")
    framer = PduFramer(Limits())
    for piece in framer.receive(buffer):
        del piece
    buffer.clear()
    assert not framer.is_between_pdus


@pytest.mark.parametrize("is_last", [False, True])
def test_an_empty_fragment_comes_as_one_empty_piece(is_last: bool) -> None:
    """Legal, and the way some end a data set; it must not wait for the next read."""
    stream = p_data_header(3, is_command=False, is_last=is_last, length=0)
    expected = [value(b"", context_id=3, is_last=is_last)]
    assert receive_all(PduFramer(Limits()), [stream]) == expected
    assert receive_all(PduFramer(Limits()), [stream[i : i + 1] for i in range(12)]) == expected


def test_between_pdus_is_known_at_every_byte() -> None:
    stream = (
        write_pdu(Abort(source=2, reason=1))
        + write_pdu(DataTransfer((value(b"ab"), value(b""))))
        + RELEASE_RQ
    )
    ends = {10, 10 + 6 + 8 + 6, len(stream)}
    framer = PduFramer(Limits())
    assert framer.is_between_pdus
    for position in range(len(stream)):
        list(framer.receive(stream[position : position + 1]))
        assert framer.is_between_pdus == (position + 1 in ends)


def test_the_place_is_known_while_iterating() -> None:
    framer = PduFramer(Limits())
    places = [
        (type(frame), framer.is_between_pdus)
        for frame in framer.receive(write_pdu(DataTransfer((value(b"a"), value(b"")))) + RELEASE_RQ)
    ]
    assert places == [
        (PresentationDataValue, False),
        (PresentationDataValue, True),
        (ReleaseRequest, True),
    ]


def test_an_empty_read_changes_nothing() -> None:
    framer = PduFramer(Limits())
    assert list(framer.receive(RELEASE_RQ)) == [ReleaseRequest()]
    assert list(framer.receive(b"")) == []
    assert list(framer.receive(write_pdu(ReleaseResponse()))) == [ReleaseResponse()]
