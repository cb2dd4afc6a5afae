"""What to propose on the association of a C-GET, so that instances come as they are stored.

A context's acceptor picks one transfer syntax of those proposed. A context that lists several would have the peer
convert what it stores in another, so each syntax needs a context of its own, of which an association has 128: too few
for all storage SOP classes. Hence the peer is asked first, by C-FIND, which classes and syntaxes there are to get.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Final

from pydicom.uid import UID

from dicomnet import DicomNet
from pacsd.dataset.identifier import Element
from pacsd.dataset.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from pacsd.dataset.uids import is_valid_uid
from pacsd.model import UNIQUE_KEYS, QueryLevel, QueryModel
from pacsd.scu.keys import element, unique_keys_down_to
from pacsd.scu.outgoing import MAX_CONTEXTS, AbstractAndTransferSyntaxes
from pacsd.scu.querying import find

__all__ = ["Inventory", "proposals_for", "proposals_without_inventory", "take_inventory"]

_USUAL_SYNTAXES: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, First-Order Prediction
    "1.2.840.10008.1.2.4.90",  # JPEG 2000, lossless only
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.80",  # JPEG-LS, lossless
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.4.51",  # JPEG Extended
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS, near-lossless
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    "1.2.840.10008.1.2.4.201",  # HTJ2K, lossless only
    "1.2.840.10008.1.2.4.202",  # HTJ2K, lossless RPCL
    "1.2.840.10008.1.2.4.203",  # HTJ2K
    "1.2.840.10008.1.2.4.102",  # MPEG-4 AVC/H.264 High Profile
    "1.2.840.10008.1.2.4.100",  # MPEG2 Main Profile, Main Level
    "1.2.840.10008.1.2.4.107",  # HEVC/H.265 Main Profile
)
"""Where the peer does not say which it stores; most usual first, as what doesn't fit is left out at the end."""
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_NOT_IMAGES: Final = "1.2.840.10008.5.1.4."
_RARE: Final = (
    # Protocols, security screening, material inspection, measurements of the eye, scanned surfaces, physiology.
    *(
        f"{_STORAGE}{arc}."
        for arc in (200, 201, 501, 601, 78, 79, 80, 81, 82, 68, "9.5", "9.6", "9.7", "9.8")
    ),
    # Models for 3D printing, second-generation radiotherapy.
    *(f"{_STORAGE}104.{number}" for number in (3, 4, 5)),
    *(f"{_STORAGE}481.{number}" for number in range(10, 26)),
    # Delivery instructions, hanging protocols, palettes, templates of implants.
    *(f"{_NOT_IMAGES}{arc}." for arc in (34, 38, 39, 43, 44, 45)),
)
_OLD_BUT_KEPT: Final = frozenset(f"{_STORAGE}{number}" for number in ("3", "5", "6"))
"""Retired ultrasound and nuclear medicine, which archives are full of."""
_QUERY_CONTEXTS: Final = 1
"""For the C-GET itself."""


@dataclass(slots=True)
class Inventory:
    """The SOP classes of a selection, each with the transfer syntaxes that the peer names; none if it names none."""

    syntaxes: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, sop_class_uid: str, transfer_syntaxes: Iterable[str]) -> None:
        """Take note of an instance."""
        self.syntaxes.setdefault(sop_class_uid, {}).update(dict.fromkeys(transfer_syntaxes))


def take_inventory(net: DicomNet, model: QueryModel, level: QueryLevel, keys: Sequence[Element]) -> Inventory:
    """Find out what a selection holds, from its level down to the images; raises what `find` does.

    `keys` are the unique keys as `keys.retrieve_keys` returns them. Empty where the peer doesn't return SOP Class UID.
    """
    upper, own = list(keys[:-1]), keys[-1]
    branches = [[*upper, element(own.keyword, value)] for value in own.value.split("\\")]
    levels = list(unique_keys_down_to(model, QueryLevel.IMAGE))
    for below in levels[levels.index(level) + 1 : -1]:
        branches = [
            [*branch, element(UNIQUE_KEYS[below], uid)]
            for branch in branches
            for uid in _unique_keys(net, model, below, branch)
        ]
    inventory = Inventory()
    for branch in branches:
        _list_images(net, model, branch, inventory)
    return inventory


def _unique_keys(net: DicomNet, model: QueryModel, level: QueryLevel, branch: list[Element]) -> list[str]:
    keyword = UNIQUE_KEYS[level]
    found = [match.value(keyword) for match in find(net, model, level, [*branch, element(keyword)])]
    return [uid for uid in found if uid]


def _list_images(net: DicomNet, model: QueryModel, branch: list[Element], inventory: Inventory) -> None:
    asked = ["SOPClassUID", "AvailableTransferSyntaxUID"]
    if branch[-1].keyword != "SOPInstanceUID":
        asked.append("SOPInstanceUID")
    keys = [*branch, *(element(keyword) for keyword in asked)]
    for match in find(net, model, QueryLevel.IMAGE, keys):
        sop_class_uid = match.value("SOPClassUID")
        if is_valid_uid(sop_class_uid):
            available = match.value("AvailableTransferSyntaxUID").split("\\")
            inventory.add(sop_class_uid, filter(is_valid_uid, available))


def proposals_for(inventory: Inventory) -> list[AbstractAndTransferSyntaxes]:
    """Return a context for each class and syntax; where they are too many, every class has its first ones."""
    by_class = [
        [(sop_class_uid, (syntax,)) for syntax in dict.fromkeys((*syntaxes, *_further(syntaxes)))]
        for sop_class_uid, syntaxes in inventory.syntaxes.items()
    ]
    in_turns = chain.from_iterable(zip_longest(*by_class))
    return [proposal for proposal in in_turns if proposal is not None][: MAX_CONTEXTS - _QUERY_CONTEXTS]


def _further(syntaxes: Collection[str]) -> tuple[str, ...]:
    """What a peer says is available may be only a part; uncompressed, anything can be had."""
    return (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN) if syntaxes else _USUAL_SYNTAXES


def proposals_without_inventory(storage_sop_classes: Collection[str]) -> list[AbstractAndTransferSyntaxes]:
    """Return the most usual of these SOP classes, uncompressed: all that 128 contexts allow.

    What the peer stores compressed it has to decompress, or counts as failed.
    """
    usual = sorted(filter(_is_usual, storage_sop_classes), key=_by_number)
    return [
        (uid, (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN))
        for uid in usual[: MAX_CONTEXTS - _QUERY_CONTEXTS]
    ]


def _is_usual(sop_class_uid: str) -> bool:
    uid = UID(sop_class_uid)
    return sop_class_uid in _OLD_BUT_KEPT or not (uid.is_retired or sop_class_uid.startswith(_RARE))


def _by_number(uid: str) -> list[int]:
    """The Standard has numbered its storage SOP classes by age, and the oldest are the most usual."""
    return [int(component) for component in uid.split(".")]
