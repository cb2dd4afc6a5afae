"""A stored instance in a transfer syntax that the peer accepts, where it doesn't accept the stored one."""

from __future__ import annotations

import zlib
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from pacsd.dataset.budgets import DEFAULT_BUDGETS, Budgets
from pacsd.dataset.decompression import NativePixels, decompress, inflate_by_pieces
from pacsd.dataset.encodings import (
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    encoding_of,
)
from pacsd.dataset.header import least_inflated_length
from pacsd.dataset.memory import make_sure_of_memory
from pacsd.dataset.part10 import meta_information_of
from pacsd.dataset.reencode import reencode
from pacsd.dataset.sources import deflate_window_bits
from pacsd.dataset.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    GE_PRIVATE,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from pacsd.decoder.places import Places
from pacsd.decoder.pool import InstanceDecoding
from pacsd.effort import now_and_then
from pacsd.errors import DatasetInvalid, StorageUnavailable, TranscodingFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pacsd.dataset.encapsulation import EncapsulatedPixels
    from pacsd.dataset.part10 import DicomFile
    from pacsd.decoder.pool import DecoderPool

__all__ = ["TARGETS", "Transcoder", "normalized"]

TARGETS: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
"""The transfer syntaxes that can be transcoded to, in the order of preference: nothing is compressed anew."""

PUBLIC: Final = "1.2.840.10008.1.2."
"""How the Standard's transfer syntaxes begin."""
REFERENCED: Final = frozenset({
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
})  # fmt: skip
"""The JPIP ones, whose pixels are elsewhere."""

INFLATED_ANYWAY: Final = 512_000_000
"""Bytes that a deflated data set may become, whatever its length: some are empty images, for the most part."""
USUAL_RATIO: Final = 50
"""Bytes that one byte of a larger one may become."""
MAXIMUM_RATIO: Final = 1032
"""Bytes that one byte of a deflate stream can become at most."""
PIECE_LENGTH: Final = 1 << 20
"""Bytes that are read, inflated or deflated between two looks whether anybody still waits for them."""


def normalized(file: DicomFile, *, maximum_inflated: int) -> tuple[str, bytearray]:
    """Return a transfer syntax, and a data set in the form in which equal ones are equal.

    One without compressed pixels is in Implicit VR Little Endian, others keep their transfer syntax; none has group
    lengths, sequences of defined length, or padding that says nothing. A deflated one that inflates to more than
    `maximum_inflated` bytes fails. Raises `TranscodingFailed`.
    """
    with _failures():
        meta = meta_information_of(file)
        uid = meta.transfer_syntax_uid
        _verify_known(uid)
        target = IMPLICIT_VR_LITTLE_ENDIAN if _is_native(uid) else uid
        data: bytes | bytearray = file.read_at(meta.dataset_offset, file.size - meta.dataset_offset)
        if uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
            data = _inflate(data, maximum_inflated, _nothing)
        encoding = encoding_of(target)
        # In two steps: the second sees all VRs by the target's rules, whichever the source had said.
        data = bytes(reencode(data, encoding_of(uid), encoding, pixels_are_big_endian=uid == GE_PRIVATE))
        return target, reencode(data, encoding, encoding, normalized=True)


