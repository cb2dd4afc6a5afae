"""What all connections of one process share: the rules, and what counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pacsd.model import Service
from pacsd.scp.access import AccessRules
from pacsd.scp.bandwidth import Bandwidth
from pacsd.scp.exceeded_limits import ExceededLimits
from pacsd.scp.turns import Turns
from pacsd.services.ingest import Ingest

__all__ = ["AssociationPlaces", "NetMetrics", "Routes"]


class NetMetrics(Protocol):
    """What is counted at this edge; see `observability.metrics.Metrics`."""

    def association_accepted(self, peer: str, /) -> None:
        """Count an accepted association."""

    def association_rejected(self, reason: str, peer: str = "", /) -> None:
        """Count a rejected association."""

    def association_released(self, peer: str, /) -> None:
        """Count an association that ended in order."""

    def association_aborted(self, peer: str, source: str, /) -> None:
        """Count one that did not; `source` is "peer", "local" or "network"."""

    def operation(self, service: Service, status: int, seconds: float, peer: str, /) -> None:
        """Count a DIMSE operation."""

    def bytes_received(self, count: int, /) -> None:
        """Count bytes from peers."""

    def bytes_sent(self, count: int, /) -> None:
        """Count bytes to peers."""


class AssociationPlaces(Protocol):
    """How many associations may be open at once; see `supervision.places.Places`."""

    def enter(self, address: str, caller: str, /, *, is_known: bool, is_proven: bool) -> str | None:
        """Take a place for a caller; return the name of the limit where there is none."""

    def leave(self, address: str, caller: str, /) -> None:
        """Give the place back."""


@dataclass(slots=True, kw_only=True)
class Routes:
    """What the connections of one process share."""

    access: AccessRules
    """Exchanged when the configuration changes; see `AdmittingNet.change_rules`."""
    places: AssociationPlaces
    ingest: Ingest
    metrics: NetMetrics
    exceeded: ExceededLimits
    turns: Turns
    bandwidth: Bandwidth | None = None
    """None: there is no limit."""
    query_seconds: float = math.inf
    """That a query, or the looking up of a selection, may take of work."""
    note_connection: Callable[[], None] = lambda: None
    """Told of each connection that is taken."""
    require_complete: Callable[[Callable[[], None]], None] = lambda _: None
    """Raises IndexIncomplete where an answer from the index could lack something.

    It may wait a little, and calls what it is given meanwhile, which may raise what ends that.
    """
