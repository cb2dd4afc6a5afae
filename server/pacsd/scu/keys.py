"""Query and retrieve keys as somebody writes them, `PatientName=DOE*`, made into the elements of an identifier."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Final

from pydicom.datadict import keyword_dict, keyword_for_tag

from pacsd.dataset.identifier import Element, elements_of, read_identifier, write_identifier
from pacsd.dataset.transfer_syntaxes import NATIVE_TRANSFER_SYNTAXES
from pacsd.errors import IdentifierInvalid
from pacsd.model import UNIQUE_KEYS, QueryLevel, QueryModel

__all__ = ["element", "level_element", "parse_keys", "retrieve_keys", "unique_keys_down_to"]

_TAG: Final = re.compile(r"\(?([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)?")
_WILDCARD: Final = re.compile(r"[*?]")
_LONGEST_VALUE: Final = 0xFFFE
"""Bytes of a value in an explicit VR with a 16-bit length (PS3.5 §7.1.2)."""
_NO_KEYS: Final = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet"})


def unique_keys_down_to(model: QueryModel, level: QueryLevel) -> dict[QueryLevel, str]:
    """Return the unique keys of a level and those above it, from the top; Study Root has no patient level."""
    levels = list(QueryLevel)
    first = 0 if model is QueryModel.PATIENT_ROOT else 1
    return {upper: UNIQUE_KEYS[upper] for upper in levels[first : levels.index(level) + 1]}


def element(keyword: str, value: str = "") -> Element:
    """Return an attribute of the data dictionary with this value; raises IdentifierInvalid where there is none."""
    try:
        return elements_of({keyword: value})[0]
    except KeyError:
        nearest = difflib.get_close_matches(keyword, keyword_dict, n=1)
        advice = f"; did you mean {nearest[0]}?" if nearest else ""
        raise IdentifierInvalid(f"{keyword} is no attribute of the DICOM data dictionary{advice}") from None


def level_element(level: QueryLevel) -> Element:
    """Return the Query/Retrieve Level of an identifier (PS3.4 §C.4.1.1.3)."""
    return element("QueryRetrieveLevel", level.value)


def parse_keys(texts: Iterable[str]) -> list[Element]:
    """Return the elements that `Keyword`, `Keyword=value` and `(gggg,eeee)=value` name, each once.

    UIDs under one keyword are one list. Raises IdentifierInvalid, saying which key cannot stand in an identifier.
    """
    keys: dict[int, Element] = {}
    for text in texts:
        key = _parse(text)
        earlier = keys.get(key.tag)
        if earlier is not None and not (key.vr == "UI" and key.value and earlier.value):
            raise IdentifierInvalid(f"the key {key.keyword} is given twice")
        keys[key.tag] = Element(key.tag, key.vr, f"{earlier.value}\\{key.value}") if earlier else key
    for key in keys.values():
        _check(key)
    return list(keys.values())


def _parse(text: str) -> Element:
    name, _, value = text.partition("=")
    tag = _TAG.fullmatch(name.strip())
    keyword = keyword_for_tag(int(tag[1] + tag[2], 16)) if tag else name.strip()
    if not keyword:
        raise IdentifierInvalid(f"{name} is no attribute of the DICOM data dictionary")
    if keyword in _NO_KEYS:
        raise IdentifierInvalid(f"{keyword} is no key; it is set for you")
    return element(keyword, value)


def _check(key: Element) -> None:
    """Tell of a value that cannot be encoded before anybody is called: it would be sent empty, or cut off."""
    if key.value and (key.vr in ("SQ", "UN") or key.vr.startswith("O")):
        raise IdentifierInvalid(f"{key.keyword} has VR {key.vr}; it can only be asked for, without a value")
    if key.vr != "UT" and len(key.value.encode()) > _LONGEST_VALUE:
        raise IdentifierInvalid(
            f"the value for {key.keyword} is longer than {_LONGEST_VALUE} bytes; ask in parts"
        )
    if key.value and not _encoded(key):
        raise IdentifierInvalid(f"{key.value!r} is no value for {key.keyword} (VR {key.vr})")


def _encoded(key: Element) -> str:
    """Return what a peer will read."""
    syntax = NATIVE_TRANSFER_SYNTAXES[0]
    return read_identifier(write_identifier([key], syntax), syntax).value(key.keyword)


def retrieve_keys(
    keys: Sequence[Element], *, model: QueryModel | None = None, level: QueryLevel | None = None
) -> tuple[QueryModel, QueryLevel, list[Element]]:
    """Return model, level and keys of a C-MOVE or C-GET; what is not stated follows from the keys.

    Raises IdentifierInvalid unless the keys are the unique keys of the level and of all levels above it, with values
    (PS3.4 §C.4.2.1.4.1).
    """
    by_keyword = {key.keyword: key for key in keys}
    others = sorted(by_keyword.keys() - set(UNIQUE_KEYS.values()))
    if others:
        allowed = ", ".join(UNIQUE_KEYS.values())
        raise IdentifierInvalid(f"{others[0]} is no unique key: a retrieve is by {allowed}")
    if level is None:
        level = next((lower for lower in reversed(QueryLevel) if UNIQUE_KEYS[lower] in by_keyword), None)
        if level is None:
            raise IdentifierInvalid("say what to retrieve, as in: -k StudyInstanceUID=1.2.3")
    if model is None:
        model = QueryModel.PATIENT_ROOT if "PatientID" in by_keyword else QueryModel.STUDY_ROOT
    needed = unique_keys_down_to(model, level)
    for keyword in needed.values():
        if not (keyword in by_keyword and by_keyword[keyword].value):
            raise IdentifierInvalid(f"a retrieve at level {level.value} ({model.value}) needs a {keyword}")
    surplus = sorted(by_keyword.keys() - set(needed.values()))
    if surplus:
        raise IdentifierInvalid(f"{surplus[0]} is no key at level {level.value} ({model.value})")
    chosen = [by_keyword[keyword] for keyword in needed.values()]
    for key in chosen:
        if _WILDCARD.search(key.value) or ("\\" in key.value and not (key is chosen[-1] and key.vr == "UI")):
            raise IdentifierInvalid(
                f"{key.keyword} needs one plain value here: no wildcards, and lists of UIDs only at the level itself"
            )
    return model, level, chosen
