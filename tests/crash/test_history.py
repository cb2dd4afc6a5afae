"""The judge of histories, with histories that no archive may have, and others that one may."""

from __future__ import annotations

import pytest

from crash.history import NEVER, Operation, faults_of_first, faults_of_last


def store(version: int, began: float, ended: float = NEVER) -> Operation:
    return Operation(True, version, began, ended)


def fetch(version: int, began: float, ended: float) -> Operation:
    return Operation(False, version, began, ended)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([store(1, 0, 1), fetch(0, 2, 3)], id="lost"),
        pytest.param([store(1, 0, 1), store(2, 2, 3), fetch(1, 4, 5)], id="the last version lost"),
        pytest.param([store(1, 0), fetch(1, 2, 3), fetch(0, 4, 5)], id="seen and then lost"),
        pytest.param([store(1, 0, 1), fetch(2, 2, 3)], id="out of nothing"),
        pytest.param([store(1, 0, 1), fetch(-1, 2, 3)], id="damaged"),
        pytest.param([fetch(1, 0, 1), store(1, 2, 3)], id="before it was sent"),
        pytest.param(
            [store(1, 0, 9), store(2, 0, 9), fetch(1, 1, 2), fetch(2, 3, 4), fetch(1, 5, 6)], id="back again"
        ),
        pytest.param([store(1, 0, 1), store(2, 2), fetch(2, 3, 4), fetch(1, 5, 6)], id="taken back"),
    ],
)
def test_a_wrong_history_is_recognised(history: list[Operation]) -> None:
    assert faults_of_last(history)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([], id="nothing happened"),
        pytest.param([fetch(0, 0, 1), store(1, 0, 1), fetch(1, 2, 3)], id="at the same time"),
        pytest.param([store(1, 0, 1), store(2, 2, 5), fetch(1, 3, 4), fetch(2, 3, 4)], id="while replaced"),
        pytest.param([store(1, 0), fetch(0, 5, 6), fetch(1, 7, 8)], id="late and never acknowledged"),
        pytest.param([store(1, 0, 1), store(2, 2), fetch(1, 9, 10)], id="without effect"),
        pytest.param([store(1, 0, 9), store(2, 0, 9), fetch(2, 10, 11), fetch(2, 12, 13)], id="either order"),
    ],
)
def test_a_right_history_is_accepted(history: list[Operation]) -> None:
    assert faults_of_last(history) == []


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([store(1, 0, 1), fetch(0, 2, 3)], id="lost"),
        pytest.param([store(1, 0, 1), store(2, 2, 3), fetch(2, 4, 5)], id="replaced"),
        pytest.param([store(1, 0, 9), store(2, 0, 9), fetch(1, 3, 4), fetch(2, 5, 6)], id="both"),
        pytest.param([store(1, 0), fetch(1, 1, 2), fetch(0, 3, 4)], id="seen and then lost"),
        pytest.param([store(1, 0, 1), fetch(-1, 2, 3)], id="damaged"),
        pytest.param([fetch(1, 0, 1), store(1, 2, 3)], id="before it was sent"),
    ],
)
def test_a_wrong_history_of_the_first_is_recognised(history: list[Operation]) -> None:
    assert faults_of_first(history)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([], id="nothing happened"),
        pytest.param([store(1, 0, 1), store(2, 2), fetch(1, 4, 5)], id="the first stays"),
        pytest.param(
            [store(1, 0), store(2, 2), fetch(1, 4, 5)], id="one that was not acknowledged was first"
        ),
        pytest.param([store(1, 0), store(2, 2, 3), fetch(2, 4, 5)], id="without effect"),
        pytest.param([store(1, 0, 9), fetch(0, 3, 4), fetch(1, 5, 6)], id="at the same time"),
    ],
)
def test_a_right_history_of_the_first_is_accepted(history: list[Operation]) -> None:
    assert faults_of_first(history) == []