class Transcoder:
    """Converts stored instances, within what `budgets` allow; one object per process, for all its associations at once.

    All conversions together have no more in memory than twice `budgets.instance`, or else a single one: others wait for
    their turn. `taken` are the bytes that each process has as they are stored, then those that each process has
    converted, where several share the memory; see `Places`.
    """

    def __init__(
        self,
        decoders: DecoderPool,
        budgets: Budgets = DEFAULT_BUDGETS,
        *,
        taken: memoryview | None = None,
        slot: int = 0,
    ) -> None:
        self.decoders = decoders
        self.budgets = budgets
        halves = (None, None) if taken is None else (taken[: len(taken) // 2], taken[len(taken) // 2 :])
        self._stored, self.converted = (
            Places(budgets.instance, what="too much else is being converted", taken=half, slot=slot)
            for half in halves
        )

    def __call__(
        self,
        file: DicomFile,
        acceptable_transfer_syntaxes: Collection[str],
        *,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> tuple[str, bytes | bytearray]:
        """Return the transfer syntax chosen of those given, and the file's data set in it, without file meta.

        `file` has a preamble. Between native syntaxes no value is touched; compressed pixel data are decompressed,
        colour becomes RGB. Where the stored syntax is acceptable, it stays, and only what PS3.5 §7.1.1 wants is done:
        values, and with them the data set, get an even length. What was stored and what is returned are in memory as a
        whole, nothing else is. Raises `TranscodingFailed`, with the cause, also where the file cannot be read or there
        is no memory for that; RetrieveCancelled soon after `is_cancelled` says so.
        """
        with _failures():
            return self._transcode(file, acceptable_transfer_syntaxes, is_cancelled)

    def _transcode(
        self, file: DicomFile, acceptable: Collection[str], is_cancelled: Callable[[], bool]
    ) -> tuple[str, bytes | bytearray]:
        meta = meta_information_of(file)
        uid = meta.transfer_syntax_uid
        target = uid if uid in acceptable else next((each for each in TARGETS if each in acceptable), None)
        if target is None:
            raise TranscodingFailed("the peer accepts no uncompressed transfer syntax for this SOP class")
        _verify_known(uid)
        size = file.size - meta.dataset_offset
        room = size
        if uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
            room = min(MAXIMUM_RATIO * size, max(USUAL_RATIO * size, INFLATED_ANYWAY), self.budgets.instance)
        conversion = _Conversion(self, is_cancelled)
        # Who waits for room for the result has that for what is stored, and never the other way round.
        with self._stored.held(room, is_cancelled=is_cancelled, within=self.decoders.seconds), conversion:
            # Compressed pixels need more for what becomes of them, of which they will say how much.
            make_sure_of_memory(size if target != uid and uid not in TARGETS else 2 * size)
            look = now_and_then(is_cancelled)
            data: bytes | bytearray = _read(file, meta.dataset_offset, size, look)
            if uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
                data = _inflate(data, room, look)
                make_sure_of_memory(len(data))
            converted = conversion.convert(data, uid, target)
            return target, _deflate(
                converted, look
            ) if target == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN else converted


def _nothing() -> None:
    pass


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (StorageUnavailable, DatasetInvalid, zlib.error) as error:
        # What a peer is shown of it has 64 characters.
        raise TranscodingFailed(f"not convertible: {error}") from error
    except MemoryError as error:
        raise TranscodingFailed("not convertible: it takes more memory than there is") from error


class _Conversion(ExitStack):
    """The conversion of one data set; has room for its result for as long as it is entered."""

    def __init__(self, transcoder: Transcoder, is_cancelled: Callable[[], bool]) -> None:
        super().__init__()
        self._transcoder = transcoder
        self._is_cancelled = is_cancelled
        self._look = now_and_then(is_cancelled)
        self._decode = InstanceDecoding(transcoder.decoders, is_cancelled)
        self._decompressed = 0

    def convert(self, data: bytes | bytearray, uid: str, target: str) -> bytes | bytearray:
        """Return the data set in another transfer syntax, or in its own one with values of even length."""
        source = encoding_of(uid)
        if target == uid or _is_native(uid):
            self._make_room(len(data))
        if target == uid:
            return reencode(data, source, source, look=self._look)
        convert = partial(
            reencode,
            look=self._look,
            decompress=partial(self._to_native, transfer_syntax_uid=uid),
            pixels_are_big_endian=uid == GE_PRIVATE,
        )
        if not _is_native(uid) and encoding_of(target) is EXPLICIT_BIG_ENDIAN:
            # What is decompressed is little endian, and becomes big endian with all the rest.
            little = convert(data, source, EXPLICIT_LITTLE_ENDIAN)
            return reencode(little, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, look=self._look)
        return convert(data, source, encoding_of(target))

    def _to_native(
        self,
        values: Mapping[tuple[int, int], bytes],
        pixels: EncapsulatedPixels,
        order: str,
        *,
        transfer_syntax_uid: str,
    ) -> NativePixels:
        budgets = self._transcoder.budgets
        native = decompress(
            values,
            pixels,
            transfer_syntax_uid,
            order,
            decode=self._decode,
            budgets=budgets,
            look=self._look,
        )
        self._decompressed += native.length
        if self._decompressed > budgets.instance:
            raise DatasetInvalid(
                f"{self._decompressed} bytes of pixels are over the limit of {budgets.instance}"
            )
        self._make_room(self._decompressed)
        make_sure_of_memory(native.length)
        return native

    def _make_room(self, length: int) -> None:
        """Wait until there is room for so many bytes, after giving back what there was before.

        Two that kept theirs while they waited for more would wait for each other.
        """
        self.close()
        self.enter_context(
            self._transcoder.converted.held(
                length, is_cancelled=self._is_cancelled, within=self._transcoder.decoders.seconds
            )
        )


def _is_native(transfer_syntax_uid: str) -> bool:
    """Whether pixels are not compressed in a transfer syntax, so that it converts to another without loss."""
    return transfer_syntax_uid in TARGETS or transfer_syntax_uid == GE_PRIVATE


def _verify_known(uid: str) -> None:
    if not _is_native(uid) and (uid in REFERENCED or not uid.startswith(PUBLIC)):
        raise TranscodingFailed(f"data sets in {uid} cannot be transcoded")


def _read(file: DicomFile, position: int, size: int, look: Callable[[], None]) -> bytearray:
    """Return the `size` bytes of a file from a position on, or those that there are."""
    data = bytearray()
    while len(data) < size:
        look()
        piece = file.read_at(position + len(data), min(PIECE_LENGTH, size - len(data)))
        if not piece:
            break
        data += piece
    return data


def _inflate(data: bytes | bytearray, maximum: int, look: Callable[[], None]) -> bytearray:
    if least_inflated_length(data) <= maximum:
        inflater = zlib.decompressobj(deflate_window_bits(data))
        # With room for one byte more, it comes to its end where it is as long as it may be.
        inflated = inflate_by_pieces(inflater, memoryview(data), maximum + 1, look)
        if inflater.eof and len(inflated) <= maximum:
            return inflated
        if len(inflated) <= maximum:
            raise DatasetInvalid("its deflate stream is truncated")
    raise DatasetInvalid(f"it inflates to more than {maximum} bytes")


def _deflate(data: bytes | bytearray, look: Callable[[], None]) -> bytearray:
    """Return raw deflate, padded to even length (PS3.5 §A.5)."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated, view = bytearray(), memoryview(data)
    for start in range(0, len(data), PIECE_LENGTH):
        look()
        deflated += compressor.compress(view[start : start + PIECE_LENGTH])
    deflated += compressor.flush()
    return deflated + bytes(len(deflated) % 2)
