"""Multiple value matching (PS3.4 C.2.2.2.8), where it is negotiated: every value of a key must be one of the entity's.

As a key for each of its values. Without negotiation several values are alternatives, which `criteria` reads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

from pacsd.errors import IdentifierInvalid
from pacsd.query.criteria import MOST_PATTERNS
from pacsd.query.normalization import values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pacsd.model import FindQuery
    from pacsd.query.attributes import Attribute

__all__ = ["separate_keys"]

_VRS: Final = frozenset(("AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"))


def separate_keys(query: FindQuery, known: Sequence[Attribute]) -> list[tuple[Attribute, str]]:
    """The keys of these attributes, of which all must be met; the same attribute may have several.

    IdentifierInvalid names one whose values would be more conditions than a database takes.
    """
    if not query.options.multiple_values:
        return [(each, query.keys[each.keyword]) for each in known]
    keys: list[tuple[Attribute, str]] = []
    for each in known:
        key = query.keys[each.keyword]
        values = list(dict.fromkeys(values_of(key))) if _has_several_values(each.keyword) else []
        if len(values) > 1:
            keys += [(each, value) for value in values]
        else:
            keys.append((each, key))
        if len(keys) - len(known) > MOST_PATTERNS:
            message = f"{each.keyword} cannot be matched: more than {MOST_PATTERNS} values to be met together"
            raise IdentifierInvalid(message, keywords=(each.keyword,))
    return keys


@lru_cache(maxsize=4096)
def _has_several_values(keyword: str) -> bool:
    tag = tag_for_keyword(keyword)
    return tag is not None and dictionary_VR(tag) in _VRS and dictionary_VM(tag) != "1"
