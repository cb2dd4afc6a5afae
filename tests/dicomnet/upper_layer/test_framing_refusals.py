"""Streams that a framer refuses (PS3.8 §9.3): when, with which reason, and what a claim costs."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dicomnet.upper_layer import strategies
from tests.dicomnet.upper_layer.frames import Frame, merged, value

from dicomnet.errors import LocalProtocolError, RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer.framing import PduFramer
from dicomnet.upper_layer.pdu import (
    AbortReason,
    PduType,
    ReleaseRequest,
)
from dicomnet.upper_layer.writer import write_pdu

if TYPE_CHECKING:
    from collections.abc import Sequence

RELEASE_RQ = write_pdu(ReleaseRequest())


def header(pdu_type: int, length: int) -> bytes:
    return bytes((pdu_type, 0)) + length.to_bytes(4, "big")


def assert_lost(framer: PduFramer) -> None:
    with pytest.raises(LocalProtocolError):
        framer.receive(RELEASE_RQ)


def assert_refused(data: bytes, reason: int = AbortReason.INVALID_PDU_PARAMETER_VALUE) -> None:
    """Refused at its last byte and not before, in one piece and byte by byte."""
    for chunks in ([data], [data[i : i + 1] for i in range(len(data))]):
        framer = PduFramer(Limits())
        for chunk in chunks[:-1]:
            list(framer.receive(chunk))
        with pytest.raises(RemoteProtocolError) as caught:
            list(framer.receive(chunks[-1]))
        assert caught.value.reason == reason
        assert_lost(framer)


@pytest.mark.parametrize("pdu_type", [0, 8, 0x16, 0x47, 255])
def test_an_unknown_type_is_refused_at_its_first_byte(pdu_type: int) -> None:
    """A TLS hello (16H) or "GET /" (47H) must not wait for more."""
    assert_refused(bytes((pdu_type,)), AbortReason.UNRECOGNIZED_PDU)


def test_an_unknown_type_behind_a_pdu_is_refused_at_its_first_byte() -> None:
    framer = PduFramer(Limits())
    frames = framer.receive(RELEASE_RQ + b"\x09")
    assert next(frames) == ReleaseRequest()
    with pytest.raises(RemoteProtocolError):
        next(frames)
    assert_lost(framer)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(header(PduType.ASSOCIATE_RQ, 67), id="RQ without its fixed part"),
        pytest.param(header(PduType.ASSOCIATE_AC, 0), id="empty AC"),
        pytest.param(header(PduType.ASSOCIATE_RQ, (1 << 20) + 1), id="RQ beyond the limit"),
        pytest.param(header(PduType.ASSOCIATE_AC, 0xFFFFFFFF), id="AC of 4 GiB"),
        pytest.param(header(PduType.ASSOCIATE_RJ, 3), id="RJ"),
        pytest.param(header(PduType.RELEASE_RQ, 5), id="RELEASE-RQ"),
        pytest.param(header(PduType.RELEASE_RP, 0), id="RELEASE-RP"),
        pytest.param(header(PduType.ABORT, 0xFFFFFFFF), id="ABORT of 4 GiB"),
        pytest.param(header(PduType.DATA_TF, 0), id="P-DATA-TF without PDV"),
        pytest.param(header(PduType.DATA_TF, 5), id="P-DATA-TF of five bytes"),
        pytest.param(header(PduType.DATA_TF, 20) + b"\0\0\0\1\1\0", id="item length one"),
        pytest.param(header(PduType.DATA_TF, 20) + b"\0\0\0\0\1\0", id="item length zero"),
        pytest.param(header(PduType.DATA_TF, 7) + b"\0\0\0\4\1\0", id="PDV overruns its PDU"),
        pytest.param(header(PduType.DATA_TF, 99) + b"\xff\xff\xff\xff\1\0", id="PDV of 4 GiB"),
        pytest.param(header(PduType.DATA_TF, 12) + b"\0\0\0\3\1\0", id="five bytes left over"),
        pytest.param(header(PduType.DATA_TF, 8) + b"\0\0\0\3\1\0", id="one byte left over"),
        pytest.param(header(PduType.DATA_TF, 7) + b"\0\0\0\3\0\0", id="context ID zero"),
        pytest.param(header(PduType.DATA_TF, 7) + b"\0\0\0\3\2\0", id="even context ID"),
    ],
)
def test_what_cannot_be_is_refused_at_the_byte_that_says_so(data: bytes) -> None:
    assert_refused(data)


def test_a_pdv_is_given_before_a_later_one_is_refused() -> None:
    framer = PduFramer(Limits())
    frames = framer.receive(header(PduType.DATA_TF, 14) + b"\0\0\0\4\1\2ok" + b"\0\0\0\2\2\2")
    assert next(frames) == value(b"ok")
    with pytest.raises(RemoteProtocolError):
        next(frames)


def test_an_iterator_left_early_loses_the_place() -> None:
    framer = PduFramer(Limits())
    frames = framer.receive(RELEASE_RQ + RELEASE_RQ)
    next(frames)
    assert_lost(framer)


@given(st.binary(max_size=400), st.data())
def test_random_bytes_end_in_values_or_a_refusal(stream: bytes, data: st.DataObject) -> None:
    assert_values_or_refusal(data.draw(strategies.chunkings(stream)))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(strategies.pdus(), min_size=1, max_size=3)
    .map(lambda pdus: b"".join(map(write_pdu, pdus)))
    .flatmap(strategies.damaged)
    .flatmap(strategies.chunkings)
)
def test_damaged_streams_end_in_values_or_a_refusal(chunks: list[bytes]) -> None:
    assert_values_or_refusal(chunks)


def assert_values_or_refusal(chunks: Sequence[bytes]) -> None:
    """The same for the chunks as for the whole stream."""
    outcomes = []
    for pieces in (chunks, [b"".join(chunks)]):
        framer = PduFramer(Limits())
        frames: list[Frame] = []
        try:
            for piece in pieces:
                # Keeps what came before an error.
                frames.extend(framer.receive(piece))
        except RemoteProtocolError as error:
            frames_and_end = (merged(frames), error.reason, str(error))
            assert_lost(framer)
        else:
            frames_and_end = (merged(frames), None, framer.is_between_pdus)
        outcomes.append(frames_and_end)
    assert outcomes[0] == outcomes[1]


# What a claim costs.


def test_a_claimed_length_costs_nothing() -> None:
    """A P-DATA-TF of 4 GiB with one PDV of 4 GiB, of which half a megabyte really comes."""
    framer = PduFramer(Limits())
    chunk = bytes(1 << 16)
    tracemalloc.start()
    try:
        list(framer.receive(header(PduType.DATA_TF, 0xFFFFFFFF) + b"\xff\xff\xff\xfb\1\2"))
        received = sum(len(frame.data) for _ in range(8) for frame in framer.receive(chunk))  # type: ignore[union-attr]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert received == 8 << 16
    assert peak < 1 << 14


def test_an_associate_pdu_costs_only_what_came_of_it() -> None:
    framer = PduFramer(Limits())
    tracemalloc.start()
    try:
        list(framer.receive(header(PduType.ASSOCIATE_RQ, 1 << 20)))
        list(framer.receive(bytes(1000)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not framer.is_between_pdus
    assert peak < 1 << 14
