"""Every service over real sockets between two DicomNets (PS3.7 §9.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.dicomnet.net.nets import (
    CONFIGURATION,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    Net,
    ask_for,
    associated,
    serving,
    store,
)
from tests.dicomnet.pair import CT_STORAGE, EXPLICIT, STUDY_ROOT_FIND, VERIFICATION

from dicomnet import (
    CEchoRequest,
    ContextResult,
    CStoreRequest,
    DatasetTooLong,
    DicomNet,
    Limits,
    LocalProtocolError,
    NetConfiguration,
    NGetRequest,
    PresentationContext,
    SupportedAbstractSyntax,
)
from dicomnet.dimse.command_set import CommandElement
from dicomnet.dimse.messages import CEchoResponse, CFindRequest, CGetRequest, CMoveRequest

OBJECTS = {f"1.2.3.{number}": bytes([number]) * 1000 * number for number in range(1, 6)}


def test_echo() -> None:
    with serving(Net()) as address, associated(Net(), address) as client:
        for _ in range(3):
            assert client.c_echo().status == 0x0000
        assert client.is_associated
    assert not client.is_connected


@pytest.mark.parametrize("length", [0, 1, 526_000, 5_000_001])
@pytest.mark.parametrize("maximum_length", [0, 4096, 262144])
def test_store(length: int, maximum_length: int) -> None:
    server = Net(NetConfiguration(maximum_length=maximum_length, timeouts=CONFIGURATION.timeouts))
    dataset = bytes(range(256)) * (length // 256) + bytes(length % 256)
    with serving(server) as address, associated(Net(), address) as client:
        assert store(client, "1.2.3.4", dataset) == 0x0000
    assert server.objects == {"1.2.3.4": dataset}


def test_store_in_pieces() -> None:
    server = Net()
    with serving(server) as address, associated(Net(), address) as client:
        assert store(client, "1.2.3.4", (bytes([turn]) * 70_000 for turn in range(20))) == 0x0000
    assert server.objects["1.2.3.4"] == b"".join(bytes([turn]) * 70_000 for turn in range(20))


def test_store_says_what_and_for_whom() -> None:
    server = Net()
    with serving(server) as address, associated(Net(), address) as client:
        context = client.context_for(CT_STORAGE)
        response = client.c_store(context, "1.2.3", b"", priority=1, move_originator=("WORKSTATION", 77))
    (request,) = server.journal.of("stored")
    assert isinstance(request, CStoreRequest)
    assert request.priority == 1
    assert request.move_originator_application_entity_title == "WORKSTATION"
    assert request.move_originator_message_id == 77
    assert (response.affected_sop_class_uid, response.affected_sop_instance_uid) == (CT_STORAGE, "1.2.3")


def test_find() -> None:
    server = Net(objects=OBJECTS)
    with serving(server) as address, associated(Net(), address) as client:
        answers = list(client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier"))
    assert [identifier for _, identifier in answers] == [*OBJECTS.values(), None]
    assert [response.status for response, _ in answers] == [0xFF00] * 5 + [0x0000]
    assert server.journal.of("find") == [b"identifier"]


def test_find_without_matches() -> None:
    with serving(Net()) as address, associated(Net(), address) as client:
        ((response, identifier),) = client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier")
    assert (response.status, identifier) == (0x0000, None)


def limited_to(length: int) -> NetConfiguration:
    return replace(CONFIGURATION, limits=Limits(identifier_length=length))


@pytest.mark.parametrize("length", [1000, 2_000_000])
def test_identifiers_are_held_up_to_the_limit_of_the_configuration(length: int) -> None:
    """Below the default and above it, for a C-service and for an N-service."""

    class Serving(Net):
        def on_receive_n_get_request(self, context: PresentationContext, request: NGetRequest) -> None:
            self.send_n_get_response(context, request, status=0, dataset=self.objects["1.2.3"])

    server = Serving(objects={"1.2.3": bytes(length)})
    with serving(server) as address:
        with associated(Net(limited_to(length)), address) as client:
            found = list(client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier"))
            assert [identifier for _, identifier in found] == [bytes(length), None]
            _, attributes = client.n_get(client.context_for(CT_STORAGE), "1.2.3")
            assert attributes == bytes(length)
        with associated(Net(limited_to(length - 1)), address) as client:
            with pytest.raises(DatasetTooLong, match=f"more than {length - 1} bytes"):
                list(client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier"))
            with pytest.raises(DatasetTooLong, match=f"more than {length - 1} bytes"):
                client.n_get(client.context_for(CT_STORAGE), "1.2.3")
            assert client.c_echo().status == 0x0000


def test_get_stores_on_the_same_association() -> None:
    server, client = Net(objects=OBJECTS), Net()
    with serving(server) as address, associated(client, address, ask_for(as_storage_scp=True)):
        answers = [response for response, _ in client.c_get(client.context_for(STUDY_ROOT_GET), b"uids")]
        assert client.c_echo().status == 0x0000
    assert client.objects == OBJECTS
    assert [answer.number_of_completed_suboperations for answer in answers] == [1, 2, 3, 4, 5, 5]
    assert answers[-1].status == 0x0000
    assert server.objects == OBJECTS, "nothing came back"


def test_move_stores_at_a_third() -> None:
    server, destination = Net(objects=OBJECTS), Net()
    with serving(server) as address, serving(destination) as elsewhere:
        server.destinations["WORKSTATION"] = elsewhere
        with associated(Net(), address) as client:
            context = client.context_for(STUDY_ROOT_MOVE)
            answers = [answer for answer, _ in client.c_move(context, b"", move_destination="WORKSTATION")]
    assert destination.objects == OBJECTS
    assert [answer.status for answer in answers] == [0xFF00] * 5 + [0x0000]
    for request in destination.journal.of("stored"):
        assert isinstance(request, CStoreRequest)
        assert request.move_originator_application_entity_title == "MODALITY"
        assert request.move_originator_message_id == 1


def test_move_to_nowhere_says_where() -> None:
    with serving(Net(objects=OBJECTS)) as address, associated(Net(), address) as client:
        context = client.context_for(STUDY_ROOT_MOVE)
        ((answer, _),) = client.c_move(context, b"", move_destination="ATLANTIS")
    assert (answer.status, answer.error_comment) == (0xA801, "unknown move destination ATLANTIS")


# What nobody serves.


class Bare(DicomNet):
    """Only the defaults, but every SOP class negotiated."""

    def supports(self, abstract_syntax: str) -> SupportedAbstractSyntax | ContextResult:
        return SupportedAbstractSyntax(transfer_syntaxes=(EXPLICIT,))


def test_defaults_refuse_what_is_not_served() -> None:
    """SOP class not supported (PS3.7 §C.5.19), and the association goes on."""
    with serving(Bare(CONFIGURATION)) as address, associated(Net(), address) as client:
        assert store(client, "1.2.3", bytes(1_000_000)) == 0x0122
        ((found, _),) = client.c_find(client.context_for(STUDY_ROOT_FIND), b"identifier")
        ((got, _),) = client.c_get(client.context_for(STUDY_ROOT_GET), b"identifier")
        context = client.context_for(STUDY_ROOT_MOVE)
        ((moved, _),) = client.c_move(context, b"identifier", move_destination="ANY")
        assert (found.status, got.status, moved.status) == (0x0122,) * 3
        assert client.c_echo().status == 0x0000


def test_plain_net_knows_verification_alone() -> None:
    with serving(DicomNet(CONFIGURATION)) as address, associated(Net(), address) as client:
        assert client.c_echo().status == 0x0000
        with pytest.raises(LocalProtocolError, match="no presentation context"):
            client.context_for(CT_STORAGE)


def test_unknown_operation_is_answered_as_such() -> None:
    """0211H (PS3.7 §C.5.21), its data set is dropped."""
    with serving(Net()) as address, associated(Net(), address) as client:
        unknown = {
            CommandElement.COMMAND_FIELD: 0x0170,
            CommandElement.MESSAGE_ID: 4242,
            CommandElement.COMMAND_DATA_SET_TYPE: 1,
        }
        client.send_message(client.context_for(VERIFICATION), unknown, bytes(100_000))
        # The answer is of a kind that we do not know either, so it ends the association.
        with pytest.raises(Exception, match="8170H"):
            client.c_echo()


def test_echo_with_a_data_set_is_answered() -> None:
    with serving(Net()) as address, associated(Net(), address) as client:
        message_id = client.next_message_id()
        context = client.context_for(VERIFICATION)
        client.send_message(context, CEchoRequest(message_id=message_id), bytes(300_000))
        response, _ = client.await_response(message_id)
        assert response.status == 0x0000
        assert client.c_echo().status == 0x0000


@pytest.mark.parametrize("request_type", [CFindRequest, CGetRequest, CMoveRequest, CStoreRequest])
def test_missing_data_set_is_an_empty_one(request_type: type[CFindRequest]) -> None:
    with serving(Net()) as address, associated(Net(), address, ask_for(as_storage_scp=True)) as client:
        context = client.context_for(CT_STORAGE)
        client.send_message(context, request_type(message_id=1))
        response, dataset = client.await_response(1)
        assert response.status in (0x0000, 0xA801)
        assert dataset is None


def test_response_that_nobody_waits_for_is_ignored() -> None:
    with serving(Net()) as address, associated(Net(), address) as client:
        context = client.context_for(VERIFICATION)
        client.send_message(context, CEchoResponse(message_id_being_responded_to=9, status=0), b"data")
        assert client.c_echo().status == 0x0000


class Curious(Net):
    """Asks back before it answers."""

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        self.journal.note("asked back", self.c_echo_as_acceptor(context))
        super().on_receive_c_echo_request(context, request)

    def c_echo_as_acceptor(self, context: PresentationContext) -> int:
        message_id = self.next_message_id()
        self.send_c_echo_request(context, message_id=message_id)
        return self.await_response(message_id)[0].status


def test_requests_may_go_in_both_directions() -> None:
    server = Curious()
    with serving(server) as address, associated(Net(), address) as client:
        assert client.c_echo().status == 0x0000
    assert server.journal.of("asked back") == [0x0000]
