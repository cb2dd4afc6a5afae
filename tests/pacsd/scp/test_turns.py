"""Turns of a caller's operations: some are worked on at once, who waits for a peer has none, and others don't wait."""

from __future__ import annotations

import threading

import pytest

from pacsd.errors import OperationTooCostly
from pacsd.scp.turns import CallerTurns, Turns, WhileWaiting
from support.deadline import wait_until

WITHIN = 10.0


def turns_for(at_once: int) -> Turns:
    return Turns(at_once, longest_wait=WITHIN, note_refusal=lambda _: None)


def working(turns: CallerTurns) -> tuple[threading.Thread, threading.Event, threading.Event]:
    """A thread that works until it is told to end; the first event says that it has begun."""
    began, end = threading.Event(), threading.Event()

    def work() -> None:
        with turns:
            began.set()
            assert end.wait(WITHIN)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, began, end


def test_one_more_waits_for_its_turn_and_another_caller_does_not() -> None:
    all_turns = turns_for(1)
    greedy, other = all_turns.enter("greedy"), all_turns.enter("other")
    first, second = working(greedy), working(greedy)
    assert first[1].wait(WITHIN)
    with other:
        assert not second[1].is_set()
    first[2].set()
    assert second[1].wait(WITHIN)
    second[2].set()
    for thread, *_ in (first, second):
        thread.join()


def test_who_waits_for_a_peer_has_no_turn() -> None:
    turns = turns_for(1).enter("one")
    with turns:
        other = working(turns)
        assert not other[1].wait(0.05)
        with WhileWaiting():
            assert other[1].wait(WITHIN)
            other[2].set()
    other[0].join()


def test_work_inside_work_takes_no_turn_of_its_own() -> None:
    turns = turns_for(1).enter("one")
    with turns:
        turns.enter()
        turns.leave()
        with turns:
            pass
    with turns:
        pass
    assert turns.take(0), "it was given back as often as it was taken"


def test_whose_turn_does_not_come_is_refused() -> None:
    refused: list[str] = []
    turns = Turns(1, longest_wait=0.05, note_refusal=refused.append).enter("one")
    thread, began, end = working(turns)
    assert began.wait(WITHIN)
    with pytest.raises(OperationTooCostly, match="too many operations"), turns:
        pass
    assert refused == ["one"]
    end.set()
    thread.join()
    with turns:
        pass


def test_callers_without_associations_are_forgotten() -> None:
    turns = turns_for(0)
    for _ in range(2):
        turns.enter("one")
    turns.leave("one")
    assert set(turns._callers) == {"one"}
    turns.leave("one")
    assert not turns._callers


def test_turns_are_taken_by_many_and_none_is_lost() -> None:
    turns = turns_for(3).enter("one")
    at_work, most = set[int](), [0]

    def work() -> None:
        for _ in range(200):
            with turns:
                at_work.add(threading.get_ident())
                most[0] = max(most[0], len(at_work))
                at_work.discard(threading.get_ident())
                with WhileWaiting():
                    pass

    threads = [threading.Thread(target=work) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most[0] <= 3
    wait_until(lambda: turns._free == 3, within=WITHIN, what="all turns are given back")
