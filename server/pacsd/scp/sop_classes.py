"""Which SOP classes we serve, as which service, and in which transfer syntaxes; all from pydicom's registry."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

from pacsd.identifier import NATIVE_TRANSFER_SYNTAXES
from pacsd.model import QueryModel

__all__ = [
    "FIND_MODELS",
    "GET_MODELS",
    "MOVE_MODELS",
    "NATIVE_TRANSFER_SYNTAXES",
    "STORAGE_SOP_CLASSES",
    "STORAGE_TRANSFER_SYNTAXES",
    "VERIFICATION",
    "Service",
    "is_registered",
    "service_of",
]


class Service(Enum):
    """A DIMSE service as it is permitted, measured and logged; the value stands in the configuration."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    MOVE = "move"
    GET = "get"


VERIFICATION: Final = "1.2.840.10008.1.1"

FIND_MODELS: Final[Mapping[str, QueryModel]] = MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.2.1.1": QueryModel.PATIENT_ROOT,
        "1.2.840.10008.5.1.4.1.2.2.1": QueryModel.STUDY_ROOT,
        "1.2.840.10008.5.1.4.1.2.3.1": QueryModel.PATIENT_STUDY_ONLY,
    }
)
MOVE_MODELS: Final[Mapping[str, QueryModel]] = MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.2.1.2": QueryModel.PATIENT_ROOT,
        "1.2.840.10008.5.1.4.1.2.2.2": QueryModel.STUDY_ROOT,
        "1.2.840.10008.5.1.4.1.2.3.2": QueryModel.PATIENT_STUDY_ONLY,
    }
)
GET_MODELS: Final[Mapping[str, QueryModel]] = MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.2.1.3": QueryModel.PATIENT_ROOT,
        "1.2.840.10008.5.1.4.1.2.2.3": QueryModel.STUDY_ROOT,
        "1.2.840.10008.5.1.4.1.2.3.3": QueryModel.PATIENT_STUDY_ONLY,
    }
)

_NOT_STORAGE: Final = frozenset(
    {"StorageCommitmentPushModel", "StorageCommitmentPullModel", "MediaStorageDirectoryStorage"}
)
_NO_DATASET_ENCODING: Final = frozenset(
    {"RFC2557MIMEEncapsulation", "XMLEncoding", "Papyrus3ImplicitVRLittleEndian"}
)
"""Withdrawn transfer syntaxes of something other than DICOM data sets."""
_REAL_TIME: Final = "SMPTEST2110"
"""Transfer syntaxes of streams (PS3.22), which no file holds."""


def _registered(kind: str) -> dict[str, str]:
    """Return keyword by UID of one kind of the registry's entries (name, type, info, retired, keyword)."""
    return {uid: entry[4] for uid, entry in UID_dictionary.items() if entry[1] == kind}


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
    for uid, keyword in _registered("SOP Class").items()
    if "Storage" in keyword and keyword not in _NOT_STORAGE
}
"""Every storage SOP class of the Standard, retired ones too: old modalities and old archives send them."""

STORAGE_TRANSFER_SYNTAXES: Final = frozenset(
    uid
    for uid, keyword in _registered("Transfer Syntax").items()
    if keyword not in _NO_DATASET_ENCODING and not keyword.startswith(_REAL_TIME)
)


def is_registered(uid: str) -> bool:
    """Say whether the Standard's registry knows a UID, for whatever."""
    return uid in UID_dictionary


def service_of(abstract_syntax: str, *, accept_unknown: bool) -> Service | None:
    """Return the service that a context's SOP class belongs to, None where we serve none.

    With `accept_unknown`, a class that the registry does not know counts as a private storage class.
    """
    if abstract_syntax in STORAGE_SOP_CLASSES:
        return Service.STORE
    known = _QUERY_AND_VERIFICATION.get(abstract_syntax)
    if known is None and accept_unknown and not is_registered(abstract_syntax):
        return Service.STORE
    return known


_QUERY_AND_VERIFICATION: Final[Mapping[str, Service]] = MappingProxyType(
    {
        VERIFICATION: Service.ECHO,
        **dict.fromkeys(FIND_MODELS, Service.FIND),
        **dict.fromkeys(MOVE_MODELS, Service.MOVE),
        **dict.fromkeys(GET_MODELS, Service.GET),
    }
)
