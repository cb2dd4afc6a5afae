"""A DICOM requestor that owes nothing to any library: it sends what it is told, right or wrong."""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from support.instance import IMPLEMENTATION_CLASS_UID, Instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
RELEASE_REQUEST = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
FRAGMENT_SIZE = 16000
C_STORE_RQ, C_STORE_RSP, C_FIND_RQ, C_CANCEL_RQ = 0x0001, 0x8001, 0x0020, 0x0FFF
DATA_SET, NO_DATA_SET = 0x0001, 0x0101


class ConnectionLostError(Exception):
    """The server closed or reset the connection."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response message's command set, by element number of group 0000."""

    elements: dict[int, bytes]

    @property
    def status(self) -> int:
        return int.from_bytes(self.elements[0x0900], "little")

    @property
    def message_id(self) -> int:
        """Of the request that is answered."""
        return int.from_bytes(self.elements[0x0120], "little")

    @property
    def error_comment(self) -> str:
        return self.elements.get(0x0902, b"").decode("ascii").strip()


@dataclass(frozen=True, slots=True)
class Pdu:
    """A received PDU's type and body."""

    type: int
    body: bytes


def item(kind: int, body: bytes) -> bytes:
    """An item with a two-byte length (PS3.8 §9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_request(
    called: str, calling: str, contexts: Sequence[tuple[int, str, str]], user_items: bytes = b""
) -> bytes:
    """An A-ASSOCIATE-RQ with one transfer syntax for each (context ID, abstract syntax, transfer syntax).

    `user_items` are further items of the user information, such as `operations_window`.
    """
    body = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + calling.encode().ljust(16) + bytes(32)
    body += item(0x10, APPLICATION_CONTEXT.encode())
    for context_id, abstract, transfer in contexts:
        syntaxes = item(0x30, abstract.encode()) + item(0x40, transfer.encode())
        body += item(0x20, struct.pack(">BBBB", context_id, 0, 0, 0) + syntaxes)
    user_items = (
        item(0x51, struct.pack(">I", 65536)) + item(0x52, IMPLEMENTATION_CLASS_UID.encode()) + user_items
    )
    body += item(0x50, user_items)
    return struct.pack(">BBI", 1, 0, len(body)) + body


def operations_window(operations: int) -> bytes:
    """The item that asks to send so many requests before the first is answered (PS3.7 §D.3.3.3)."""
    return item(0x53, struct.pack(">HH", operations, 1))


def element(number: int, value: bytes | str | int) -> bytes:
    """A command element in Implicit VR Little Endian: text padded with zero, numbers as US."""
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode() + b"\x00" * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value


def command_set(*elements: bytes) -> bytes:
    """Elements behind their group length (PS3.7 §6.3.1)."""
    body = b"".join(elements)
    return element(0x0000, struct.pack("<I", len(body))) + body


def store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """The command set of a C-STORE-RQ."""
    return command_set(
        element(0x0002, sop_class_uid),
        element(0x0100, C_STORE_RQ),
        element(0x0110, message_id),
        element(0x0700, 0),
        element(0x0800, DATA_SET),
        element(0x1000, sop_instance_uid),
    )


def find_request(message_id: int, sop_class_uid: str) -> bytes:
    """The command set of a C-FIND-RQ."""
    return command_set(
        element(0x0002, sop_class_uid),
        element(0x0100, C_FIND_RQ),
        element(0x0110, message_id),
        element(0x0700, 0),
        element(0x0800, DATA_SET),
    )


def cancel_request(message_id: int) -> bytes:
    """The command set of a C-CANCEL-RQ."""
    return command_set(
        element(0x0100, C_CANCEL_RQ), element(0x0120, message_id), element(0x0800, NO_DATA_SET)
    )


def data_transfer(context_id: int, control: int, fragment: bytes) -> bytes:
    """A P-DATA-TF with one value; control is 1 for a command, plus 2 for the last fragment."""
    length = len(fragment)
    return struct.pack(">BBIIBB", 4, 0, length + 6, length + 2, context_id, control) + fragment


def message(context_id: int, command: bytes, dataset: bytes | None = None) -> bytes:
    """All PDUs of one message."""
    parts = [data_transfer(context_id, 3, command)]
    if dataset is not None:
        starts = range(0, max(len(dataset), 1), FRAGMENT_SIZE)
        for start in starts:
            last = 2 if start == starts[-1] else 0
            parts.append(data_transfer(context_id, last, dataset[start : start + FRAGMENT_SIZE]))
    return b"".join(parts)


def _connected(address: tuple[str, int], local: str) -> socket.socket:
    """Connect; a server that dies in between is a lost connection, none that listens a ConnectionRefusedError."""
    try:
        connected = socket.create_connection(
            address, timeout=30, source_address=(local, 0) if local else None
        )
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except ConnectionRefusedError:
        raise
    except OSError as error:
        raise ConnectionLostError(str(error)) from error
    return connected


class WireAssociation:
    """A connection that has asked for an association; what the server answers is `accept_or_reject`."""

    def __init__(
        self,
        address: tuple[str, int],
        contexts: Iterable[tuple[str, str]],
        *,
        called: str = "PACSD",
        calling: str = "WIRE",
        user_items: bytes = b"",
        local: str = "",
    ) -> None:
        """Connect, from the `local` address, and request contexts 1, 3, 5, ... for these (abstract syntax, transfer
        syntax) pairs.
        """
        self.context_ids = {context: 2 * place + 1 for place, context in enumerate(contexts)}
        proposed = [(number, *context) for context, number in self.context_ids.items()]
        self._socket = _connected(address, local)
        self._buffer = b""
        self._command = b""
        self._responses: deque[Response] = deque()
        try:
            self.send(associate_request(called, calling, proposed, user_items))
            self.accept_or_reject = self.read_pdu()
        except ConnectionLostError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, content: bytes) -> None:
        """Send bytes as they are."""
        try:
            self._socket.sendall(content)
        except OSError as error:
            raise ConnectionLostError(str(error)) from error

    def send_store(self, instance: Instance, message_id: int) -> None:
        """Send a C-STORE-RQ with its whole data set, and do not wait for the answer."""
        context_id = self.context_ids[instance.sop_class_uid, instance.transfer_syntax_uid]
        command = store_request(message_id, instance.sop_class_uid, instance.sop_instance_uid)
        self.send(message(context_id, command, instance.dataset))

    def store(self, instance: Instance, message_id: int = 1) -> Response:
        """C-STORE one instance; the response."""
        self.send_store(instance, message_id)
        return self.read_response()

    def context_results(self) -> dict[int, int]:
        """Result of each presentation context in the A-ASSOCIATE-AC, by context ID (PS3.8 §9.3.3.2)."""
        body, position, results = self.accept_or_reject.body, 68, {}
        while position < len(body):
            kind, length = struct.unpack_from(">BxH", body, position)
            if kind == 0x21:
                results[body[position + 4]] = body[position + 6]
            position += 4 + length
        return results

    def read_pdu(self) -> Pdu:
        """The next PDU."""
        kind, length = struct.unpack(">BxI", self._read(6))
        return Pdu(kind, self._read(length))

    def has_answer(self, within: float = 0.0) -> bool:
        """Whether the server has sent something, or does so within some seconds."""
        return bool(self._buffer or self._responses or select.select([self._socket], [], [], within)[0])

    def read_response(self) -> Response:
        """The next response message's command set; data sets are skipped."""
        while not self._responses:
            pdu = self.read_pdu()
            if pdu.type != 4:
                raise ConnectionLostError(f"PDU type {pdu.type} instead of a response: {pdu.body.hex()}")
            self._take_commands(pdu.body)
        return self._responses.popleft()

    def _take_commands(self, body: bytes) -> None:
        position = 0
        while position < len(body):
            length, _, control = struct.unpack_from(">IBB", body, position)
            if control & 1:
                self._command += body[position + 6 : position + 4 + length]
                if control & 2:
                    self._responses.append(Response(_elements(self._command)))
                    self._command = b""
            position += 4 + length

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                received = self._socket.recv(1 << 16)
            except OSError as error:
                raise ConnectionLostError(str(error)) from error
            if not received:
                raise ConnectionLostError("closed by the server")
            self._buffer += received
        content, self._buffer = self._buffer[:size], self._buffer[size:]
        return content

    def release(self) -> None:
        """Release and close; the server has to confirm (PS3.8 §7.2)."""
        self.send(RELEASE_REQUEST)
        answer = self.read_pdu()
        self.close()
        if answer.type != 6:
            raise ConnectionLostError(f"PDU type {answer.type} instead of A-RELEASE-RP")

    def close(self) -> None:
        """Close the connection without another word."""
        self._socket.close()


def store_responses(content: bytes) -> list[tuple[str, int]]:
    """SOP Instance UID and status of each C-STORE-RSP among whole PDUs; a command is one fragment here."""
    responses = []
    while content:
        kind, length = struct.unpack_from(">BxI", content)
        body, content = content[6 : 6 + length], content[6 + length :]
        if kind != 4 or not body[5] & 1:
            continue
        found = _elements(body[6 : 4 + int.from_bytes(body[:4], "big")])
        if int.from_bytes(found[0x0100], "little") == C_STORE_RSP:
            uid = found[0x1000].rstrip(b"\0").decode("ascii")
            responses.append((uid, int.from_bytes(found[0x0900], "little")))
    return responses


def _elements(command: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position < len(command):
        _, number, length = struct.unpack_from("<HHI", command, position)
        found[number] = command[position + 8 : position + 8 + length]
        position += 8 + length
    return found
