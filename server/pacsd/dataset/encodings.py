"""How element headers are laid out: three encodings (PS3.5 §7.1, Annex A) and two kinds of VR."""

from __future__ import annotations

from dataclasses import dataclass, replace
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from pacsd.dataset.indexed_attributes import INDEXED_ATTRIBUTES, IndexedAttribute
from pacsd.dataset.transfer_syntaxes import EXPLICIT_VR_BIG_ENDIAN, GE_PRIVATE, IMPLICIT_VR_LITTLE_ENDIAN

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "EXPLICIT_BIG_ENDIAN",
    "EXPLICIT_LITTLE_ENDIAN",
    "IMPLICIT_LITTLE_ENDIAN",
    "LONG_VRS",
    "SHORT_VRS",
    "Encoding",
    "collecting",
    "encoding_of",
    "encoding_within_unknown",
    "read_header",
]

SHORT_VRS: Final = {vr.encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_16}
"""The VRs whose length has 16 bits (PS3.5 Table 7.1-2), by their code."""
LONG_VRS: Final = {vr.encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_32}
"""The VRs whose length has 32 bits (PS3.5 Table 7.1-1), by their code."""
_GROUP_OF_PIXELS: Final = 0x7FE0


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """One layout of element headers, ready to be read with.

    Tags are read as one number in the byte order of the data, which for little endian leaves the group in the
    lower half: cheaper than putting every tag together only to find that it is not indexed.
    """

    explicit_vr: bool
    unpack_explicit: Callable[..., tuple[Any, ...]]
    """Tag, VR, 16-bit length."""
    unpack_implicit: Callable[..., tuple[Any, ...]]
    """Tag, 32-bit length."""
    unpack_item: Callable[..., tuple[Any, ...]]
    """Group, element and 32-bit length of items and delimitation items."""
    unpack_length: Callable[..., tuple[Any, ...]]
    group_shift: int
    """`tag >> group_shift & 0xFFFF` is the group."""
    indexed: dict[int, IndexedAttribute]
    """`INDEXED_ATTRIBUTES` by tags as they are read here."""


def collecting(encoding: Encoding, indexed: dict[int, IndexedAttribute]) -> Encoding:
    """Return an encoding by which other attributes are collected, given by their tags."""
    return replace(encoding, indexed=_as_read(indexed, "<" if encoding.group_shift == 0 else ">"))


def _as_read(indexed: dict[int, IndexedAttribute], byte_order: str) -> dict[int, IndexedAttribute]:
    if byte_order == ">":
        return indexed
    return {(tag & 0xFFFF) << 16 | tag >> 16: value for tag, value in indexed.items()}


def _encoding(*, explicit_vr: bool, byte_order: str) -> Encoding:
    explicit, implicit, item, length = (
        Struct(byte_order + layout).unpack_from for layout in ("I2sH", "II", "HHI", "I")
    )
    indexed = _as_read(INDEXED_ATTRIBUTES, byte_order)
    return Encoding(explicit_vr, explicit, implicit, item, length, 16 if byte_order == ">" else 0, indexed)


def read_header(data: bytes | bytearray, position: int, encoding: Encoding) -> tuple[str, int, int]:
    """Return VR ("" where there is none), value length and header length of the element at `position`.

    A VR that is unknown is given as UN. Raises `struct.error` if the data end within the header.
    """
    if not encoding.explicit_vr:
        return "", encoding.unpack_implicit(data, position)[1], 8
    tag, code, short_length = encoding.unpack_explicit(data, position)
    if code in SHORT_VRS:
        return SHORT_VRS[code], short_length, 8
    if code not in LONG_VRS:
        if not code.isalpha() or not code.isupper():
            if _is_nonsense_for_vr(code, short_length, tag >> encoding.group_shift & 0xFFFF):
                return "", short_length, 8
            # Some writers fall back into implicit VR for single elements; pydicom reads them so, too.
            return "", encoding.unpack_implicit(data, position)[1], 8
        if short_length:
            return "UN", short_length, 8
        # What remains is a VR of the future, which has a 32-bit length (PS3.5 §7.1.2).
    return LONG_VRS.get(code, "UN"), encoding.unpack_length(data, position + 8)[0], 12


def _is_nonsense_for_vr(code: bytes, short_length: int, group: int) -> bool:
    """Say whether two bytes that are no VR stand where one is due, and not the beginning of an implicit VR's length.

    "??", blanks or lower case letters, and a length of 16 bits behind them, as DCMTK reads it: with them, implicit VR
    would mean a length of more than 64 KiB, which none but pixels have.
    """
    if short_length == 0:
        return code == b"??"
    return group != _GROUP_OF_PIXELS and (code == b"\0\0" or (code.isascii() and code.decode().isprintable()))


IMPLICIT_LITTLE_ENDIAN: Final = _encoding(explicit_vr=False, byte_order="<")
EXPLICIT_LITTLE_ENDIAN: Final = _encoding(explicit_vr=True, byte_order="<")
EXPLICIT_BIG_ENDIAN: Final = _encoding(explicit_vr=True, byte_order=">")
_OTHER_ENCODINGS: Final = {
    IMPLICIT_VR_LITTLE_ENDIAN: IMPLICIT_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN: EXPLICIT_BIG_ENDIAN,
    GE_PRIVATE: IMPLICIT_LITTLE_ENDIAN,
}


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Return the encoding of a transfer syntax; all others, private ones included, are Explicit VR Little Endian.

    PS3.5 §10, §A.4.
    """
    return _OTHER_ENCODINGS.get(transfer_syntax_uid, EXPLICIT_LITTLE_ENDIAN)


def encoding_within_unknown(start: bytes, outer: Encoding) -> Encoding:
    """Return how the items of a UN element are encoded, of which `start` are the first 14 bytes.

    Implicit VR Little Endian (PS3.5 §6.2.2), but there are writers that leave the encoding as it was.
    """
    if not outer.explicit_vr:
        return outer
    if start.startswith(b"\xff\xfe\xe0"):
        return EXPLICIT_BIG_ENDIAN
    code = start[12:14]
    return EXPLICIT_LITTLE_ENDIAN if code in SHORT_VRS or code in LONG_VRS else IMPLICIT_LITTLE_ENDIAN
