"""Encapsulated pixel data (PS3.5 §A.4): reading the fragments, and finding out which of them make a frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

from pacsd.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pacsd.dataset.encodings import Encoding

__all__ = [
    "MAXIMUM_FRAGMENTS",
    "EncapsulatedPixels",
    "ExtendedOffsetTable",
    "encapsulated",
    "frames_of",
    "moved_offsets",
    "read_encapsulated",
]

ITEM: Final = (0xFFFE, 0xE000)
SEQUENCE_DELIMITATION: Final = (0xFFFE, 0xE0DD)

MAXIMUM_FRAGMENTS: Final = 500_000
"""Each of which takes some 250 bytes of memory, be it ever so small."""

Frame = list[memoryview]
"""The fragments of one frame."""
ExtendedOffsetTable = tuple["Sequence[int]", "Sequence[int]"]
"""Offsets and lengths of the frames (PS3.3 §C.7.6.3.1.8)."""


@dataclass(frozen=True, slots=True)
class EncapsulatedPixels:
    """The value of an encapsulated Pixel Data element; the fragments are views of the data set."""

    offset_table: Sequence[int]
    """The Basic Offset Table; empty where there is none."""
    fragments: Sequence[memoryview]
    offsets: Sequence[int]
    """Where the item of each fragment begins, counted as the Basic Offset Table counts."""
    end: int
    """Where the next element begins in the data set."""


def read_encapsulated(
    data: bytes | bytearray, position: int, encoding: Encoding, *, maximum: int = MAXIMUM_FRAGMENTS
) -> EncapsulatedPixels:
    """Read the items from `position` on.

    Raises `DatasetInvalid` if they are no fragments, are cut off, or are more than `maximum`.
    """
    view = memoryview(data)
    fragments: list[memoryview] = []
    offsets: list[int] = []
    first = 0
    while True:
        try:
            group, element, length = encoding.unpack_item(data, position)
        except struct.error:
            raise DatasetInvalid("the pixel data are truncated: they have no end") from None
        if (group, element) == SEQUENCE_DELIMITATION:
            break
        if (group, element) != ITEM or position + 8 + length > len(data):
            raise DatasetInvalid("the pixel data are malformed: no item where a fragment's is due")
        fragments.append(view[position + 8 : position + 8 + length])
        if len(fragments) == 1:
            first = position + 8 + length
        offsets.append(position - first)
        if len(fragments) > maximum + 1 or len(fragments[0]) > 4 * maximum:
            raise DatasetInvalid(f"the pixel data have more than {maximum} fragments")
        position += 8 + length
    table = fragments[0] if fragments else view[:0]
    words = len(table) // 4
    return EncapsulatedPixels(
        struct.unpack_from(f"<{words}I", table), fragments[1:], offsets[1:], position + 8
    )


def frames_of(
    pixels: EncapsulatedPixels,
    number_of_frames: int | None,
    *,
    extended: ExtendedOffsetTable | None,
    begins_frame: Callable[[memoryview], bool] | None,
) -> list[Frame]:
    """Return the fragments of each frame; as many frames as Number of Frames says, where it says anything.

    `begins_frame` recognises the first fragment of a frame; None where a codestream has no mark to go by. A table of
    offsets that does not fit the fragments is passed over. Raises `DatasetInvalid` if there are fewer frames than
    declared, or several where Number of Frames (None) declares one image.
    """
    wanted = number_of_frames or 1
    candidates = []
    if extended is not None:
        candidates.append(_by_offsets(pixels, extended[0], extended[1]))
    if pixels.offset_table:
        candidates.append(_by_offsets(pixels, pixels.offset_table, None))
    candidates.append(_by_marks(pixels, wanted, begins_frame))
    found = 0
    for frames in candidates:
        if begins_frame is not None and not all(frame and begins_frame(frame[0]) for frame in frames):
            continue
        found = max(found, len(frames))
        if len(frames) == wanted or (len(frames) > wanted and number_of_frames is not None):
            return frames[:wanted]
    raise DatasetInvalid(f"{found} frames instead of the {wanted} declared")


def _by_offsets(
    pixels: EncapsulatedPixels, table: Sequence[int], lengths: Sequence[int] | None
) -> list[Frame]:
    """Return the frames as a table of offsets has them; none where it does not fit."""
    places = {offset: number for number, offset in enumerate(pixels.offsets)}
    starts = [places.get(offset, -1) for offset in table]
    if -1 in starts or starts[:1] != [0] or any(a >= b for a, b in pairwise(starts)):
        return []
    ends = [*starts[1:], len(pixels.fragments)]
    frames = [
        [fragment for fragment in pixels.fragments[start:end] if len(fragment)]
        for start, end in zip(starts, ends, strict=True)
    ]
    if lengths is not None:
        if len(lengths) != len(frames):
            return []
        for frame, length in zip(frames, lengths, strict=True):
            # A frame's length does not count the byte of padding.
            if not 0 <= sum(map(len, frame)) - length <= 1:
                return []
    return frames


def _by_marks(
    pixels: EncapsulatedPixels, wanted: int, begins_frame: Callable[[memoryview], bool] | None
) -> list[Frame]:
    """Return the frames without a table: by how codestreams begin, else one fragment each."""
    fragments = [fragment for fragment in pixels.fragments if len(fragment)]
    if begins_frame is None:
        return [fragments] if wanted == 1 and fragments else [[fragment] for fragment in fragments]
    frames: list[Frame] = []
    for fragment in fragments:
        if begins_frame(fragment) or not frames:
            frames.append([])
        frames[-1].append(fragment)
    return frames


def encapsulated(pixels: EncapsulatedPixels) -> Iterator[bytes | memoryview]:
    """Yield the items again, piece by piece, with fragments of even length, as they have to be, and their new offsets.

    An Extended Offset Table is elsewhere, see `moved_offsets`.
    """
    moved = moved_offsets(pixels)
    table = struct.pack(
        f"<{len(pixels.offset_table)}I", *(moved.get(each, each) for each in pixels.offset_table)
    )
    values: list[bytes | memoryview] = [table, *pixels.fragments]
    for value in values:
        padding = len(value) % 2
        yield struct.pack("<HHI", *ITEM, len(value) + padding)
        yield value
        yield bytes(padding)
    yield struct.pack("<HHI", *SEQUENCE_DELIMITATION, 0)


def moved_offsets(pixels: EncapsulatedPixels) -> dict[int, int]:
    """Return where the item of each fragment begins once `encapsulated` has written it, by where it began."""
    lengths = (8 + len(fragment) + len(fragment) % 2 for fragment in pixels.fragments)
    even = [0, *accumulate(lengths)][: len(pixels.fragments)]
    return dict(zip(pixels.offsets, even, strict=True))
