"""The raw hooks: what passes on a connection is told in order, and only to who overrides them."""

from __future__ import annotations

import pytest
from tests.dicomnet.net.nets import CONFIGURATION, Net, ask_for, serving
from tests.dicomnet.net.raw_peer import RawPeer
from tests.dicomnet.pair import VERIFICATION

from dicomnet import (
    CEchoRequest,
    ConnectionLost,
    NetConfiguration,
    PresentationContext,
    ReceivedDataset,
)
from dicomnet.dimse.messages import Message
from dicomnet.net.callbacks import Callbacks
from dicomnet.upper_layer.pdu import PduType


class Watching(Net):
    """Notes all that passes, in order."""

    def on_send(self, error: Exception | None, pdu_type: int, length: int) -> None:
        self.journal.note("sent", (error, PduType(pdu_type).name, length))

    def on_receive(self, error: Exception | None, pdu_type: int, pdu: bytes) -> None:
        self.journal.note("received", (error, PduType(pdu_type).name, len(pdu)))

    def on_receive_data(self, context_id: int, message: Message, dataset: ReceivedDataset | None) -> None:
        self.journal.note("message", (context_id, type(message).__name__, dataset is not None))

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        self.journal.note("request", request.message_id)
        super().on_receive_c_echo_request(context, request)

    def on_receive_release_request(self) -> None:
        self.journal.note("asked to release")
        super().on_receive_release_request()


def test_order_on_receipt_and_sending() -> None:
    server = Watching()
    with serving(server) as address:
        client = Net()
        client.connect(*address)
        client.associate(ask_for([VERIFICATION]))
        client.c_echo()
        client.release()
        server.journal.wait_for("closed")
    events = [(what, detail[1] if what in ("sent", "received") else None) for what, detail in _told(server)]
    assert events == [
        ("received", "ASSOCIATE_RQ"),
        ("sent", "ASSOCIATE_AC"),
        ("associated", None),
        ("received", "DATA_TF"),
        ("message", None),
        ("request", None),
        ("sent", "DATA_TF"),
        ("received", "RELEASE_RQ"),
        ("asked to release", None),
        ("sent", "RELEASE_RP"),
        ("disassociated", None),
        ("closed", None),
    ]
    assert server.journal.of("message") == [(1, "CEchoRequest", False)]
    assert all(detail[0] is None and detail[2] >= 10 for what, detail in _told(server) if what == "sent")


def _told(net: Net) -> list[tuple[str, tuple[object, ...]]]:
    return net.journal.entries  # type: ignore[return-value]


def test_helpers_answers_are_seen_as_well() -> None:
    client = Watching(objects={"1.2.3": b"match"})
    server = Net(objects={"1.2.3": b"match"})
    with serving(server) as address, client:
        client.connect(*address)
        client.associate(ask_for())
        answers = list(client.c_find(client.context_for("1.2.840.10008.5.1.4.1.2.2.1"), b"identifier"))
    assert [identifier for _, identifier in answers] == [b"match", None]
    assert client.journal.of("message") == [(5, "CFindResponse", True), (5, "CFindResponse", False)]


def test_every_pdu_of_a_long_message_is_told() -> None:
    client, server = Watching(), Watching(NetConfiguration(maximum_length=4096))
    with serving(server) as address, client:
        client.connect(*address)
        client.associate(ask_for())
        context = client.context_for("1.2.840.10008.5.1.4.1.1.2")
        assert client.c_store(context, "1.2.3", bytes(3_000_000)).status == 0x0000
    sent = [detail for what, detail in _told(client) if what == "sent"]
    received = [detail for what, detail in _told(server) if what == "received"]
    assert sent == received
    assert sum(1 for each in sent if each[1] == "DATA_TF") > 700
    assert server.objects == {"1.2.3": bytes(3_000_000)}


def test_pdu_that_is_too_long_is_told_without_its_bytes() -> None:
    server = Watching()
    with serving(server) as address, RawPeer(address).associate() as peer:
        server.journal.wait_for("associated")
        content = bytes(2_000_000)
        pdv = (len(content) + 2).to_bytes(4, "big") + b"\x01\x01" + content
        peer.send(b"\x04\x00" + len(pdv).to_bytes(4, "big") + pdv)
        told = server.journal.wait_for("received", 2)
    error, kind, length = told[1]  # type: ignore[misc]
    assert (kind, length) == ("DATA_TF", 0)
    assert "2000012 bytes" in str(error)


def test_what_was_not_sent_is_told_as_well() -> None:
    client = Watching(CONFIGURATION)
    with serving(Net()) as address:
        client.connect(*address)
        client.associate(ask_for())
        client.interrupt()
        with pytest.raises(ConnectionLost, match="the connection broke"):
            client.c_echo()
        client.close(graceful=False)
    failed = [detail for what, detail in _told(client) if what == "sent" and detail[0]]
    assert [(kind, length) for _, kind, length in failed][:1] == [("DATA_TF", 0)]


def test_hooks_that_nobody_overrides_are_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*arguments: object) -> None:
        raise AssertionError(arguments)

    for name in ("on_send", "on_receive", "on_receive_data"):
        monkeypatch.setattr(Callbacks, name, called)
    with serving(Net()) as address, Net() as client:
        client.connect(*address)
        client.associate(ask_for())
        assert client.c_echo().status == 0x0000
