"""The value of a sequence as text: its items as JSON, so that it is kept, asked for and handed on as any other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

__all__ = ["Item", "Items", "items_of", "text_of"]

Item = Mapping[str, "str | Items"]
"""Values by keyword, as `model.InstanceRecord.attributes` has them; of a sequence within it the items."""
Items = Sequence[Item]

_REMEMBERED: Final = 256
_LONGEST_REMEMBERED: Final = 1 << 14
"""Characters."""


def text_of(items: Items) -> str:
    """Return the text of a sequence; "" if it has no items."""
    return json.dumps(items, ensure_ascii=False, separators=(",", ":")) if items else ""


def items_of(text: str) -> Items:
    """Return the items of a text of `text_of`; others get the same ones, so they are not to be changed."""
    return _remembered_items(text) if len(text) <= _LONGEST_REMEMBERED else _items(text)


def _items(text: str) -> Items:
    items: Items = json.loads(text) if text else []
    return items


_remembered_items = lru_cache(maxsize=_REMEMBERED)(_items)
