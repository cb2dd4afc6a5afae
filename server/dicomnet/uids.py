"""The few UIDs that the engine itself speaks of (PS3.6 Annex A); the daemon takes the rest from pydicom."""

from __future__ import annotations

from typing import Final

__all__ = [
    "APPLICATION_CONTEXT_NAME",
    "DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN",
    "EXPLICIT_VR_BIG_ENDIAN",
    "EXPLICIT_VR_LITTLE_ENDIAN",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "VERIFICATION_SOP_CLASS",
]

APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"
VERIFICATION_SOP_CLASS: Final = "1.2.840.10008.1.1"

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

# A UUID-derived root (PS3.5 Annex B.2), drawn once for this implementation; the last version that
# changes what goes on the wire is told apart by the version name.
IMPLEMENTATION_CLASS_UID: Final = "2.25.50512781815104161522840247026728373307"
IMPLEMENTATION_VERSION_NAME: Final = "PACSD_0_1"
"""At most 16 characters (PS3.7 §D.3.3.2.3)."""
