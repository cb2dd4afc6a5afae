"""pynetdicom as a client: store, find, get, move, and the received bytes as they came."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_context, build_role, evt
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from support.instance import Instance, read_dataset
from support.server import AE_TITLE, PacsdServer

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from pynetdicom.association import Association

CALLING_AE_TITLE = "TESTSCU"
PATIENT_ROOT = {
    "find": "1.2.840.10008.5.1.4.1.2.1.1",
    "move": "1.2.840.10008.5.1.4.1.2.1.2",
    "get": "1.2.840.10008.5.1.4.1.2.1.3",
}
STUDY_ROOT = {
    "find": "1.2.840.10008.5.1.4.1.2.2.1",
    "move": "1.2.840.10008.5.1.4.1.2.2.2",
    "get": "1.2.840.10008.5.1.4.1.2.2.3",
}
PATIENT_STUDY_ONLY = {
    "find": "1.2.840.10008.5.1.4.1.2.3.1",
    "move": "1.2.840.10008.5.1.4.1.2.3.2",
    "get": "1.2.840.10008.5.1.4.1.2.3.3",
}
VERIFICATION = "1.2.840.10008.1.1"
QUERY_OPTIONS = (
    "relational",
    "combined_date_time",
    "fuzzy_names",
    "timezone",
    "conversion",
    "empty_values",
    "multiple_values",
)
"""What the bytes of extended negotiation are about (PS3.4 C.5.1.1); retrieves have the first and the fifth."""
TIMEOUT = 30
NO_RESPONSE = -1
StoreHandler = Callable[[evt.Event], int]

# A path given to send_c_store then goes out as the file's bytes, neither decoded nor encoded again.
_config.STORE_SEND_CHUNKED_DATASET = True


@dataclass(frozen=True, slots=True)
class Received:
    """One instance as a C-STORE brought it to us."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes
    originator_ae_title: str | None
    originator_message_id: int | None

    def read(self) -> Dataset:
        """The data set as pydicom reads it."""
        return read_dataset(self.dataset, self.transfer_syntax_uid)


@dataclass(slots=True)
class Inbox:
    """What a storage SCP of ours has received, by SOP Instance UID; a second copy of one is refused."""

    received: dict[str, Received] = field(default_factory=dict)

    def keep(self, event: evt.Event) -> int:
        """Keep the event's instance and answer Success."""
        request = event.request
        uid = str(request.AffectedSOPInstanceUID)
        if uid in self.received:
            return 0x0111
        self.received[uid] = Received(
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=uid,
            transfer_syntax_uid=str(event.context.transfer_syntax),
            dataset=request.DataSet.getvalue(),
            originator_ae_title=request.MoveOriginatorApplicationEntityTitle,
            originator_message_id=request.MoveOriginatorMessageID,
        )
        return 0x0000


@dataclass(frozen=True, slots=True)
class Outcome:
    """All responses to one C-FIND, C-GET or C-MOVE request."""

    pending: list[tuple[Dataset, Dataset | None]]
    final: Dataset
    identifier: Dataset | None

    @property
    def status(self) -> int:
        """Of the final response; fails where there was none."""
        assert "Status" in self.final, "the association ended without a final response"
        return int(self.final.Status)

    @property
    def error_comment(self) -> str:
        """Of the final response, "" if none."""
        return str(self.final.get("ErrorComment", ""))

    @property
    def matches(self) -> list[Dataset]:
        """The identifiers of a C-FIND's pending responses."""
        found = [identifier for _, identifier in self.pending]
        assert None not in found, "a pending C-FIND response without identifier"
        return [identifier for identifier in found if identifier is not None]

    @property
    def counts(self) -> tuple[int, int, int]:
        """(completed, failed, warning) of a retrieve's final response."""
        return (
            int(self.final.NumberOfCompletedSuboperations),
            int(self.final.NumberOfFailedSuboperations),
            int(self.final.NumberOfWarningSuboperations),
        )

    @property
    def failed_uids(self) -> set[str]:
        """Failed SOP Instance UID List of the final response."""
        if self.identifier is None or "FailedSOPInstanceUIDList" not in self.identifier:
            return set()
        value = self.identifier["FailedSOPInstanceUIDList"].value
        return {str(uid) for uid in ([value] if isinstance(value, str) else value)}


@contextmanager
def association(
    server: PacsdServer,
    contexts: Iterable[tuple[str, Sequence[str]]],
    *,
    calling: str = CALLING_AE_TITLE,
    called: str = AE_TITLE,
    on_store: StoreHandler | None = None,
    tls: ssl.SSLContext | None = None,
    port: int | None = None,
    negotiated: Sequence[Any] = (),
) -> Iterator[Association]:
    """Associate with one presentation context for each (abstract syntax, transfer syntaxes).

    With `on_store`, the SCP role is asked for in every storage context, as C-GET needs it; `negotiated` are further
    items of user information. Fails unless the association is accepted.
    """
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT
    requested = [build_context(abstract, list(transfers)) for abstract, transfers in contexts]
    storage = {str(context.abstract_syntax) for context in requested} - _services()
    roles = [build_role(uid, scu_role=True, scp_role=True) for uid in sorted(storage)] if on_store else []
    handlers: list[Any] = [(evt.EVT_CONN_OPEN, _send_at_once)]
    if on_store:
        handlers.append((evt.EVT_C_STORE, on_store))
    peer = entity.associate(
        server.host,
        port or server.port,
        requested,
        ae_title=called,
        ext_neg=[*roles, *negotiated],
        evt_handlers=handlers,
        tls_args=(tls, server.host) if tls else None,
    )
    try:
        assert peer.is_established, f"rejected={peer.is_rejected} aborted={peer.is_aborted}"
        yield peer
        if peer.is_established:
            peer.release()
    finally:
        if peer.is_established:
            peer.abort()
        if peer.is_alive():
            peer.join(TIMEOUT)


