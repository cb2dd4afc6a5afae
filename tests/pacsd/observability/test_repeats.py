"""Ten lines in full, then one a minute; and what says something of an instance is never left out."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from pacsd.observability.repeats import IN_FULL, MOST_KEYS, Repeats


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def repeats(clock: list[float]) -> Repeats:
    return Repeats(lambda: clock[0])


def passes(repeats: Repeats, event: str = "association-rejected", **facts: Any) -> bool:
    try:
        repeats(None, "warning", {"event": event, "association": "a", **facts})
    except structlog.DropEvent:
        return False
    return True


def told(repeats: Repeats, *, all_of_them: bool = False) -> list[Any]:
    with capture_logs() as lines:
        repeats.tell(all_of_them=all_of_them)
    return lines


def test_the_first_ones_in_full_and_then_one_a_minute(repeats: Repeats, clock: list[float]) -> None:
    assert [passes(repeats, reason="full") for _ in range(50)] == [True] * IN_FULL + [False] * 40
    assert told(repeats) == []
    clock[0] = 60.0
    expected = {"event": "association-rejected", "log_level": "warning", "reason": "full"}
    assert told(repeats) == [{**expected, "repeated": 40}]
    assert not passes(repeats, reason="full"), "it goes on"
    assert told(repeats, all_of_them=True) == [{**expected, "repeated": 1}], "before the process ends"
    clock[0] = 120.0
    assert told(repeats) == []
    assert passes(repeats, reason="full"), "it had ended"


def test_each_reason_and_each_peer_and_each_instance_is_another(repeats: Repeats) -> None:
    for _ in range(IN_FULL + 1):
        passes(repeats, reason="full", address="10.0.0.1")
    assert passes(repeats, reason="unknown", address="10.0.0.1")
    assert passes(repeats, reason="full", address="10.0.0.2")
    refused = [
        passes(repeats, "operation-refused", comment="full", sop_instance_uid=f"1.{n}") for n in range(99)
    ]
    assert all(refused)


@pytest.mark.parametrize("event", ["instance-damaged", "association-accepted", "file-not-removed"])
def test_other_lines_are_never_left_out(repeats: Repeats, event: str) -> None:
    assert all(passes(repeats, event, reason="the same") for _ in range(100))


def test_who_invents_a_name_each_time_is_limited_too(repeats: Repeats) -> None:
    passed = [passes(repeats, calling_ae_title=f"PEER{number}") for number in range(2 * MOST_KEYS)]
    assert sum(passed) == MOST_KEYS + IN_FULL
