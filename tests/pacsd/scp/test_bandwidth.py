"""What a caller may have in a second."""

from __future__ import annotations

from pacsd.scp.bandwidth import Bandwidth


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_too_much_is_waited_for() -> None:
    clock = Clock()
    bandwidth = Bandwidth(1000.0, lambda _: 1.0, clock=clock)
    one = bandwidth.enter("one")
    assert one.take(1000) == 0, "a second's worth at once"
    assert one.take(500) == 0.5
    assert one.take(500) == 1.0, "behind what was taken before"
    clock.now += 1.0
    assert one.take(100) == 0.1
    clock.now += 50.0
    assert one.take(2000) == 1.0, "no more is saved up than a second's worth"
    assert bandwidth.enter("other").take(1000) == 0


def test_associations_of_a_caller_share_and_so_do_processes() -> None:
    clock = Clock()
    shares = {"caller": 0.5}
    bandwidth = Bandwidth(1000.0, lambda caller: shares[caller], clock=clock)
    first, second = bandwidth.enter("caller"), bandwidth.enter("caller")
    assert first.take(500) == 0
    assert second.take(500) == 1.0
    shares["caller"] = 0.25
    clock.now += 1.0
    assert second.take(250) == 1.0
    bandwidth.leave("caller")
    assert bandwidth.enter("caller").take(250) == 2.0
    bandwidth.leave("caller")
    bandwidth.leave("caller")
    assert bandwidth.enter("caller").take(250) == 0, "what nobody has is forgotten"
