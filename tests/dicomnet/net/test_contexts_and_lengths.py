"""The ends of what can be negotiated, with real data: 128 presentation contexts, and maximum lengths of all kinds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from tests.dicomnet.net.nets import (
    CONFIGURATION,
    STUDY_ROOT_GET,
    Net,
    ask_for,
    associated,
    serving,
    store,
)
from tests.dicomnet.net.test_pynetdicom_as_scp import Archive
from tests.dicomnet.net.test_pynetdicom_as_scu import an_object, encoded, query, scu
from tests.dicomnet.pair import CT_STORAGE, EXPLICIT, IMPLICIT, STUDY_ROOT_FIND

from dicomnet import ContextResult, NetConfiguration, SupportedAbstractSyntax

SOP_CLASSES = [f"1.2.826.0.1.3680043.8.498.{number}" for number in range(128)]
DATA_TF = 4

# 128 presentation contexts.


class Wide(Net):
    """Knows all SOP classes but every third."""

    def supports(self, abstract_syntax: str) -> SupportedAbstractSyntax | ContextResult:
        if abstract_syntax in SOP_CLASSES[::3]:
            return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
        return SupportedAbstractSyntax(transfer_syntaxes=(EXPLICIT, IMPLICIT))


ACCEPTED = [uid for uid in SOP_CLASSES if uid not in SOP_CLASSES[::3]]


def test_every_context_of_128_is_answered_and_can_be_used() -> None:
    server, client = Wide(), Net()
    with serving(server) as address, associated(client, address, ask_for(SOP_CLASSES)):
        assert client.association is not None
        contexts = client.association.presentation_contexts
        assert {number: context.abstract_syntax for number, context in contexts.items()} == {
            2 * SOP_CLASSES.index(uid) + 1: uid for uid in ACCEPTED
        }
        for number, context in contexts.items():
            assert client.c_store(context, f"1.2.3.{number}", number.to_bytes(2, "big")).status == 0x0000
    assert server.objects == {f"1.2.3.{number}": number.to_bytes(2, "big") for number in contexts}


def test_pynetdicom_proposes_128() -> None:
    server = Wide()
    entity = AE(ae_title="PYNETDICOM")
    for uid in SOP_CLASSES:
        entity.add_requested_context(uid, EXPLICIT)
    last = an_object(1)
    last.SOPClassUID = ACCEPTED[-1]
    with serving(server) as address:
        association = entity.associate(*address)
        try:
            assert [str(context.abstract_syntax) for context in association.accepted_contexts] == ACCEPTED
            assert len(association.rejected_contexts) == len(SOP_CLASSES) - len(ACCEPTED)
            assert association.send_c_store(last).Status == 0x0000
        finally:
            association.release()
            entity.shutdown()
    assert server.objects == {"1.2.3.1": encoded(last)}


def test_pynetdicom_answers_128() -> None:
    """It stores no classes but those that it knows by name."""
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts[:128]]
    known = [uid for uid in classes if uid not in classes[::3]]
    stored: list[tuple[int, str]] = []

    def keep(event: evt.Event) -> int:
        stored.append((event.context.context_id, str(event.request.AffectedSOPClassUID)))
        return 0x0000

    entity, client = AE(ae_title="ARCHIVE"), Net()
    for uid in known:
        entity.add_supported_context(uid, EXPLICIT)
    listener = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    assert listener is not None
    try:
        with associated(client, listener.socket.getsockname(), ask_for(classes)):
            assert client.association is not None
            contexts = list(client.association.presentation_contexts.values())
            assert [context.abstract_syntax for context in contexts] == known
            for context in (contexts[0], contexts[-1]):
                assert client.c_store(context, "1.2.3", b"\0\0").status == 0x0000
    finally:
        listener.shutdown()
    assert stored == [(3, known[0]), (2 * classes.index(known[-1]) + 1, known[-1])]


# Maximum lengths.

MAXIMUM_LENGTHS = [0, 8, 9, 127, 4096, 4097, 16383, 262144]
LARGE = 600_000


class Measuring(Net):
    """Notes how long the P-DATA-TF are that come in."""

    def on_receive(self, error: Exception | None, pdu_type: int, pdu: bytes) -> None:
        if pdu_type == DATA_TF:
            self.journal.note("length", len(pdu) - 6)


def lengths(net: Net) -> list[int]:
    """The PDU-length fields so far."""
    return [length for length in net.journal.of("length") if isinstance(length, int)]


def content(maximum_length: int) -> bytes:
    """Data for more than a few PDUs of this length; an odd number of them, of an even length."""
    length = min(LARGE, maximum_length * 100 + 2) if maximum_length else LARGE
    return bytes(number % 251 for number in range(length & ~1))


@pytest.mark.parametrize(
    ("to_server", "to_client"), list(zip(MAXIMUM_LENGTHS, reversed(MAXIMUM_LENGTHS), strict=True))
)
def test_each_side_is_sent_what_it_can_receive(to_server: int, to_client: int) -> None:
    sent = content(to_server)
    server = Measuring(replace(CONFIGURATION, maximum_length=to_server))
    client = Measuring()
    with (
        serving(server) as address,
        associated(client, address, ask_for(maximum_length=to_client)),
    ):
        assert store(client, "1.2.3", sent) == 0x0000
        assert server.objects == {"1.2.3": sent}
        server.objects["1.2.3"] = back = content(to_client)
        (_, found), (final, _) = client.c_find(client.context_for(STUDY_ROOT_FIND), b"\0" * 8)
        assert (final.status, found) == (0x0000, back)
    for net, maximum_length, data in ((server, to_server, sent), (client, to_client, back)):
        longest = max(lengths(net))
        assert maximum_length == 0 or longest <= maximum_length
        # Not needlessly short either: fragments have even lengths, so that one byte may stay unused.
        assert longest >= min(len(data) // 3, maximum_length - 1 if maximum_length else 65536)


@pytest.mark.parametrize("maximum_length", [7 * 256 + 1, 4096, 4097, 16383, 0])
def test_pynetdicom_gets_what_it_can_receive(maximum_length: int) -> None:
    """C-GET, in which each side sends data of its own."""
    large = encoded(an_object(1, extra=LARGE))
    stored: list[bytes] = []

    def keep(event: evt.Event) -> int:
        stored.append(event.request.DataSet.getvalue())
        return 0x0000

    received: list[int] = []

    def measure(event: evt.Event) -> None:
        if event.data[0] == DATA_TF:
            received.append(len(event.data) - 6)

    role = build_role(CT_STORAGE, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_STORE, keep), (evt.EVT_DATA_RECV, measure)]
    with (
        serving(Net(objects={"1.2.3.1": large})) as address,
        scu(address, maximum_length=maximum_length, ext_neg=[role], evt_handlers=handlers) as association,
    ):
        *_, (final, _) = association.send_c_get(query(), STUDY_ROOT_GET)
    assert final.Status == 0x0000
    assert stored == [large]
    assert maximum_length == 0 or maximum_length - 1 <= max(received) <= maximum_length


@pytest.mark.parametrize("maximum_length", [7 * 256 + 1, 4097, 16383])
def test_pynetdicom_stores_in_what_we_can_receive(maximum_length: int) -> None:
    """Its fragments may be odd; what they make up is what counts."""
    server = Measuring(NetConfiguration(maximum_length=maximum_length, timeouts=CONFIGURATION.timeouts))
    sent = an_object(1, extra=LARGE)
    with serving(server) as address, scu(address) as association:
        assert association.send_c_store(sent).Status == 0x0000
    assert server.objects == {"1.2.3.1": encoded(sent)}
    assert max(lengths(server)) <= maximum_length


@pytest.mark.parametrize("maximum_length", [7 * 256 + 1, 4097, 16383, 0])
def test_pynetdicom_sends_us_what_we_can_receive(maximum_length: int) -> None:
    def one_large(event: evt.Event) -> list[tuple[int, Dataset]]:
        return [(0xFF00, an_object(1, extra=LARGE))]

    archive, client = Archive(), Measuring()
    archive.count = 1
    archive._answers = one_large  # type: ignore[assignment, method-assign]
    request = ask_for(as_storage_scp=True, maximum_length=maximum_length)
    with archive.serving() as address, associated(client, address, request):
        *_, (final, _) = client.c_get(client.context_for(STUDY_ROOT_GET), encoded(query()))
    assert final.status == 0x0000
    assert client.objects == {"1.2.3.1": encoded(an_object(1, extra=LARGE))}
    assert maximum_length == 0 or max(lengths(client)) <= maximum_length
