"""Which of the transfer syntaxes that a context proposes an acceptor takes (PS3.8 §9.3.3.2)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from dicomnet import uids

__all__ = ["choose_transfer_syntax"]

_NATIVE_TRANSFER_SYNTAXES: Final = (
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
)


def choose_transfer_syntax(proposed: Sequence[str], supported: Collection[str]) -> str | None:
    """Follow the requestor's order, except that of the uncompressed syntaxes the one that keeps VRs is best.

    A sender lists first what it has at hand; taking a later one would make it convert, perhaps with loss.
    """
    usable = [syntax for syntax in proposed if syntax in supported]
    if not usable:
        return None
    if usable[0] in _NATIVE_TRANSFER_SYNTAXES:
        return min(usable, key=_native_rank)
    return usable[0]


def _native_rank(transfer_syntax: str) -> int:
    try:
        return _NATIVE_TRANSFER_SYNTAXES.index(transfer_syntax)
    except ValueError:
        return len(_NATIVE_TRANSFER_SYNTAXES)
