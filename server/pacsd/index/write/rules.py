"""What a commit decides by where the Standard leaves it to the archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pacsd.model import DemographicsPolicy, DuplicatePolicy, QueryLevel
    from pacsd.query.attributes import Attribute

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The same for all commits of one `Index`."""

    duplicates: DuplicatePolicy
    demographics: DemographicsPolicy
    extra_keys: tuple[Attribute, ...] = ()

    def extra_keys_of(self, level: QueryLevel) -> tuple[Attribute, ...]:
        """The extra keys whose values are in the headers of this level."""
        return tuple(each for each in self.extra_keys if each.level is level)
