"""Building what extra keys need for the instances that were stored before they were configured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from pacsd.errors import ReindexRefused
from pacsd.model import ExtraKeysBuild

__all__ = ["Reindexed", "ReindexedIndex", "reindex"]


class ReindexedIndex(Protocol):
    """The index; see `index.repository.Index`."""

    def registered_extra_keys(self) -> Collection[str]:
        """Return the keys whose values are kept of what is stored."""

    def unbuilt_extra_keys(self) -> Sequence[ExtraKeysBuild]:
        """Return what is to be built."""

    def build_extra_keys(self, build: ExtraKeysBuild, /) -> ExtraKeysBuild:
        """Build some more."""

    def remove_extra_values(self) -> int:
        """Remove some values of other keys; return how many."""


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What was done: the keys that are complete now and were not, and the values removed of others."""

    keywords: tuple[str, ...]
    removed: int


def reindex(
    index: ReindexedIndex,
    configured: Collection[str],
    *,
    report: Callable[[ExtraKeysBuild], None] = lambda _: None,
) -> Reindexed:
    """Build what is not built, and remove what nobody asks for any more; `report` is told after each step.

    Beside a running server, and as often as one likes: what was done stays done. Raises ReindexRefused where no
    server has been started with these keys: one that knows nothing of them might store without them meanwhile.
    """
    unknown = sorted(set(configured) - set(index.registered_extra_keys()))
    if unknown:
        raise ReindexRefused(
            f"no server has been started with {', '.join(unknown)} in index.extra_keys: "
            "start it again, then run `pacsd reindex`"
        )
    keywords: list[str] = []
    for build in index.unbuilt_extra_keys():
        report(build)
        # Once at least: where there is no row to build, that has still to be noted.
        is_done = False
        while not is_done:
            build = index.build_extra_keys(build)
            report(build)
            is_done = build.is_done
        keywords += build.keywords
    removed = 0
    while some := index.remove_extra_values():
        removed += some
    return Reindexed(tuple(sorted(keywords)), removed)
