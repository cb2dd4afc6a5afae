"""An association with callbacks alone: `send_*`, then `receive` and what it calls (PS3.8 §7)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.dicomnet.net.gate import Gate
from tests.dicomnet.net.nets import WITHIN, Journal, Net, ask_for, serving
from tests.dicomnet.net.raw_acceptor import listening
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import VERIFICATION

from dicomnet import (
    AssociateRequest,
    AssociationAborted,
    AssociationRejected,
    AssociationTimedOut,
    CEchoRequest,
    CEchoResponse,
    DicomAssociate,
    LocalProtocolError,
    NegotiatedAssociation,
    NetConfiguration,
    PresentationContext,
    Timeouts,
)
from dicomnet.upper_layer.pdu import AssociateAccept


class Caller(Net):
    """Notes what it is called for, as a requestor."""

    def on_receive_associate_accept(self, accept: AssociateAccept) -> None:
        self.journal.note("accepted", accept.called_ae_title)

    def on_receive_associate_reject(self, result: int, source: int, reason: int) -> None:
        self.journal.note("rejected", (result, source, reason))

    def on_receive_release_response(self) -> None:
        self.journal.note("released")

    def on_receive_release_request(self) -> None:
        self.journal.note("asked to release")
        super().on_receive_release_request()

    def on_receive_c_echo_response(self, context: PresentationContext, response: CEchoResponse) -> None:
        self.journal.note("echoed", response.message_id_being_responded_to)


def order(journal: Journal) -> list[str]:
    return [what for what, _ in journal.entries]


def test_whole_association() -> None:
    client = Caller()
    with serving(Net()) as address:
        client.connect(*address)
        client.send_associate_request(ask_for())
        assert not client.is_associated
        assert client.receive()
        assert client.is_associated
        client.send_c_echo_request(client.context_for(VERIFICATION), message_id=7)
        assert client.receive()
        client.send_release_request()
        assert not client.receive()
    assert order(client.journal) == [
        "connected",
        "associated",
        "accepted",
        "echoed",
        "released",
        "disassociated",
        "closed",
    ]
    assert client.journal.of("echoed") == [7]
    assert client.journal.of("closed") == [None]
    assert not client.is_activated


def test_waiting_calls_tell_as_well() -> None:
    client = Caller()
    with serving(Net()) as address:
        client.connect(*address)
        client.associate(ask_for())
        assert client.c_echo().status == 0x0000
        client.release()
    assert order(client.journal) == [
        "connected",
        "associated",
        "accepted",
        "released",
        "disassociated",
        "closed",
    ]


def test_answer_that_a_helper_does_not_wait_for() -> None:
    client = Caller()
    with serving(Net()) as address, client:
        client.connect(*address)
        client.associate(ask_for())
        message_id = client.next_message_id()
        client.send_c_echo_request(client.context_for(VERIFICATION), message_id=message_id)
        assert client.c_echo().message_id_being_responded_to != message_id
        assert client.journal.of("echoed") == [message_id]


def test_turns_are_not_taken_inside_a_callback() -> None:
    class Nesting(Net):
        def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
            with pytest.raises(LocalProtocolError, match="callback has to end first"):
                self.receive()
            super().on_receive_c_echo_request(context, request)

    with serving(Nesting()) as address, Net() as client:
        client.connect(*address)
        client.associate(ask_for())
        assert client.c_echo().status == 0x0000


def test_abort_in_the_packet_of_an_answer_is_told() -> None:
    client = Caller()
    with listening() as acceptor, ThreadPoolExecutor(1) as thread:

        def run() -> None:
            acceptor.accept()
            echo = acceptor.read()
            acceptor.send_and_abort(
                echo.context.context_id, CEchoResponse(message_id_being_responded_to=7, status=0)
            )

        done = thread.submit(run)
        client.connect(*acceptor.address)
        client.associate(ask_for())
        client.send_c_echo_request(client.context_for(VERIFICATION), message_id=7)
        assert not client.receive()
        done.result(WITHIN)
    assert client.journal.of("echoed") == [7]
    (error,) = client.journal.of("closed")
    assert isinstance(error, AssociationAborted)


class Rejecting(Net):
    def on_receive_associate_request(self, request: AssociateRequest) -> None:
        self.send_associate_reject(result=2, source=3, reason=2)


@pytest.mark.parametrize("waiting", [False, True])
def test_rejection(waiting: bool) -> None:
    client = Caller()
    with serving(Rejecting()) as address:
        client.connect(*address)
        if waiting:
            with pytest.raises(AssociationRejected):
                client.associate(ask_for())
        else:
            client.send_associate_request(ask_for())
            assert not client.receive()
    assert order(client.journal) == ["connected", "rejected", "closed"]
    assert client.journal.of("rejected") == [(2, 3, 2)]
    (error,) = client.journal.of("closed")
    assert isinstance(error, AssociationRejected)


class Aborting(Net):
    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        self.send_abort()


def test_abort() -> None:
    client = Caller()
    with serving(Aborting()) as address:
        client.connect(*address)
        client.associate(ask_for())
        client.send_c_echo_request(client.context_for(VERIFICATION), message_id=7)
        assert not client.receive()
    assert client.journal.of("aborted") == [(0, 0)]
    (error,) = client.journal.of("closed")
    assert isinstance(error, AssociationAborted)
    with pytest.raises(LocalProtocolError):
        client.receive()


def test_silent_peer() -> None:
    client = Caller()
    with serving(Net()) as address:
        client.connect(*address)
        client.associate(ask_for())
        assert not client.receive(timeout=0.01)
    (error,) = client.journal.of("closed")
    assert isinstance(error, AssociationTimedOut)


class Leaving(Net):
    """Ends the association instead of answering."""

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        self.send_release_request()

    def on_receive_release_response(self) -> None:
        self.journal.note("released")

    def on_receive_release_request(self) -> None:
        self.journal.note("asked to release")
        super().on_receive_release_request()


def test_peer_releases() -> None:
    server, client = Leaving(), Caller()
    with serving(server) as address:
        client.connect(*address)
        client.associate(ask_for())
        client.send_c_echo_request(client.context_for(VERIFICATION), message_id=7)
        assert not client.receive()
        server.journal.wait_for("closed")
    assert order(client.journal)[-3:] == ["asked to release", "disassociated", "closed"]
    assert order(server.journal) == ["associated", "released", "disassociated", "closed"]
    assert client.journal.of("closed") == server.journal.of("closed") == [None]


@pytest.mark.parametrize("step", ["associate", "release"])
def test_answer_to_a_step_has_its_own_deadline(step: str) -> None:
    timeouts = Timeouts(association=0.01, artim=0.01, dimse=WITHIN, idle=WITHIN)
    client = Caller(NetConfiguration(timeouts=timeouts))
    server = Hasty() if step == "release" else Deaf()
    with serving(server) as address:
        client.connect(*address)
        client.send_associate_request(ask_for())
        if step == "release":
            client.receive(timeout=WITHIN)
            client.send_release_request()
        assert not client.receive()
        server.let.set()
    (error,) = client.journal.of("closed")
    assert isinstance(error, AssociationTimedOut)


def test_server_that_releases_does_not_wait_forever() -> None:
    server = Leaving(NetConfiguration(timeouts=Timeouts(association=0.01, artim=0.01, idle=600)))
    with serving(server) as address, RawPeer(address).associate() as peer:
        peer.send_message(1, CEchoRequest(message_id=1))
        (error,) = server.journal.wait_for("closed")
    assert isinstance(error, AssociationTimedOut)


class Deaf(Gate):
    """Answers no request for an association until it is let."""

    def on_receive_associate_request(self, request: AssociateRequest) -> None:
        assert self.let.wait(WITHIN)
        self.send_associate_reject(result=1, source=1, reason=1)


class Hasty(Leaving, Gate):
    """Ends the association when it is let, before it hears anything."""

    def on_associated(self, association: NegotiatedAssociation) -> None:
        assert self.let.wait(WITHIN)
        self.send_release_request()
        self.journal.note("leaves")


def test_both_release_at_once() -> None:
    """PS3.8 §9.2.2: the requestor answers first, the acceptor when it has been answered."""
    server, client = Hasty(), Caller()
    with serving(server) as address:
        client.connect(*address)
        client.associate(ask_for())
        server.let.set()
        server.journal.wait_for("leaves")
        client.send_release_request()
        while client.receive():
            pass
        server.journal.wait_for("closed")
    assert order(client.journal)[-4:] == ["asked to release", "released", "disassociated", "closed"]
    assert order(server.journal) == ["leaves", "released", "asked to release", "disassociated", "closed"]
    assert client.journal.of("closed") == server.journal.of("closed") == [None]


def test_associate_object_asks_and_answers() -> None:
    class Granting(Net):
        def on_receive_associate_request(self, request: AssociateRequest) -> None:
            accept = DicomAssociate.accept_of(request)
            accept.presentation_contexts[1].result = 1
            self.send_associate_accept(accept)

    request = DicomAssociate.default(called_ae_title="ARCHIVE", calling_ae_title="MODALITY")
    for sop_class in (VERIFICATION, "1.2.3"):
        request.add_presentation_context(sop_class)
    client = Caller()
    with serving(Granting()) as address, client:
        client.connect(*address)
        association = client.associate(request)
        assert [each.abstract_syntax for each in association.presentation_contexts.values()] == [VERIFICATION]
        assert client.c_echo().status == 0x0000


def test_context_that_was_not_accepted_takes_no_data() -> None:
    client = Caller()
    with serving(Net()) as address, client:
        client.connect(*address)
        with pytest.raises(LocalProtocolError, match="context 1 "):
            client.send_data(1, CEchoRequest(message_id=1))
        client.associate(ask_for())
        with pytest.raises(LocalProtocolError, match="context 99 "):
            client.send_data(99, CEchoRequest(message_id=1))
        assert client.c_echo().status == 0x0000
