"""Letters without their accents, so that who cannot type a name's accents finds it all the same."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

__all__ = ["without_accents"]

_SCRIPTS: Final = ("LATIN ", "GREEK ", "CYRILLIC ")
_WILDCARDS: Final = "*?"


def without_accents(text: str) -> str:
    """Latin, Greek and Cyrillic letters without the marks that combine with them; composed (NFC).

    In other scripts a mark makes another letter (が is not か). Letters of their own, as ø or ł, have no mark to
    lose. A mark behind a wildcard goes, since it belongs to the letter that the wildcard stands for.
    """
    if text.isascii():
        return text
    kept: list[str] = []
    is_bare = False
    for character in unicodedata.normalize("NFD", text):
        if unicodedata.category(character) != "Mn":
            is_bare = _loses_marks(character)
            kept.append(character)
        elif not is_bare:
            kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


@lru_cache(maxsize=4096)
def _loses_marks(character: str) -> bool:
    return character in _WILDCARDS or unicodedata.name(character, "").startswith(_SCRIPTS)
