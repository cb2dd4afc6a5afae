"""Attribute values as text: from a header scan's bytes to Unicode, and back for what we answer."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final

from pacsd.dataset.defined_terms import defined_character_set
from pacsd.dataset.iso2022 import codecs_of, decode, encode, holds, is_declared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "NOT_TEXT",
    "character_set_in_effect",
    "choose_character_set",
    "decode_long_value",
    "decode_value",
    "encode_text",
]

CHARACTER_SET_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""The VRs that Specific Character Set applies to (PS3.5 §6.1.2.3)."""
SINGLE_VALUED: Final = frozenset({"LT", "ST", "UR", "UT"})
"""The text VRs in which a backslash is a character like any other and leading spaces count."""
LEADING_SPACES: Final = frozenset({"PN", "UC"})
"""The multi-valued VRs of which only trailing spaces are padding (PS3.5 Table 6.2-1)."""

PERSON_NAME_DELIMITERS: Final = "\\^="
TEXT_DELIMITERS: Final = "\\\t\n\f\r"

SPARE: Final = " \0"


def _decimal(
    layout: str, write: Callable[[int | float], str]
) -> tuple[str, int, Callable[[int | float], str]]:
    return layout, Struct("<" + layout).size, write


NUMBERS: Final = {
    "US": _decimal("H", str),
    "SS": _decimal("h", str),
    "UL": _decimal("I", str),
    "SL": _decimal("i", str),
    "UV": _decimal("Q", str),
    "SV": _decimal("q", str),
    "FL": _decimal("f", "{:.9g}".format),
    "FD": _decimal("d", "{:.17g}".format),
}
"""Binary VR → its `struct` format, bytes a value, and how to write one so that it reads back the same."""
NOT_TEXT: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ"})
REMEMBERED: Final = 4096
"""Decoded values kept: of one series nearly all are the same, and looking one up costs a tenth."""


def character_set_in_effect(declared: str, default: str) -> str:
    """Return the Specific Character Set to decode with: the one that is declared, else the sender's `default`.

    `default` is what is known of a device that sends more than ASCII without saying so; "" where nothing is known.
    """
    return declared if not default or is_declared(declared) else default


@lru_cache(maxsize=REMEMBERED)
def decode_value(vr: str, raw: bytes, specific_character_set: str, big_endian: bool = False) -> str:  # noqa: FBT001, FBT002
    """Return an attribute's value as Unicode text; never fails. It is remembered.

    Multiple values are joined by a backslash, PN component groups keep their `=`, padding is stripped as each VR
    has it (PS3.5 §6.2), numbers are decimal text, tags eight hexadecimal digits. Bytes that make no sense in the
    Specific Character Set become U+FFFD, as NUL characters do within a value: a database would refuse them, and
    without them it would be another value. Without lone surrogates.
    """
    if vr in NUMBERS:
        return _decode_numbers(vr, raw, big_endian=big_endian)
    if vr == "AT":
        return _decode_tags(raw, big_endian=big_endian)
    if raw.isascii() and (b"\x1b" not in raw or vr not in CHARACTER_SET_VRS):
        text = raw.decode("ascii")
    else:
        delimiters = PERSON_NAME_DELIMITERS if vr == "PN" else TEXT_DELIMITERS
        text = decode(raw, codecs_of(specific_character_set), delimiters.encode("ascii"))
        if "\ufffd" in text and vr not in CHARACTER_SET_VRS:
            # The set does not apply to these VRs, though senders take it to.
            text = raw.decode("latin-1")
    if vr in SINGLE_VALUED or (vr in LEADING_SPACES and "\\" not in text):
        text = text.rstrip(SPARE)
    elif "\\" not in text:
        text = text.strip(SPARE)
    elif vr in LEADING_SPACES:
        text = "\\".join([value.rstrip(SPARE) for value in text.split("\\")])
    else:
        text = "\\".join([value.strip(SPARE) for value in text.split("\\")])
    return text.replace("\0", "\ufffd")


decode_long_value: Final = decode_value.__wrapped__
"""As `decode_value`, for values of which so many would take much memory: nothing is remembered."""


def _decode_numbers(vr: str, raw: bytes, *, big_endian: bool) -> str:
    layout, length, write = NUMBERS[vr]
    count = len(raw) // length
    values = Struct(f"{'>' if big_endian else '<'}{count}{layout}").unpack_from(raw)
    return "\\".join(map(write, values))


def _decode_tags(raw: bytes, *, big_endian: bool) -> str:
    """Each is two numbers, group and element, in the byte order of the data (PS3.5 §7.1.1)."""
    count = len(raw) // 4
    numbers = Struct(f"{'>' if big_endian else '<'}{2 * count}H").unpack_from(raw)
    return "\\".join(
        f"{group:04X}{element:04X}" for group, element in zip(numbers[::2], numbers[1::2], strict=True)
    )


def encode_text(value: str, specific_character_set: str | None, vr: str) -> bytes:
    """Encode a value of a text VR, without padding it to even length.

    A character that the set doesn't hold becomes `?`; to lose none, choose the set with `choose_character_set`. VRs
    that the set doesn't apply to should be ASCII (PS3.5 §6.1.2.3): where a sender did otherwise, they are in this set.
    """
    if value.isascii():
        return value.encode("ascii")
    delimiters = PERSON_NAME_DELIMITERS if vr == "PN" else TEXT_DELIMITERS
    return encode(value, codecs_of(specific_character_set or ""), delimiters)


def choose_character_set(values: Iterable[str], requested: str | None) -> str | None:
    """Return the Specific Character Set in which to answer with `values`.

    None, to be left out, if all are ASCII; what is meant by the `requested` one (the attribute's value in the request,
    several terms joined by a backslash) if that holds them all; else ISO_IR 192, which is UTF-8.
    """
    text = "".join(value for value in values if not value.isascii())
    if not text:
        return None
    meant = defined_character_set(requested) if requested else None
    if meant and holds(text, codecs_of(meant)):
        return meant
    return "ISO_IR 192"
