"""Which SOP classes are storage: from pydicom's registry, and a table of what it lacks."""

from __future__ import annotations

from typing import Final

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

__all__ = [
    "STORAGE_SOP_CLASSES",
    "is_registered",
    "may_be_storage",
]


_NOT_STORAGE: Final = frozenset(
    {"StorageCommitmentPushModel", "StorageCommitmentPullModel", "MediaStorageDirectoryStorage"}
)
_STANDARD: Final = "1.2.840.10008."
_STORAGE_IN_THE_STANDARD: Final = "1.2.840.10008.5.1.4.1.1."
"""Where the Standard numbers its storage SOP classes; whatever it adds elsewhere is some other service."""
_PRIVATE_NOT_STORAGE: Final = (
    "1.2.40.0.13.1.3.1.2.3.1.1",  # dcm4che's Attributes Modification Notification
    "1.2.40.0.13.1.5.1.4.1.2.",  # dcm4che's information models for query and retrieve
)
"""How UIDs of private SOP classes begin that are known to be no storage (dcm4che's table of UIDs)."""
_NEWER_THAN_THE_REGISTRY: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.9.100.1",  # Waveform Presentation State Storage
        "1.2.840.10008.5.1.4.1.1.9.100.2",  # Waveform Acquisition Presentation State Storage
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation Storage
        "1.2.840.10008.5.1.4.1.1.66.8",  # Height Map Segmentation Storage
    }
)
"""Of PS3.4 Table B.5-1, but not of pydicom's registry yet."""

STORAGE_SOP_CLASSES: Final = _NEWER_THAN_THE_REGISTRY | {
    uid
    for uid, (_, kind, _, _, keyword) in UID_dictionary.items()
    if kind == "SOP Class"
    and keyword not in _NOT_STORAGE
    and ("Storage" in keyword or (not keyword and uid.startswith(_STORAGE_IN_THE_STANDARD)))
}
"""Every storage SOP class of the Standard, retired ones too: old modalities and old archives send them.

Of two that were retired, the registry has no names any more.
"""


def is_registered(uid: str) -> bool:
    """Say whether the Standard's registry knows a UID, for whatever."""
    return uid in UID_dictionary


def may_be_storage(uid: str) -> bool:
    """Say whether nobody is known to use a SOP class otherwise: a private one, or one of storage that is new."""
    if is_registered(uid) or uid.startswith(_PRIVATE_NOT_STORAGE):
        return False
    return uid.startswith(_STORAGE_IN_THE_STANDARD) or not uid.startswith(_STANDARD)
