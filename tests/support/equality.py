"""Comparing what was sent with what came back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement, RawDataElement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag


_PADDING = {0xFFFCFFFC}
_IMAGE_DESCRIPTION = {0x00280002, 0x00280004, 0x00280006, 0x7FE00010}
"""What decompression may change: samples, photometric interpretation, planar configuration, the pixels."""


def differences(sent: Dataset, received: Dataset, *, ignore: Iterable[int] = ()) -> list[str]:
    """The tags at which two data sets differ; group lengths and trailing padding do not count."""
    left_out = _PADDING | set(ignore)
    tags = sorted({*sent.keys(), *received.keys()})
    relevant = [tag for tag in tags if tag not in left_out and tag.element != 0]
    return [f"{tag}" for tag in relevant if not _same_element(sent, received, tag)]


def decompression_differences(sent: Dataset, received: Dataset) -> list[str]:
    """As `differences`, apart from what describes the pixels."""
    return differences(sent, received, ignore=_IMAGE_DESCRIPTION)


def _same_element(sent: Dataset, received: Dataset, tag: BaseTag) -> bool:
    if tag not in sent or tag not in received:
        return False
    one, other = sent.get_item(tag), received.get_item(tag)
    if isinstance(one, RawDataElement) and isinstance(other, RawDataElement) and _same_raw(one, other):
        return True
    return _same_value(sent[tag], received[tag])


def _same_raw(one: RawDataElement, other: RawDataElement) -> bool:
    """Equal bytes; Implicit VR carries no VR, and of a private element nobody else knows it."""
    same_bytes = (one.value or b"") == (other.value or b"") and one.is_little_endian == other.is_little_endian
    return same_bytes and (one.VR == other.VR or None in (one.VR, other.VR))


def _same_value(one: DataElement, other: DataElement) -> bool:
    if one.VR == "SQ" and other.VR == "SQ":
        items = list(zip(one.value, other.value, strict=False))
        return len(one.value) == len(other.value) and not any(differences(a, b) for a, b in items)
    return bool(one.value == other.value) or repr(one.value) == repr(other.value)
