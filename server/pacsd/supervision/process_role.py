"""What kinds of process a server consists of: one row each, which the supervisor goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pacsd.settings import Settings
    from pacsd.supervision.worker import WorkerContext

__all__ = ["ProcessRole"]


def _one(_settings: Settings) -> int:
    return 1


@dataclass(frozen=True, slots=True)
class ProcessRole:
    """One kind of process; `run` is its whole life, and returns its exit status."""

    name: str
    """As the log, `signs_of_life` and the metrics call it."""
    run: Callable[[WorkerContext], int]
    sockets: tuple[str, ...] = ()
    """The listening sockets that it serves, by their sections. Where none of them is open, there is no such process."""
    parts: tuple[str, ...] = ("beat",)
    """What may stand still in it, see `signs_of_life.PARTS`."""
    count: Callable[[Settings], int] = _one
    serves_associations: bool = False
    """A worker: it says when it is ready, upon which a reload retires earlier ones; what it leaves is cleared up."""
    needs_disk: bool = False
    """There is none where nothing can be written."""
    is_alone: bool = False
    """There are never two: a reload starts its successor when it has ended."""
    ends_last: bool = False
    """A server that stops tells it so when all others are gone."""
