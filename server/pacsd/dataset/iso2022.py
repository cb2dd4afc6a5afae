"""Specific Character Set (PS3.5 §6.1, PS3.3 §C.12.1.1.2): its terms as codecs, and code extensions with them.

Lenient where data come in, strict where they go out: decoding never fails, encoding never leaves the character
sets it was given.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.charset import CODES_TO_ENCODINGS, ENCODINGS_TO_CODES, python_encoding

__all__ = ["CODE_PAGES", "codecs_of", "decode", "encode", "holds", "is_declared", "normalized_term"]

ESCAPE: Final = 0x1B
JAPANESE: Final = {"iso2022_jp": b"\x1b$B", "iso2022_jp_2": b"\x1b$(D"}
"""Codecs that write and want escape sequences themselves, and the one that each may write (PS3.3 C.12-4)."""
TO_ASCII: Final = b"\x1b(B"
"""What ends text in these, as ISO 2022 has but one set in the lower half at a time."""
LATIN_1: Final = "latin_1"
LATIN_9: Final = "iso8859_15"
LATIN_9_ESCAPE: Final = b"\x1b-b"
STAND_ALONE: Final = frozenset({"UTF8", "GB18030", "GBK"})
"""Codecs of the sets that allow no code extensions (PS3.3 Table C.12-5)."""

_fragments = re.compile(rb"\x1b?[^\x1b]*", re.DOTALL).findall
_has_controls = re.compile(rb"[\x80-\x9f]").search
_registered = re.compile(r"ISO ?(2022 ?)?IR ?([0-9]+)").fullmatch
_part_of_8859 = re.compile(r"(?:ISO ?)?8859 ?([0-9]+)").fullmatch
PARTS_OF_8859: Final = {
    "1": "100", "2": "101", "3": "109", "4": "110", "5": "144", "6": "127", "7": "126", "8": "138", "9": "148",
    "11": "166", "15": "203",
}  # fmt: skip
"""The parts of ISO 8859, and their numbers in the registry that the defined terms go by."""


def normalized_term(term: str) -> str:
    """Return a term as it is compared: many write other letters and separators than the Standard."""
    spaced = re.sub(r"[\s_-]+", " ", term.strip(" \0").upper())
    registered, part = _registered(spaced), _part_of_8859(spaced)
    if registered:
        return f"ISO {'2022 ' if registered[1] else ''}IR {registered[2]}"
    return f"ISO IR {PARTS_OF_8859[part[1]]}" if part and part[1] in PARTS_OF_8859 else spaced


CODE_PAGES: Final = {
    **{f"WINDOWS {number}": f"cp{number}" for number in range(1250, 1259)},
    **{f"CP{number}": f"cp{number}" for number in range(1250, 1259)},
    "BIG5": "big5",
    "EUC KR": "euc_kr",
    "SHIFT JIS": "shift_jis",
}
"""Codecs of what devices send though it is no Specific Character Set, by normalised name."""
CODECS: Final = {normalized_term(term): codec for term, codec in python_encoding.items()} | {
    # What is sent in the wild instead of ISO_IR 192, ISO_IR 100, GB18030 and GBK.
    "UTF 8": "UTF8",
    "UTF8": "UTF8",
    "ISO 2022 IR 192": "UTF8",
    "LATIN 1": LATIN_1,
    "LATIN1": LATIN_1,
    "GB 18030": "GB18030",
    "GB2312": "GBK",
    # Latin alphabet No. 9, which pydicom doesn't know.
    "ISO IR 203": LATIN_9,
    "ISO 2022 IR 203": LATIN_9,
    **CODE_PAGES,
}
CODECS_BY_ESCAPE: Final = {**CODES_TO_ENCODINGS, LATIN_9_ESCAPE: LATIN_9}
ESCAPES_BY_CODEC: Final = {**ENCODINGS_TO_CODES, LATIN_9: LATIN_9_ESCAPE}
DEFAULT_REPERTOIRE: Final = "iso8859"
"""pydicom's codec of ASCII alone: of ISO_IR 6, and of an attribute that is empty or absent."""
UNKNOWN: Final = "ascii"
"""Stands in for a term that is none: what is not ASCII then shows as replacement characters."""
CODED_OTHERWISE: Final = frozenset({DEFAULT_REPERTOIRE, UNKNOWN, "shift_jis", *JAPANESE})
"""Codecs that have more characters than the set that they stand for, or write more than its bytes."""


@lru_cache(maxsize=256)
def codecs_of(specific_character_set: str) -> tuple[str, ...]:
    """Return the Python codecs of a Specific Character Set, the initial one first; never empty.

    Misspelt terms are understood where that is possible.
    """
    codecs = [CODECS.get(normalized_term(term), UNKNOWN) for term in specific_character_set.split("\\")]
    if codecs[0] in STAND_ALONE:
        return (codecs[0],)
    return (codecs[0], *(codec for codec in codecs[1:] if codec not in STAND_ALONE))


