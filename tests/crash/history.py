"""What was stored and fetched at the same time, and whether an archive may have answered so.

One SOP Instance UID is a register. With `duplicates = "replace"` it holds what was stored last, with "keep-first" what
was stored first. Each operation takes effect at one moment between its beginning and its end; a store that was never
acknowledged takes effect at any moment after its beginning, or never.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from crash.versions import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Operation:
    """A store or a successful fetch of one instance; times in seconds."""

    is_store: bool
    version: int
    """Each store's is another one."""
    began: float
    ended: float
    """NEVER for a store that was not acknowledged."""


def faults_of_last(history: Sequence[Operation]) -> list[str]:
    """What is wrong with one instance's history where the last version is kept; all of it, and nothing else.

    This is Gibbons' and Korach's test for registers whose values are all written once: between the first end and the
    last beginning of all that concerns a version, the register must have held it.
    """
    clusters = _clusters(history)
    faults = _without_store(clusters)
    held = []
    for version, operations in clusters.items():
        first_end = min(each.ended for each in operations)
        last_beginning = max(each.began for each in operations)
        held.append((first_end, last_beginning, version))
    must_hold = sorted(zone for zone in held if zone[0] < zone[1])
    for (_, until, earlier), (since, _, later) in pairwise(must_hold):
        if since < until:
            faults.append(f"version {earlier} was there before and after version {later}")
    for last_beginning, first_end, version in ((zone[1], zone[0], zone[2]) for zone in held):
        for since, until, other in must_hold:
            if first_end >= last_beginning and since < last_beginning and first_end < until:
                faults.append(f"version {version} came and went while version {other} was there")
    return faults


def faults_of_first(history: Sequence[Operation]) -> list[str]:
    """The same where the first version is kept, and stores of others are refused."""
    clusters = _clusters(history)
    faults = _without_store(clusters)
    stores = [each for each in history if each.is_store]
    fetches = [each for each in history if not each.is_store]
    seen = {each.version for each in fetches} - {NOTHING}
    if len(seen) > 1:
        faults.append(f"versions {sorted(seen)} were all there")
    since = min(
        (each.ended for each in (*stores, *fetches) if each.is_store or each.version != NOTHING),
        default=NEVER,
    )
    faults += [
        "nothing was there any more" for each in fetches if each.version == NOTHING and each.began > since
    ]
    for store in stores:
        if seen and store.ended < NEVER and store.version not in seen:
            faults.append(f"version {store.version} was acknowledged and is not kept")
        if store.version in seen and store.began > since:
            faults.append(f"version {store.version} was kept, which was not the first")
    return faults


def _clusters(history: Iterable[Operation]) -> dict[int, list[Operation]]:
    """All that concerns a version, by version, without what nobody saw and nobody was promised."""
    clusters = defaultdict(list, {NOTHING: [Operation(True, NOTHING, -math.inf, -math.inf)]})
    for each in history:
        clusters[each.version].append(each)
    return {
        version: operations
        for version, operations in clusters.items()
        if any(each.ended < NEVER for each in operations)
    }


def _without_store(clusters: dict[int, list[Operation]]) -> list[str]:
    faults = []
    for version, operations in clusters.items():
        began = min((each.began for each in operations if each.is_store), default=NEVER)
        if any(each.ended < began for each in operations):
            faults.append(f"version {version} was fetched, and nobody had sent it")
    return faults
