"""What is fuzzed: each target takes any bytes and returns; whatever it raises is a finding.

Documented refusals are caught here, and nothing else is.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from dicomnet.connection import Connection
from dicomnet.dimse.command_set import read_command_set
from dicomnet.dimse.events import DatasetFragment
from dicomnet.dimse.messages import read_message
from dicomnet.errors import RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer.negotiation import SupportedAbstractSyntax, answer_request, own_user_information
from dicomnet.upper_layer.pdu import (
    Abort,
    AssociateAccept,
    AssociateRequest,
    PduType,
    ProposedPresentationContext,
)
from dicomnet.upper_layer.reader import read_pdu
from dicomnet.upper_layer.states import State
from dicomnet.upper_layer.user_identity import IdentityAccepted, identity_response
from dicomnet.upper_layer.writer import write_pdu
from fuzz import seeds
from pacsd.dataset.budgets import Budgets
from pacsd.dataset.decoding import decode_attributes
from pacsd.dataset.header import examine
from pacsd.dataset.identifier import read_identifier
from pacsd.dataset.part10 import read_part10
from pacsd.dataset.transcode import Transcoder
from pacsd.decoder.pool import DecoderPool
from pacsd.errors import DatasetInvalid, IdentifierInvalid, TranscodingFailed
from support.archive_server import ArchiveServer, archive_server
from support.instance import part10_header
from support.memory_store import MemoryObject

Run = Callable[[bytes], None]
LIMITS = Limits()
ANSWER_SECONDS = 10.0
DECODING_SECONDS = 5.0
LONGEST_STREAM = 1 << 15
"""Bytes that a pair of sockets surely takes while nobody reads."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target: a context in which it runs, and where the mutator starts from."""

    open: Callable[[], AbstractContextManager[Run]]
    seeds: Callable[[], Sequence[bytes]]


def read_one_pdu(data: bytes) -> None:
    """A PDU of any type, all of it at hand."""
    try:
        read_pdu(data[0] if data else 0, data[1:], LIMITS)
    except RemoteProtocolError as refusal:
        write_pdu(Abort(source=2, reason=refusal.reason))


def read_one_command_set(data: bytes) -> None:
    """A command set, then the message that it stands for."""
    try:
        read_message(read_command_set(data))
    except RemoteProtocolError as refusal:
        write_pdu(Abort(source=2, reason=refusal.reason))


def feed_acceptor(data: bytes) -> None:
    """A whole connection, which accepts whatever is asked for."""
    connection = Connection(is_requestor=False)
    connection.transport_accepted()
    _feed(connection, data)


def feed_requestor(data: bytes) -> None:
    """A whole connection that has asked for what the recorded ones asked for."""
    connection = Connection(is_requestor=True)
    connection.request_association(_recorded_request())
    connection.transport_connected()
    _feed(connection, data)


def _feed(connection: Connection, data: bytes) -> None:
    """Feed in pieces of uneven size; at the end all that came is accounted for."""
    events, fragments = 0, 0
    for piece in _pieces(data):
        connection.receive_data(piece)
        while (event := connection.next_event()) is not None:
            events += 1
            if connection.state is State.AWAITING_TRANSPORT_CLOSE or connection.should_close:
                continue  # the end came in the same piece; there is nothing to answer
            if isinstance(event, ul.AssociateRequested):
                connection.accept(_answer(event.request))
            elif isinstance(event, ul.ReleaseRequested):
                connection.respond_release()
            elif isinstance(event, DatasetFragment):
                fragments += len(event.data)
        connection.data_to_send()
    assert fragments <= len(data)
    assert events <= len(data) + 2
    connection.transport_closed()
    assert connection.should_close
    assert not connection.is_associated


def _answer(request: AssociateRequest) -> AssociateAccept:
    """Accept as much of a request as can be; some of what it says comes back."""
    return answer_request(
        request,
        lambda _: _ANYTHING,
        maximum_length=16384,
        extended=lambda asked: asked.information[:8],
        user_identity_response=identity_response(request.user_information.user_identity, _VERIFIED),
    )


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut off the first PDU, which has to be answered before more may come, and the rest by what its end says."""
    first = 6 + int.from_bytes(data[2:6], "big")
    yield data[:first]
    rest = data[first:]
    size = max(1 + (data[-1] if data else 0) * 7, len(rest) // 100)
    for start in range(0, len(rest), size):
        yield rest[start : start + size]


_VERIFIED = IdentityAccepted(server_response=bytes(100))
_ANYTHING = SupportedAbstractSyntax(
    transfer_syntaxes=(*seeds.TRANSFER_SYNTAXES, "1.2.840.10008.1.2.4.50"), requestor_as_scp=True
)


def _recorded_request() -> AssociateRequest:
    stream = next(stream for stream in seeds.recorded("rq") if len(stream) > 10_000)
    length = int.from_bytes(stream[2:6], "big")
    request = read_pdu(PduType.ASSOCIATE_RQ, stream[6 : 6 + length], LIMITS)
    assert isinstance(request, AssociateRequest)
    return AssociateRequest(
        called_ae_title=request.called_ae_title,
        calling_ae_title=request.calling_ae_title,
        presentation_contexts=tuple(
            ProposedPresentationContext(
                context_id=number, abstract_syntax="1.2.840.10008.1.1", transfer_syntaxes=(syntax,)
            )
            for number, syntax in zip(range(1, 256, 2), seeds.TRANSFER_SYNTAXES * 32, strict=True)
        ),
        user_information=own_user_information(maximum_length=16384),
    )


def examine_header(data: bytes) -> None:
    """A data set as a C-STORE brings it, half of it at hand, and the decoding of what was found in it."""
    syntax, dataset = _with_syntax(data)
    prefix = dataset[: len(dataset) // 2]
    try:
        found = examine(prefix, len(dataset), lambda at, length: dataset[at : at + length], syntax)
        for value in decode_attributes(found).values():
            value.encode()
    except DatasetInvalid:
        return


def read_one_identifier(data: bytes) -> None:
    """A query's identifier."""
    syntax, dataset = _with_syntax(data)
    if syntax == seeds.TRANSFER_SYNTAXES[3]:
        return
    try:
        for element in read_identifier(dataset, syntax).elements:
            element.value.encode()
    except IdentifierInvalid:
        return


