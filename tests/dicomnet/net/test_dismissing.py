"""Associations that a listener ends one by one, while the others go on."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.dicomnet.net.gate import Gate
from tests.dicomnet.net.nets import CONFIGURATION, WITHIN, Net, ask_for, associated, ended_with, serving
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import VERIFICATION

from dicomnet import AssociationAborted, DicomNet, TlsConfiguration
from dicomnet.dimse.messages import CEchoRequest, CEchoResponse
from dicomnet.upper_layer import events as ul
from support.certificates import Authority
from support.deadline import wait_until


def client_of(server: DicomNet, number: int) -> DicomNet:
    """The connection that was accepted as this one, once it has its association."""
    wait_until(lambda: server.client_count > number, within=WITHIN, what="the connection is served")
    client = server.get_client(number)
    wait_until(lambda: client.is_associated, within=WITHIN, what="it is associated")
    return client


def tls_of(folder: Path) -> TlsConfiguration:
    authority = Authority(folder)
    identity = authority.certify("server")
    return TlsConfiguration(
        certificate=identity.certificate, private_key=identity.key, ca=authority.certificate
    )


@pytest.mark.parametrize("secure", [False, True])
def test_an_idle_association_is_ended_and_the_others_go_on(tmp_path: Path, secure: bool) -> None:
    tls = tls_of(tmp_path) if secure else None
    server = Net(CONFIGURATION)
    server.configuration = type(CONFIGURATION)(timeouts=CONFIGURATION.timeouts, tls=tls)
    with serving(server) as address, ExitStack() as stack:
        peers = []
        for number in range(3):
            net = stack.enter_context(Net())
            net.connect(*address, tls=tls)
            net.associate(ask_for())
            client_of(server, number)
            peers.append(net)
        for number, client in enumerate(server.clients[:2], start=1):
            server.dismiss({client: "no more for you"})
            server.journal.wait_for("disassociated", number)
            with pytest.raises(AssociationAborted) as ended:
                peers[number - 1].c_echo()
            assert ended.value.by_peer
        assert peers[2].c_echo().status == 0
    assert [str(error) for error in server.journal.of("disassociated")[:2]] == ["no more for you"] * 2


def test_what_runs_is_answered_first_and_nothing_is_served_after_it() -> None:
    server = Gate()
    with serving(server) as address, RawPeer(address).associate() as peer:
        for message_id in (1, 2):
            peer.send_message(1, CEchoRequest(message_id=message_id, affected_sop_class_uid=VERIFICATION))
        server.journal.wait_for("echo")
        server.dismiss({client_of(server, 0): "no more for you"})
        server.let.set()
        *answered, last = peer.read_to_end()
        assert last == ul.AbortReceived(2, 0)
        messages = [event.message for event in answered if hasattr(event, "message")]
        assert [type(each) for each in messages] == [CEchoResponse]
        assert ended_with(server.journal) == [AssociationAborted]
    assert len(server.journal.of("echo")) == 1


def test_nobody_is_dismissed_where_nobody_is_named() -> None:
    server = Net()
    with serving(server) as address, associated(Net(), address) as net:
        before = server.attention_fd
        server.dismiss({})
        assert server.attention_fd == before
        assert net.c_echo().status == 0
    server.dismiss({})
    assert server.attention_fd is None
