"""What of an operation's time counts, and how often it is looked whether its peer has cancelled."""

from __future__ import annotations

import pytest

from pacsd.effort import Effort
from pacsd.errors import OperationCancelled, OperationTooCostly


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_work_counts() -> None:
    clock = Clock()
    effort = Effort(seconds=2.0, clock=clock)
    for _ in range(2):
        clock.now += 60.0
        effort.check()
        effort.go_on()
        clock.now += 1.0
        effort.check()
        effort.pause()
    effort.go_on()
    clock.now += 0.1
    with pytest.raises(OperationTooCostly, match="more than 2 s of work"):
        effort.check()


def test_it_is_looked_now_and_then_whether_the_peer_has_cancelled() -> None:
    clock = Clock()
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        return looks == 3

    effort = Effort(is_cancelled=look, clock=clock)
    for _ in range(11):
        effort.check()
        clock.now += 0.01
    assert looks == 2
    clock.now += 0.1
    with pytest.raises(OperationCancelled):
        effort.check()