def _with_syntax(data: bytes) -> tuple[str, bytes]:
    return seeds.TRANSFER_SYNTAXES[(data[0] if data else 0) % 4], data[1:]


def read_file_meta(data: bytes) -> None:
    """A file's preamble and meta information."""
    try:
        found = read_part10(data)
    except DatasetInvalid:
        return
    assert 0 < found.dataset_offset <= len(data)


class _Unexpected(logging.Handler):
    """What the engine logs of exceptions that it had to stop."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.caught: list[BaseException | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.caught.append(record.exc_info[1] if record.exc_info else AssertionError(record.getMessage()))


@contextmanager
def _archive() -> Iterator[tuple[ArchiveServer, _Unexpected]]:
    handler = _Unexpected()
    logger = logging.getLogger("dicomnet")
    logger.addHandler(handler)
    try:
        with archive_server() as server:
            yield server, handler
    finally:
        logger.removeHandler(handler)


def _speak(peer: socket.socket, data: bytes) -> None:
    """Say the first PDU, hear the answer to it, say all the rest and hang up."""
    first, *rest = _pieces(data)
    try:
        peer.sendall(first)
        if rest and len(first) > 6:
            peer.settimeout(ANSWER_SECONDS)
            peer.recv(4096)
            peer.sendall(b"".join(rest))
        peer.shutdown(socket.SHUT_WR)
    except OSError:
        peer.close()  # the server has hung up before; that is its right


@contextmanager
def open_archive(*, services: Set[str] = frozenset()) -> Iterator[Run]:
    """The archive with its handlers, on one end of a pair of sockets; the other end has said all and hung up."""
    with _archive() as (server, unexpected):
        places = server.places.free
        reached: set[str] = set()

        def serve(data: bytes) -> None:
            peer, served = socket.socketpair()
            with peer, served:
                sender = threading.Thread(target=_speak, args=(peer, data[:LONGEST_STREAM]))
                sender.start()
                net = server.net.on_accept(("127.0.0.1", 1))
                net.serve(served, ("127.0.0.1", 1), server.net)
                sender.join()
            reached.update(str(kind) for kind, *_ in server.metrics.calls)
            for kept in (server.store.files, server.store.journal, server.store.durable):
                kept.clear()
            server.metrics.calls.clear()
            if unexpected.caught:
                raise AssertionError("an exception reached the engine") from unexpected.caught.pop()
            assert server.places.free == places, "the association keeps its place"
            assert not server.store.incoming, "a file is left in incoming"

        yield serve
        assert reached >= services, f"no recording came as far as {services - reached}"


@contextmanager
def open_conversion() -> Iterator[Run]:
    """A compressed image, decompressed for a peer, with decoders that have little time and memory."""
    decoders = DecoderPool(processes=1, seconds=DECODING_SECONDS, memory=1 << 28)
    transcoder = Transcoder(decoders, Budgets(frame=1 << 22, instance=1 << 24))
    converted = 0

    def convert(data: bytes) -> None:
        nonlocal converted
        syntax = seeds.COMPRESSED[(data[0] if data else 0) % len(seeds.COMPRESSED)]
        file = MemoryObject(part10_header("1.2.3", "1.2.3", syntax) + data[1:])
        try:
            converted += len(transcoder(file, [seeds.TRANSFER_SYNTAXES[1]])[1]) > 0
        except TranscodingFailed:
            return

    try:
        yield convert
    finally:
        decoders.close()
    assert converted >= len(seeds.COMPRESSED), "no image was converted"


TARGETS = {
    "pdu": Target(lambda: nullcontext(read_one_pdu), seeds.pdus),
    "command-set": Target(lambda: nullcontext(read_one_command_set), seeds.command_sets),
    "acceptor": Target(lambda: nullcontext(feed_acceptor), lambda: seeds.recorded("rq")),
    "requestor": Target(lambda: nullcontext(feed_requestor), lambda: seeds.recorded("ac")),
    "header": Target(lambda: nullcontext(examine_header), seeds.datasets),
    "identifier": Target(lambda: nullcontext(read_one_identifier), seeds.identifiers),
    "part10": Target(lambda: nullcontext(read_file_meta), seeds.files),
    "conversion": Target(open_conversion, seeds.images),
    "archive": Target(
        lambda: open_archive(services={"echo", "store", "find", "get"}), lambda: seeds.recorded("rq")
    ),
}
