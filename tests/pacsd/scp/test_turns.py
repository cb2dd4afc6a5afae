"""Turns of a caller's operations: some are worked on at once, who waits for a peer has none, and others don't wait."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from pacsd.dataset.identifier import elements_of, write_identifier
from pacsd.errors import OperationCancelled, OperationTooCostly
from pacsd.model import Service
from pacsd.scp.access import KnownPeer
from pacsd.scp.turns import CallerTurns, Turns, WhileWaiting
from support.archive_server import ArchiveServer, archive_server
from support.deadline import wait_until
from support.fake_archive import altered
from support.wire import WireAssociation, command_set, element, find_request, message

WITHIN = 10.0
VERIFICATION = "1.2.840.10008.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"
ECHO = command_set(
    element(0x0002, VERIFICATION), element(0x0100, 0x0030), element(0x0110, 1), element(0x0800, 0x0101)
)


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


def test_who_waits_for_a_turn_may_be_cancelled() -> None:
    turns = turns_for(1).enter("greedy")
    thread, began, end = working(turns)
    assert began.wait(WITHIN)

    def look() -> None:
        raise OperationCancelled("nobody waits for it")

    with pytest.raises(OperationCancelled):
        turns.enter(WITHIN, look)
    end.set()
    thread.join()
    with turns:
        pass  # the turn has not been lost


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
        turns.enter(-1)
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
    wait_until(lambda: turns._free == [None] * 3, within=WITHIN, what="all turns are given back")


def echo(server: ArchiveServer, peers: ExitStack, calling: str) -> WireAssociation:
    """A C-ECHO that is not answered yet, on an association of its own."""
    peer = WireAssociation((server.host, server.port), [(VERIFICATION, IMPLICIT)], calling=calling)
    peers.enter_context(peer).send(message(1, ECHO))
    return peer


def test_a_peer_at_its_limit_waits_and_others_are_served() -> None:
    working, end = threading.Event(), threading.Event()

    def wait_at_match(number: int) -> None:
        working.set()
        assert end.wait(WITHIN)

    known = {title: KnownPeer(frozenset(Service)) for title in ("GREEDY", "OTHER")}
    with archive_server(peers=known, operations_per_peer=1) as server, ExitStack() as peers:
        server.keep(altered())
        server.index.before_match = wait_at_match
        finding = WireAssociation((server.host, server.port), [(FIND, IMPLICIT)], calling="GREEDY")
        keys = write_identifier(elements_of({"QueryRetrieveLevel": "STUDY", "PatientID": ""}), IMPLICIT)
        peers.enter_context(finding).send(message(1, find_request(1, FIND), keys))
        assert working.wait(WITHIN)
        waiting = echo(server, peers, "GREEDY")
        assert echo(server, peers, "OTHER").read_response().status == 0
        assert echo(server, peers, "STRANGER").read_response().status == 0
        assert not waiting.has_answer()
        end.set()
        assert waiting.read_response().status == 0
        assert [finding.read_response().status for _ in range(2)] == [0xFF00, 0x0000]
