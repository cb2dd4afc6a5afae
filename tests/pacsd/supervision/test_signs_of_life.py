"""What a process shows of itself, and what it does not."""

from __future__ import annotations

import os
import socket
import threading

from pacsd.supervision.signs_of_life import Acceptance, SignsOfLife


def test_it_beats_though_a_look_fails() -> None:
    signs = SignsOfLife()
    own = signs.begin("worker", 3)
    looked = [threading.Event(), threading.Event()]

    def fail() -> None:
        looked[looked[0].is_set()].set()
        raise RuntimeError

    own.looks.append(fail)
    with own.beating(0.01):
        assert all(each.wait(10) for each in looked)
        (beat,) = signs.all()
    assert (beat.slot, beat.pid, beat.role, beat.part) == (3, os.getpid(), "worker", "beat")
    signs.forget(3)
    assert not list(signs.all())


def test_what_is_under_way_is_shown_until_it_is_not() -> None:
    signs = SignsOfLife()
    own = signs.begin("worker", 0)

    def shown() -> set[str]:
        return {each.part for each in signs.all()}

    own.note_turn(True)
    own.note_commit(True)
    own.note_accepting(is_stuck=True)
    assert shown() == {"beat", "turn", "commit", "accept"}
    own.note_turn(False)
    own.note_commit(False)
    own.note_attempt()
    own.note_accepting(is_stuck=False)
    assert shown() == {"beat"}


def test_connections_that_wait_while_none_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        acceptance = Acceptance([listening])
        assert not acceptance.is_stuck(), "nobody waits"
        with socket.create_connection(listening.getsockname()):
            assert acceptance.is_stuck()
            acceptance.note()
            assert not acceptance.is_stuck(), "one was taken since the last look"
            assert acceptance.is_stuck()
    assert not acceptance.is_stuck(), "it has stopped accepting"
