"""Messages cut to PDUs (PS3.8 §9.3.5, Annex D.1); how they arrive is `test_connection_data`'s."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnet.dimse.fragments import fragment_length, message_pdus
from dicomnet.errors import LocalProtocolError

COMMAND = bytes(range(100))


@pytest.mark.parametrize(
    ("maximum", "length"),
    [(0, 262138), (8, 2), (9, 2), (10, 4), (4096, 4090), (16384, 16378), (1 << 32, 262138)],
)
def test_length_of_fragments(maximum: int, length: int) -> None:
    assert fragment_length(maximum) == length


@pytest.mark.parametrize("maximum", range(1, 8))
def test_too_small_a_maximum(maximum: int) -> None:
    with pytest.raises(LocalProtocolError):
        fragment_length(maximum)


@given(st.integers(8, 1 << 20))
def test_fragments_are_even_and_fit(maximum: int) -> None:
    length = fragment_length(maximum)
    assert length % 2 == 0
    assert length + 6 <= maximum


def test_large_buffers_are_not_copied() -> None:
    dataset = bytearray(50_000)
    for buffers in message_pdus(1, COMMAND, dataset, 16384):
        for header, fragment in zip(buffers[::2], buffers[1::2], strict=True):
            assert len(header) == 12
            assert isinstance(fragment, memoryview)
            assert fragment.obj is dataset or fragment == COMMAND


def test_no_write_has_more_buffers_than_the_kernel_takes() -> None:
    for buffers in message_pdus(1, bytes(300), bytes(100_000), 8):
        assert len(buffers) <= 1024


def test_pieces_are_asked_for_as_they_are_written() -> None:
    """A data set of any length costs two of its pieces: that in writing, and the next to know the last by."""
    asked = []

    def pieces() -> Iterator[bytes]:
        for number in range(5):
            asked.append(number)
            yield bytes(10)

    writes = message_pdus(1, COMMAND, pieces(), 16384)
    for number in range(4):
        next(writes)
        assert asked == list(range(number + 2))
    next(writes)
    assert next(writes, None) is None
    assert asked == [0, 1, 2, 3, 4]


def test_command_leaves_with_the_first_piece() -> None:
    first = next(message_pdus(1, COMMAND, iter([b"one", b"two"]), 16384))
    assert [bytes(buffer) for buffer in first[1::2]] == [COMMAND, b"one"]
