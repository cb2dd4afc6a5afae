"""The attributes that the header scan collects: all of the data dictionary whose values are short texts or numbers."""

from __future__ import annotations

from typing import Final

from pydicom.datadict import DicomDictionary  # type: ignore[attr-defined]  # as its documentation does

__all__ = ["INDEXED_ATTRIBUTES", "LAST_INDEXED_GROUP", "US_OR_SS"]

US_OR_SS: Final = "US or SS"
"""The data dictionary's VR where Pixel Representation decides (PS3.5 §A.1)."""

_FIRST_GROUP: Final = 0x0008
"""Below are command sets, file meta information and directories of media, which are none of a data set's."""
LAST_INDEXED_GROUP: Final = 0x4FFF
"""Behind it are waveforms, spectra, overlays and pixel data: bulk, and what describes it.

Elements come in ascending order (PS3.5 §7.1), so that a scan may stop here.
"""
_VRS: Final = frozenset((
    *("AE", "AS", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL"),
    *("SS", "ST", "SV", "TM", "UC", "UI", "UL", "UR", "US", "UT", "UV", US_OR_SS),
))  # fmt: skip

INDEXED_ATTRIBUTES: Final[dict[int, tuple[str, str]]] = {
    tag: (keyword, vr)
    for tag, (vr, _multiplicity, _name, _retired, keyword) in DicomDictionary.items()
    if keyword and vr in _VRS and _FIRST_GROUP <= tag >> 16 <= LAST_INDEXED_GROUP
}
"""Tag → keyword and VR of the data dictionary; retired attributes, too, as old objects have them."""
