"""Two protocol connections wired to each other in memory, and what to say on them."""

from __future__ import annotations

from dicomnet.connection import Connection, ConnectionEvent
from dicomnet.dimse.command_set import CommandSet
from dicomnet.dimse.events import DatasetFragment
from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import Message
from dicomnet.limits import Limits
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.negotiation import own_user_information
from dicomnet.upper_layer.writer import write_pdu

VERIFICATION = "1.2.840.10008.1.1"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

VERIFICATION_CONTEXT = 1
STORAGE_CONTEXT = 3
REJECTED_CONTEXT = 5
UNKNOWN_CONTEXT = 99


def associate_request(*, maximum_length: int = 16384, protocol_version: int = 1) -> pdu.AssociateRequest:
    contexts = (
        (VERIFICATION_CONTEXT, VERIFICATION),
        (STORAGE_CONTEXT, CT_STORAGE),
        (REJECTED_CONTEXT, STUDY_ROOT_FIND),
    )
    return pdu.AssociateRequest(
        called_ae_title="ARCHIVE",
        calling_ae_title="MODALITY",
        presentation_contexts=tuple(
            pdu.ProposedPresentationContext(
                context_id=context_id, abstract_syntax=abstract_syntax, transfer_syntaxes=(IMPLICIT,)
            )
            for context_id, abstract_syntax in contexts
        ),
        user_information=own_user_information(maximum_length=maximum_length),
        protocol_version=protocol_version,
    )


def associate_accept(*, maximum_length: int = 16384) -> pdu.AssociateAccept:
    """The answer to `associate_request`: two contexts are accepted, the last is not."""
    results = ((VERIFICATION_CONTEXT, 0), (STORAGE_CONTEXT, 0), (REJECTED_CONTEXT, 3))
    return pdu.AssociateAccept(
        called_ae_title="ARCHIVE",
        calling_ae_title="MODALITY",
        presentation_contexts=tuple(
            pdu.PresentationContextResult(context_id=context_id, result=result, transfer_syntax=IMPLICIT)
            for context_id, result in results
        ),
        user_information=own_user_information(maximum_length=maximum_length),
    )


def pdv(data: bytes, *, context_id: int = STORAGE_CONTEXT, command: bool = False, last: bool = True) -> bytes:
    """Return one P-DATA-TF with one PDV, legal or not."""
    value = pdu.PresentationDataValue(context_id=context_id, is_command=command, is_last=last, data=data)
    return write_pdu(pdu.DataTransfer((value,)))


def take_events(connection: Connection) -> list[ConnectionEvent]:
    """Take all events, with data sets copied out of the receive buffer."""
    events = []
    while (event := connection.next_event()) is not None:
        if isinstance(event, DatasetFragment):
            event = DatasetFragment(bytes(event.data), event.is_last)
        events.append(event)
    return events


def take_output(connection: Connection) -> bytes:
    return b"".join(connection.data_to_send())


def send(
    connection: Connection, context_id: int, message: Message | CommandSet, dataset: Dataset | None = None
) -> bytes:
    """Return the bytes of one message."""
    writes = connection.send_message(context_id, message, dataset)
    return b"".join(buffer for buffers in writes for buffer in map(bytes, buffers))


def merged(events: list[ConnectionEvent]) -> list[ConnectionEvent]:
    """Join the pieces of each data set: where reads and PDVs ended is forgotten, nothing else."""
    result: list[ConnectionEvent] = []
    for event in events:
        before = result[-1] if result else None
        if isinstance(event, DatasetFragment) and isinstance(before, DatasetFragment) and not before.is_last:
            result[-1] = DatasetFragment(bytes(before.data) + bytes(event.data), event.is_last)
        else:
            result.append(event)
    return result


class AssociationPair:
    """A requestor and an acceptor; bytes go over when `exchange` says so."""

    def __init__(
        self, *, requestor_maximum: int = 16384, acceptor_maximum: int = 16384, limits: Limits | None = None
    ) -> None:
        self.requestor = Connection(is_requestor=True, limits=limits)
        self.acceptor = Connection(is_requestor=False, limits=limits)
        self._requestor_maximum = requestor_maximum
        self._acceptor_maximum = acceptor_maximum

    @classmethod
    def associated(
        cls, *, requestor_maximum: int = 16384, acceptor_maximum: int = 16384, limits: Limits | None = None
    ) -> AssociationPair:
        """Return a pair with a standing association, and no events left."""
        pair = cls(requestor_maximum=requestor_maximum, acceptor_maximum=acceptor_maximum, limits=limits)
        pair.request()
        pair.acceptor.accept(associate_accept(maximum_length=acceptor_maximum))
        pair.exchange()
        assert pair.requestor.is_associated
        assert pair.acceptor.is_associated
        take_events(pair.requestor)
        return pair

    def request(self, *, protocol_version: int = 1) -> list[ConnectionEvent]:
        """Ask for the association; return what the acceptor is told."""
        request = associate_request(maximum_length=self._requestor_maximum, protocol_version=protocol_version)
        self.acceptor.transport_accepted()
        self.requestor.request_association(request)
        self.requestor.transport_connected()
        self.exchange()
        return take_events(self.acceptor)

    def exchange(self) -> None:
        """Carry what both have to send, until nobody has any more."""
        while True:
            to_acceptor, to_requestor = take_output(self.requestor), take_output(self.acceptor)
            if not to_acceptor and not to_requestor:
                return
            self.acceptor.receive_data(to_acceptor)
            self.requestor.receive_data(to_requestor)

    def side(self, name: str) -> tuple[Connection, Connection]:
        """Return ("requestor" or "acceptor", the other)."""
        sides = (self.requestor, self.acceptor)
        return sides if name == "requestor" else sides[::-1]


def is_ending(event: ConnectionEvent) -> bool:
    """Nothing follows such an event but the end of the transport connection."""
    return isinstance(event, ul.AbortReceived | ul.ProtocolViolated | ul.TransportLost | ul.ReleaseConfirmed)
