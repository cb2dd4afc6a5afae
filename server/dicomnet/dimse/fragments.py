"""From messages to P-DATA-TF PDUs: commands and data sets cut to what the peer receives (PS3.8 Annex E, §D.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dicomnet.errors import LocalProtocolError
from dicomnet.upper_layer.pdu import PDV_HEADER_LENGTH
from dicomnet.upper_layer.writer import p_data_header

__all__ = ["Dataset", "fragment_length", "message_pdus"]

Buffer = bytes | bytearray | memoryview
Dataset = Buffer | Iterable[Buffer]
"""A data set to send: all of it, or its pieces in order. A piece must keep its content while the next is made,
since only that tells whether it was the last: two buffers in turn will do, one will not."""

_OWN_FRAGMENT_LENGTH: Final = 262144 - PDV_HEADER_LENGTH
"""Where the peer states no limit, bytes; larger PDUs gain nothing."""
_BUFFERS_AT_ONCE: Final = 512
"""Headers and fragments handed out together, below the kernel's 1024 for one gathered write."""


def fragment_length(maximum_length: int) -> int:
    """Return how many bytes of data one PDV may hold for a peer's maximum length; even (PS3.8 §9.3.1)."""
    if maximum_length == 0:
        return _OWN_FRAGMENT_LENGTH
    length = min(maximum_length - PDV_HEADER_LENGTH, _OWN_FRAGMENT_LENGTH)
    if length < 2:
        raise LocalProtocolError(
            f"nothing can be sent to a peer that receives at most {maximum_length} bytes"
        )
    return length & ~1


def message_pdus(
    context_id: int, command: bytes, dataset: Dataset | None, maximum_length: int
) -> Iterator[list[Buffer]]:
    """Yield the PDUs of one message as lists of buffers to write one after the other, each list in one write.

    The command goes out together with the beginning of its data set, so that a message that fits into one
    write is one write. The views handed out are those of the caller's data set: nothing is copied.
    """
    longest = fragment_length(maximum_length)
    if isinstance(dataset, bytes) and len(dataset) <= longest >= len(command):
        yield [
            p_data_header(context_id, is_command=True, is_last=True, length=len(command)),
            command,
            p_data_header(context_id, is_command=False, is_last=True, length=len(dataset)),
            dataset,
        ]
        return
    batch = list(_pdus(context_id, command, longest, is_command=True, is_last=True))
    for piece, is_last in _with_last(dataset):
        for buffer in _pdus(context_id, piece, longest, is_command=False, is_last=is_last):
            batch.append(buffer)
            if len(batch) >= _BUFFERS_AT_ONCE:
                yield batch
                batch = []
        if batch and not is_last:
            yield batch  # before the piece behind the next is asked for: it may overwrite this one
            batch = []
    if batch:
        yield batch


def _with_last(dataset: Dataset | None) -> Iterator[tuple[Buffer, bool]]:
    """Yield each piece with whether it is the last; a data set without any piece is one empty piece."""
    if dataset is None:
        return
    if isinstance(dataset, bytes | bytearray | memoryview):
        yield dataset, True
        return
    pieces = iter(dataset)
    piece = next(pieces, b"")
    for following in pieces:
        yield piece, False
        piece = following
    yield piece, True


def _pdus(
    context_id: int, data: Buffer, longest: int, *, is_command: bool, is_last: bool
) -> Iterator[Buffer]:
    """Yield header and fragment, header and fragment …; an empty last piece is an empty last fragment."""
    view = memoryview(data)
    end = len(view)
    for start in range(0, max(end, 1), longest):
        fragment = view[start : start + longest]
        ends = is_last and start + longest >= end
        yield p_data_header(context_id, is_command=is_command, is_last=ends, length=len(fragment))
        yield fragment
