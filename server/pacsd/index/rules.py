"""What a commit decides by where the Standard leaves it to the archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pacsd.model import DemographicsPolicy, DuplicatePolicy

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The same for all commits of one `Index`."""

    duplicates: DuplicatePolicy
    demographics: DemographicsPolicy
