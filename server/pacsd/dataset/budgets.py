"""What decompressing an instance may take: compared with what its header says before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_BUDGETS", "Budgets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """In bytes."""

    frame: int = 256_000_000
    """One frame."""
    instance: int = 2_048_000_000
    """All pixel data of one instance, or what a deflated one inflates to: that is in memory as a whole."""


DEFAULT_BUDGETS: Final = Budgets()
