"""What is said of limits that are exceeded: each time it is counted, once a minute it is logged."""

from __future__ import annotations

from structlog.testing import capture_logs

from pacsd.scp.exceeded_limits import ExceededLimits


def test_it_is_said_at_once_and_then_once_a_minute_with_a_count() -> None:
    moments, counted = iter((0.0, 1.0, 2.0, 59.0, 60.0, 61.0, 61.0)), list[str]()
    limits = ExceededLimits(counted.append, clock=lambda: next(moments))
    with capture_logs() as logs:
        for _ in range(6):
            limits.note("places", "10.0.0.1")
        limits.note("places", "10.0.0.2")
    assert [(line["caller"], line["times"]) for line in logs] == [
        ("10.0.0.1", 1),
        ("10.0.0.1", 3),
        ("10.0.0.1", 1),
        ("10.0.0.2", 1),
    ]
    assert counted == ["places"] * 7


def test_many_callers_are_not_told_apart() -> None:
    limits = ExceededLimits(lambda _: None, clock=lambda: 0.0)
    with capture_logs() as logs:
        for number in range(2000):
            limits.note("places", str(number))
    assert len(logs) == 501
    assert logs[-1]["caller"] == "others"
