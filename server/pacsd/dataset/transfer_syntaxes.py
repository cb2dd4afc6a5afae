"""Which transfer syntaxes there are for data sets: pydicom's registry, and what it lacks."""

from __future__ import annotations

from typing import Final

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

from dicomnet.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

__all__ = [
    "DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN",
    "EXPLICIT_VR_BIG_ENDIAN",
    "EXPLICIT_VR_LITTLE_ENDIAN",
    "GE_PRIVATE",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "NATIVE_TRANSFER_SYNTAXES",
    "STORAGE_TRANSFER_SYNTAXES",
    "is_unknown_transfer_syntax",
]

NATIVE_TRANSFER_SYNTAXES: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
"""Neither compressed nor deflated, best first: in these identifiers may be sent to us."""
GE_PRIVATE: Final = "1.2.840.113619.5.2"
"""GE's Implicit VR Little Endian with pixel data in big endian."""

_NO_DATASET_ENCODING: Final = frozenset(
    {"RFC2557MIMEEncapsulation", "XMLEncoding", "Papyrus3ImplicitVRLittleEndian"}
)
"""Withdrawn transfer syntaxes of something other than DICOM data sets."""
_REAL_TIME: Final = "SMPTEST2110"
"""Transfer syntaxes of streams (PS3.22), which no file holds."""

_NEWER_THAN_THE_REGISTRY: Final = frozenset(
    {
        "1.2.840.10008.1.2.4.110",  # JPEG XL Lossless
        "1.2.840.10008.1.2.4.111",  # JPEG XL JPEG Recompression
        "1.2.840.10008.1.2.4.112",  # JPEG XL
        "1.2.840.10008.1.2.8.1",  # Deflated Image Frame Compression
    }
)
"""Of PS3.6 Table A-1 (2024d and 2025a), but not of pydicom's registry in all versions that we work with."""

STORAGE_TRANSFER_SYNTAXES: Final = _NEWER_THAN_THE_REGISTRY | {
    uid
    for uid, (_, kind, _, _, keyword) in UID_dictionary.items()
    if kind == "Transfer Syntax"
    and keyword not in _NO_DATASET_ENCODING
    and not keyword.startswith(_REAL_TIME)
}
"""Every one of the Standard that a stored data set may be in, retired ones too."""


def is_unknown_transfer_syntax(uid: str) -> bool:
    """Tell whether nobody but its maker knows what is in a transfer syntax.

    False for what the Standard has registered for something else than stored data sets.
    """
    return uid not in STORAGE_TRANSFER_SYNTAXES and uid not in UID_dictionary
