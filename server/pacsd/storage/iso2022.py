"""Specific Character Set (PS3.5 §6.1, PS3.3 §C.12.1.1.2): its terms as codecs, and code extensions with them.

Lenient where data come in, strict where they go out: decoding never fails, encoding never leaves the character
sets it was given.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, ENCODINGS_TO_CODES, python_encoding

__all__ = ["codecs_of", "decode", "encode", "holds"]

ESCAPE: Final = 0x1B
JAPANESE: Final = {"iso2022_jp": b"\x1b$B", "iso2022_jp_2": b"\x1b$(D"}
"""Codecs that write and want escape sequences themselves, and the one that each may write (PS3.3 C.12-4)."""
TO_ASCII: Final = b"\x1b(B"
"""What ends text in these, as ISO 2022 has but one set in the lower half at a time."""
STAND_ALONE: Final = frozenset({"UTF8", "GB18030", "GBK"})
"""Codecs of the sets that allow no code extensions (PS3.3 Table C.12-5)."""

_fragments = re.compile(rb"\x1b?[^\x1b]*", re.DOTALL).findall


def _normalized(term: str) -> str:
    return re.sub(r"[\s_-]+", " ", term.strip(" \0").upper())


CODECS: Final = {_normalized(term): codec for term, codec in python_encoding.items()} | {
    # What is sent in the wild instead of ISO_IR 192 and ISO_IR 100.
    "UTF 8": "UTF8",
    "UTF8": "UTF8",
    "ISO 8859 1": "latin_1",
}
UNKNOWN: Final = "ascii"
"""Stands in for a term that is none: what is not ASCII then shows as replacement characters."""
CODED_OTHERWISE: Final = frozenset({"iso8859", UNKNOWN, "shift_jis", *JAPANESE})
"""Codecs that have more characters than the set that they stand for, or write more than its bytes."""


@lru_cache(maxsize=256)
def codecs_of(specific_character_set: str) -> tuple[str, ...]:
    """Return the Python codecs of a Specific Character Set, the initial one first; never empty.

    Misspelt terms are understood where that is possible; the default repertoire counts as Latin-1, as senders
    often leave out the attribute and send that.
    """
    codecs = [CODECS.get(_normalized(term), UNKNOWN) for term in specific_character_set.split("\\")]
    if codecs[0] in STAND_ALONE:
        return (codecs[0],)
    return (codecs[0], *(codec for codec in codecs[1:] if codec not in STAND_ALONE))


def decode(raw: bytes, codecs: tuple[str, ...], delimiters: bytes) -> str:
    """Decode text with or without code extensions; what has no meaning becomes U+FFFD.

    Each of `delimiters` ends the effect of an escape sequence (PS3.5 §6.1.2.5.3).
    """
    initial = codecs[0]
    if ESCAPE not in raw:
        return raw.decode(initial, "replace")
    return "".join(_decode_fragment(fragment, initial, delimiters) for fragment in _fragments(raw))


def _decode_fragment(fragment: bytes, initial: str, delimiters: bytes) -> str:
    if not fragment.startswith(b"\x1b"):
        return fragment.decode(initial, "replace")
    length = 4 if fragment.startswith((b"\x1b$(", b"\x1b$)")) else 3
    codec = CODES_TO_ENCODINGS.get(fragment[:length])
    if codec in JAPANESE:
        return fragment.decode(codec, "replace")
    content = fragment[length:]
    if codec is None or fragment.startswith(b"\x1b(B"):
        # Back to ASCII in the lower half, which all initial sets have.
        return content.decode(initial, "replace")
    end = next((index for index, byte in enumerate(content) if byte in delimiters), len(content))
    return content[:end].decode(codec, "replace") + content[end:].decode(initial, "replace")


@lru_cache(maxsize=4096)
def _encoded(character: str, codec: str) -> bytes | None:
    """Return a character in a codec, without escape sequences but for Japanese; None if it isn't in that set."""
    if codec in ("iso8859", UNKNOWN):
        return character.encode() if character.isascii() else None
    try:
        encoded = character.encode(codec)
    except UnicodeEncodeError:
        return None
    if codec in JAPANESE and not encoded.startswith(JAPANESE[codec]):
        return None
    if codec == "shift_jis" and (len(encoded) > 1 or encoded.isascii()):
        # Shift JIS has much more than ISO_IR 13, whose yen sign is the backslash that separates values.
        return None
    return encoded


def holds(text: str, codecs: tuple[str, ...]) -> bool:
    """Tell whether `encode` can write all of `text`."""
    if _encoded_directly(text, codecs) is not None:
        return True
    return all(
        character.isascii() or any(_encoded(character, codec) is not None for codec in codecs)
        for character in set(text)
    )


def encode(text: str, codecs: tuple[str, ...], delimiters: str) -> bytes:
    """Encode text, with code extensions where the initial set doesn't do; what no set holds becomes `?`.

    The initial set is in effect again before each of `delimiters` and at the end (PS3.5 §6.1.2.5.3).
    """
    if text.isascii():
        return text.encode("ascii")
    if len(codecs) == 1 and codecs[0] in STAND_ALONE:
        return text.encode(codecs[0], "replace")
    direct = _encoded_directly(text, codecs)
    if direct is not None:
        return direct
    result = bytearray()
    active = initial = codecs[0]
    lower_half = TO_ASCII
    for character in text:
        codec = _codec_of(character, codecs)
        needed = JAPANESE.get(codec, TO_ASCII)
        if needed != lower_half:
            result += needed
            lower_half = needed
            active = ""  # the upper half is said again: readers differ in what they take it for here
        if character in delimiters:
            active = initial
        if codec in JAPANESE:
            result += (_encoded(character, codec) or b"")[len(needed) : -len(TO_ASCII)]
            continue
        if codec not in (UNKNOWN, active):
            result += ENCODINGS_TO_CODES.get(codec, b"")
            active = codec
        result += (
            character.encode("ascii", "replace") if codec == UNKNOWN else _encoded(character, codec)
        ) or b""
    return bytes(result + TO_ASCII if lower_half != TO_ASCII else result)


def _encoded_directly(text: str, codecs: tuple[str, ...]) -> bytes | None:
    """Return text that the initial set has all of, as most has; None where characters must be looked at one by one."""
    if codecs[0] in CODED_OTHERWISE:
        return None
    try:
        return text.encode(codecs[0])
    except UnicodeEncodeError:
        return None


def _codec_of(character: str, codecs: tuple[str, ...]) -> str:
    """Return the first codec that has a character, ASCII for what is ASCII and for what none has."""
    if character.isascii():
        return UNKNOWN
    return next((codec for codec in codecs if _encoded(character, codec) is not None), UNKNOWN)
