"""All 23 messages over a real socket between two DicomNets, from either side, with callbacks alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.dicomnet.net.nets import Net, serving
from tests.dicomnet.pair import EXPLICIT

from dicomnet import (
    AssociateRequest,
    CFindRequest,
    ContextResult,
    CStoreRequest,
    DicomNet,
    NegotiatedAssociation,
    PresentationContext,
    ProposedPresentationContext,
    ReceivedDataset,
    Request,
    Response,
    RoleSelection,
    SupportedAbstractSyntax,
    own_user_information,
)
from dicomnet.dimse.messages import MESSAGE_TYPES, to_command_set
from dicomnet.net.dispatch import HOOKS

SOP_CLASS = "1.2.3"
INSTANCE = "1.2.3.4"
MESSAGE_ID = 4711
CONTENT = bytes(range(256)) * 100
REPLY = b"reply" * 10
STATUS = 0xB007

Send = Callable[[DicomNet, PresentationContext], None]

REQUESTS: dict[str, Send] = {
    "c_echo": lambda net, context: net.send_c_echo_request(context, message_id=MESSAGE_ID),
    "c_store": lambda net, context: net.send_c_store_request(
        context,
        CStoreRequest(
            message_id=MESSAGE_ID, affected_sop_class_uid=SOP_CLASS, affected_sop_instance_uid=INSTANCE
        ),
        CONTENT,
    ),
    "c_find": lambda net, context: net.send_c_find_request(
        context, message_id=MESSAGE_ID, identifier=CONTENT
    ),
    "c_get": lambda net, context: net.send_c_get_request(context, message_id=MESSAGE_ID, identifier=CONTENT),
    "c_move": lambda net, context: net.send_c_move_request(
        context, message_id=MESSAGE_ID, identifier=CONTENT, move_destination="WORKSTATION"
    ),
    "n_report": lambda net, context: net.send_n_report_request(
        context, message_id=MESSAGE_ID, sop_instance_uid=INSTANCE, event_type_id=2, dataset=CONTENT
    ),
    "n_get": lambda net, context: net.send_n_get_request(
        context, message_id=MESSAGE_ID, sop_instance_uid=INSTANCE, attribute_identifier_list=(0x00100020,)
    ),
    "n_set": lambda net, context: net.send_n_set_request(
        context, message_id=MESSAGE_ID, sop_instance_uid=INSTANCE, dataset=CONTENT
    ),
    "n_action": lambda net, context: net.send_n_action_request(
        context, message_id=MESSAGE_ID, sop_instance_uid=INSTANCE, action_type_id=2, dataset=CONTENT
    ),
    "n_create": lambda net, context: net.send_n_create_request(
        context, message_id=MESSAGE_ID, sop_instance_uid=INSTANCE, dataset=CONTENT
    ),
    "n_delete": lambda net, context: net.send_n_delete_request(
        context, message_id=MESSAGE_ID, sop_instance_uid=INSTANCE
    ),
}
WITHOUT_DATASET = ("c_echo", "n_get", "n_delete")
REPLY_NAMES = {"c_find": "identifier", "c_get": "identifier", "c_move": "identifier"}
WITHOUT_REPLY = ("c_echo", "c_store", "n_delete")


def respond(net: DicomNet, service: str, context: PresentationContext, request: Request) -> None:
    reply = {} if service in WITHOUT_REPLY else {REPLY_NAMES.get(service, "dataset"): REPLY}
    getattr(net, f"send_{service}_response")(context, request, status=STATUS, **reply)


class Speaker(Net):
    """Notes every message that its callbacks are given, and answers every request."""

    on_established: Send | None = None
    """What the acceptor sends as soon as the association stands."""

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        client = super().on_accept(peer_address)
        assert isinstance(client, Speaker)
        client.on_established = self.on_established
        return client

    def supports(self, abstract_syntax: str) -> SupportedAbstractSyntax | ContextResult:
        return SupportedAbstractSyntax(transfer_syntaxes=(EXPLICIT,), requestor_as_scp=True)

    def on_associated(self, association: NegotiatedAssociation) -> None:
        if self.on_established is not None:
            self.on_established(self, association.presentation_contexts[1])


def noting(hook_name: str) -> Callable[..., None]:
    service = hook_name.removeprefix("on_receive_").rpartition("_")[0]

    def hook(
        net: Speaker, context: PresentationContext, message: Any, dataset: ReceivedDataset | None = None
    ) -> None:
        net.journal.note(hook_name, (message, dataset.read(1 << 20) if dataset else None))
        if isinstance(message, Request):
            respond(net, service, context, message)

    return hook


for _hook_name in [*HOOKS.values(), "on_receive_c_cancel_request"]:
    if _hook_name != "on_receive_unknown":
        setattr(Speaker, _hook_name, noting(_hook_name))


def ask_for_both_roles() -> AssociateRequest:
    return AssociateRequest(
        called_ae_title="ONE",
        calling_ae_title="OTHER",
        presentation_contexts=(
            ProposedPresentationContext(
                context_id=1, abstract_syntax=SOP_CLASS, transfer_syntaxes=(EXPLICIT,)
            ),
        ),
        user_information=own_user_information(
            maximum_length=16384,
            roles=(RoleSelection(sop_class_uid=SOP_CLASS, scu_role=True, scp_role=True),),
        ),
    )


def converse(server: Speaker, client: Speaker, *, turns: int, send: Send | None = None) -> None:
    """Let the client send, take as many turns as it gets messages, and end in order."""
    with serving(server) as address:
        client.connect(*address)
        association = client.associate(ask_for_both_roles())
        if send is not None:
            send(client, association.presentation_contexts[1])
        for _ in range(turns):
            assert client.receive()
        client.send_release_request()
        assert not client.receive()
    assert client.journal.of("closed") == [None]
    assert server.journal.wait_for("closed") == [None]


@pytest.mark.parametrize("by_acceptor", [False, True], ids=["requestor asks", "acceptor asks"])
@pytest.mark.parametrize("service", REQUESTS)
def test_request_and_response(service: str, by_acceptor: bool) -> None:
    server, client = Speaker(), Speaker()
    if by_acceptor:
        server.on_established = REQUESTS[service]
        asking, performing = server, client
        converse(server, client, turns=1)
    else:
        asking, performing = client, server
        converse(server, client, turns=1, send=REQUESTS[service])
    ((request, content),) = performing.journal.wait_for(f"on_receive_{service}_request")
    assert isinstance(request, Request)
    assert (request.message_id, request.sop_class_uid) == (MESSAGE_ID, SOP_CLASS)
    assert content == (None if service in WITHOUT_DATASET else CONTENT)
    if service == "c_store" or service.startswith("n_"):
        assert request.sop_instance_uid == INSTANCE
    ((response, reply),) = asking.journal.wait_for(f"on_receive_{service}_response")
    assert isinstance(response, Response)
    assert response.command_field == request.command_field | 0x8000
    assert (response.message_id_being_responded_to, response.status) == (MESSAGE_ID, STATUS)
    assert reply == (None if service in WITHOUT_REPLY else REPLY)


@pytest.mark.parametrize("by_acceptor", [False, True], ids=["requestor cancels", "acceptor cancels"])
def test_cancel(by_acceptor: bool) -> None:
    def cancel(net: DicomNet, context: PresentationContext) -> None:
        net.send_c_cancel_request(context, message_id=MESSAGE_ID)

    server, client = Speaker(), Speaker()
    if by_acceptor:
        server.on_established = cancel
        converse(server, client, turns=1)
    else:
        converse(server, client, turns=0, send=cancel)
    ((message, _),) = (client if by_acceptor else server).journal.wait_for("on_receive_c_cancel_request")
    assert message.message_id_being_responded_to == MESSAGE_ID


def test_no_message_is_left_out() -> None:
    tried = {f"on_receive_{service}_{kind}" for service in REQUESTS for kind in ("request", "response")}
    assert tried == set(HOOKS.values()) - {"on_receive_unknown"}
    assert len(tried) + 1 == len(MESSAGE_TYPES) == 23


def test_low_level_sending() -> None:
    """`send_data` takes a command set of any making, on contexts that were accepted."""
    request = CFindRequest(message_id=MESSAGE_ID, affected_sop_class_uid=SOP_CLASS)
    command = to_command_set(request, has_dataset=True)
    server, client = Speaker(), Speaker()
    converse(server, client, turns=1, send=lambda net, _: net.send_data(1, command, CONTENT))
    assert len(server.journal.of("on_receive_c_find_request")) == 1
    assert len(client.journal.of("on_receive_c_find_response")) == 1