@lru_cache(maxsize=256)
def is_declared(specific_character_set: str) -> bool:
    """Tell whether a Specific Character Set names one of more than ASCII that we know."""
    return any(codec not in (DEFAULT_REPERTOIRE, UNKNOWN) for codec in codecs_of(specific_character_set))


def decode(raw: bytes, codecs: tuple[str, ...], delimiters: bytes) -> str:
    """Decode text with or without code extensions; what has no meaning becomes U+FFFD.

    Each of `delimiters` ends the effect of an escape sequence (PS3.5 §6.1.2.5.3). More than ASCII in the default
    repertoire is UTF-8 where it is valid UTF-8, else in another set that is named, else Latin-1: many senders leave out
    the attribute, or the escape sequences, and hardly any other text is valid UTF-8 by chance.
    """
    initial = codecs[0]
    if ESCAPE not in raw:
        if initial in (DEFAULT_REPERTOIRE, UNKNOWN):
            return _decode_undeclared(raw, codecs)
        return _decode_initial(raw, initial)
    return "".join(_decode_fragment(fragment, initial, delimiters) for fragment in _fragments(raw))


def _decode_undeclared(raw: bytes, codecs: tuple[str, ...]) -> str:
    """Decode text beyond the default repertoire that no escape sequence announces."""
    for codec in ("UTF8", *codecs[1:]):
        if codec not in CODED_OTHERWISE:
            with suppress(UnicodeDecodeError):
                return raw.decode(codec)
    return _decode_initial(raw, codecs[0])


def _decode_initial(raw: bytes, codec: str) -> str:
    """Decode without code extensions; Latin-1 with what only Windows has instead of control characters is Windows'."""
    if codec in (LATIN_1, DEFAULT_REPERTOIRE) and _has_controls(raw):
        with suppress(UnicodeDecodeError):
            return raw.decode("cp1252")
    return raw.decode(codec, "replace")


def _decode_fragment(fragment: bytes, initial: str, delimiters: bytes) -> str:
    if not fragment.startswith(b"\x1b"):
        return fragment.decode(initial, "replace")
    length = 4 if fragment.startswith((b"\x1b$(", b"\x1b$)")) else 3
    codec = CODECS_BY_ESCAPE.get(fragment[:length])
    content = fragment[length:]
    if codec in JAPANESE:
        if len(content) % 2 and content[-1] in delimiters:
            # Before a delimiter ASCII is due again, which some writers leave out; half a character it is not.
            return fragment[:-1].decode(codec, "replace") + chr(content[-1])
        return fragment.decode(codec, "replace")
    if codec is None or fragment.startswith(b"\x1b(B"):
        # Back to ASCII in the lower half, which all initial sets have.
        return content.decode(initial, "replace")
    end = next((index for index, byte in enumerate(content) if byte in delimiters), len(content))
    return content[:end].decode(codec, "replace") + content[end:].decode(initial, "replace")


class _Written(NamedTuple):
    """How one character is written."""

    codec: str
    """Of the first set that has it; `UNKNOWN` for what is ASCII and for what none has."""
    lower_half: bytes
    """The escape sequence that must be in effect."""
    content: bytes


def holds(text: str, codecs: tuple[str, ...]) -> bool:
    """Tell whether `encode` can write all of `text`."""
    if _encoded_directly(text, codecs) is not None:
        return True
    return all(character.isascii() or _written(character, codecs).codec != UNKNOWN for character in set(text))


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
    active_lower_half = TO_ASCII
    for character in text:
        codec, lower_half, content = _written(character, codecs)
        if lower_half != active_lower_half:
            result += lower_half
            active_lower_half = lower_half
            active = ""  # the upper half is said again: readers differ in what they take it for here
        if character in delimiters:
            active = initial
        if codec not in (UNKNOWN, active) and codec not in JAPANESE:
            result += ESCAPES_BY_CODEC.get(codec, b"")
            active = codec
        result += content
    return bytes(result + TO_ASCII if active_lower_half != TO_ASCII else result)


def _encoded_directly(text: str, codecs: tuple[str, ...]) -> bytes | None:
    """Return text that the initial set has all of, as most has; None where characters must be looked at one by one."""
    if codecs[0] in CODED_OTHERWISE:
        return None
    try:
        return text.encode(codecs[0])
    except UnicodeEncodeError:
        return None


@lru_cache(maxsize=4096)
def _written(character: str, codecs: tuple[str, ...]) -> _Written:
    if not character.isascii():
        for codec in codecs:
            encoded = _encoded(character, codec)
            if encoded is None:
                continue
            if codec in JAPANESE:
                lower_half = JAPANESE[codec]
                return _Written(codec, lower_half, encoded[len(lower_half) : -len(TO_ASCII)])
            return _Written(codec, TO_ASCII, encoded)
    return _Written(UNKNOWN, TO_ASCII, character.encode("ascii", "replace"))


def _encoded(character: str, codec: str) -> bytes | None:
    """Return a character beyond ASCII in a codec, with the escape sequences that some write; None if it isn't there."""
    if codec in (DEFAULT_REPERTOIRE, UNKNOWN):
        return None
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