def _send_at_once(event: evt.Event) -> None:
    """Send a data set though its command is not acknowledged yet, for which some peers take 40 ms."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def own_contexts(instances: Iterable[Instance]) -> list[tuple[str, list[str]]]:
    """One context for each pair of SOP class and transfer syntax among the instances."""
    pairs = {(instance.sop_class_uid, instance.transfer_syntax_uid) for instance in instances}
    return [(abstract, [transfer]) for abstract, transfer in sorted(pairs)]


def send_all(
    server: PacsdServer, instances: Sequence[Instance], folder: Path, **options: Any
) -> dict[str, int]:
    """C-STORE every instance in its own transfer syntax, as its bytes are; statuses by instance name.

    NO_RESPONSE stands for an instance at which the association broke; the rest goes over another one. `options` as for
    `association`.
    """
    statuses: dict[str, int] = {}
    remaining = list(instances)
    while remaining:
        with association(server, own_contexts(remaining), **options) as peer:
            while remaining and peer.is_established:
                instance = remaining.pop(0)
                path = instance.write_file(folder / "instance.dcm")
                answer = peer.send_c_store(path, msg_id=len(statuses) + 1)
                statuses[instance.name] = int(answer.get("Status", NO_RESPONSE))
    return statuses


def find(
    server: PacsdServer, identifier: Dataset, *, model: str = STUDY_ROOT["find"], **options: Any
) -> Outcome:
    """One C-FIND on an association of its own; `options` as for `association`."""
    with association(server, [(model, _plain())], **options) as peer:
        return collect(peer.send_c_find(identifier, model))


def get(
    server: PacsdServer,
    identifier: Dataset,
    storage_contexts: Iterable[tuple[str, Sequence[str]]],
    *,
    model: str = STUDY_ROOT["get"],
    **options: Any,
) -> tuple[Outcome, Inbox]:
    """One C-GET that receives through these storage contexts; `options` as for `association`."""
    inbox = Inbox()
    contexts = [(model, _plain()), *storage_contexts]
    with association(server, contexts, on_store=inbox.keep, **options) as peer:
        return collect(peer.send_c_get(identifier, model)), inbox


def move(
    server: PacsdServer,
    identifier: Dataset,
    destination: str,
    *,
    model: str = STUDY_ROOT["move"],
    **options: Any,
) -> Outcome:
    """One C-MOVE to the AE title `destination`; `options` as for `association`."""
    with association(server, [(model, _plain())], **options) as peer:
        return collect(peer.send_c_move(identifier, destination, model, msg_id=77))


def extended(uid: str, information: bytes) -> SOPClassExtendedNegotiation:
    """The item that offers this for a SOP class (56H)."""
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = uid
    item.service_class_application_information = information
    return item


def offered_options(uid: str, options: Iterable[str]) -> SOPClassExtendedNegotiation:
    """The item that offers these of `QUERY_OPTIONS` for a query SOP class."""
    wanted = set(options)
    return extended(uid, bytes(name in wanted for name in QUERY_OPTIONS))


def collect(responses: Iterator[tuple[Dataset, Dataset | None]]) -> Outcome:
    """Read all responses; no response may follow a final one."""
    pending: list[tuple[Dataset, Dataset | None]] = []
    final, final_identifier = Dataset(), None
    for status, identifier in responses:
        assert "Status" not in final, "a response after the final one"
        if "Status" in status and status.Status in (0xFF00, 0xFF01):
            pending.append((status, identifier))
        else:
            final, final_identifier = status, identifier
    return Outcome(pending, final, final_identifier)


def keys(level: str, **values: str | list[str] | None) -> Dataset:
    """A query or retrieve identifier; None asks for the attribute back."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(identifier, keyword, "" if value is None else value)
    return identifier


def image_keys(instance: Instance) -> Dataset:
    """The identifier that retrieves this one instance in Study Root."""
    return keys(
        "IMAGE",
        StudyInstanceUID=instance.study_instance_uid,
        SeriesInstanceUID=instance.series_instance_uid,
        SOPInstanceUID=instance.sop_instance_uid,
    )


def _plain() -> list[str]:
    return ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]


def _services() -> set[str]:
    return {VERIFICATION, *PATIENT_ROOT.values(), *STUDY_ROOT.values(), *PATIENT_STUDY_ONLY.values()}
