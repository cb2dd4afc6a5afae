"""The bytes of the protocol, encoded and decoded by hand, as little as the measurements need.

Deliberately not the engine's own code: a fault of the engine must not cancel out against itself, and what is sent in
the timed region is encoded before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

from harness.errors import WireError

Command = dict[int, bytes]
"""A command set: raw values by element number, all of group 0000."""

APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
IMPLEMENTATION_CLASS = b"2.25.100000000000000000000000000000000001"
IMPLEMENTATION_VERSION = b"BENCH_1"

EXPLICIT_LE = "1.2.840.10008.1.2.1"
IMPLICIT_LE = "1.2.840.10008.1.2"
VERIFICATION = "1.2.840.10008.1.1"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"

C_STORE_RQ, C_GET_RQ, C_FIND_RQ, C_MOVE_RQ, C_ECHO_RQ = 0x0001, 0x0010, 0x0020, 0x0021, 0x0030
RESPONSE = 0x8000
PENDING = (0xFF00, 0xFF01)
NO_DATASET = 0x0101

RELEASE_RQ = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
RELEASE_RP = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"
ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"


def item(kind: int, body: bytes) -> bytes:
    """Return an item of an association PDU (PS3.8 §9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def _association_pdu(kind: int, called: str, calling: str, items: bytes) -> bytes:
    body = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + calling.encode().ljust(16) + bytes(32)
    body += item(0x10, APPLICATION_CONTEXT) + items
    return struct.pack(">BBI", kind, 0, len(body)) + body


def _user_information(max_pdu: int, roles: bytes) -> bytes:
    user = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, IMPLEMENTATION_CLASS)
    return item(0x50, user + roles + item(0x55, IMPLEMENTATION_VERSION))


def associate_rq(
    called: str,
    calling: str,
    contexts: Iterable[tuple[int, str, Sequence[str]]],
    max_pdu: int = 131072,
    scp_roles: Sequence[str] = (),
) -> bytes:
    """Return an A-ASSOCIATE-RQ; of the SOP classes in `scp_roles` the requestor also takes the SCP role."""
    items = b""
    for context_id, abstract, syntaxes in contexts:
        context = struct.pack(">BBBB", context_id, 0, 0, 0) + item(0x30, abstract.encode())
        items += item(0x20, context + b"".join(item(0x40, each.encode()) for each in syntaxes))
    roles = b""
    for uid in scp_roles:
        raw = uid.encode()
        roles += item(0x54, struct.pack(">H", len(raw)) + raw + b"\x01\x01")
    return _association_pdu(1, called, calling, items + _user_information(max_pdu, roles))


def associate_ac(
    called: str, calling: str, accepted: Iterable[tuple[int, str]], max_pdu: int, roles: bytes = b""
) -> bytes:
    """Return an A-ASSOCIATE-AC that accepts these contexts; `roles` are the items as they were proposed."""
    items = b"".join(
        item(0x21, struct.pack(">BBBB", context_id, 0, 0, 0) + item(0x40, syntax.encode()))
        for context_id, syntax in accepted
    )
    return _association_pdu(2, called, calling, items + _user_information(max_pdu, roles))


def element(group: int, number: int, value: bytes) -> bytes:
    """Return one element in Implicit VR Little Endian, as command sets have them."""
    return struct.pack("<HHI", group, number, len(value)) + value


def command(*elements: bytes) -> bytes:
    """Return a command set with its group length."""
    body = b"".join(elements)
    return element(0, 0, struct.pack("<I", len(body))) + body


def us(number: int, value: int) -> bytes:
    """Return a command element of VR US."""
    return element(0, number, struct.pack("<H", value))


def ui(number: int, value: str | bytes) -> bytes:
    """Return a command element of VR UI."""
    raw = value.encode() if isinstance(value, str) else value
    return element(0, number, raw + b"\0" if len(raw) & 1 else raw)


def ae(number: int, value: str) -> bytes:
    """Return a command element of VR AE."""
    raw = value.encode()
    return element(0, number, raw + b" " if len(raw) & 1 else raw)


def pdata(context_id: int, control: int, fragment: bytes) -> bytes:
    """Return a P-DATA-TF PDU of one PDV (PS3.8 §9.3.5)."""
    length = len(fragment)
    return struct.pack(">BBIIBB", 4, 0, length + 6, length + 2, context_id, control) + fragment


def fragments(context_id: int, data: bytes, *, is_command: bool, max_pdu: int) -> bytes:
    """Return the P-DATA-TF PDUs of one part of a message, each within the negotiated length."""
    step, base = max_pdu - 6, int(is_command)
    return b"".join(
        pdata(context_id, base | (2 if start + step >= len(data) else 0), data[start : start + step])
        for start in range(0, max(len(data), 1), step)
    )


def pdu_writes(parts: Sequence[bytes]) -> list[list[memoryview]]:
    """Cut a message into the writes of an ordinary client: of each P-DATA-TF the headers, 12 bytes, then the rest."""
    left = [memoryview(part) for part in parts if part]
    writes = []
    while left:
        header = _take(left, 12)
        length = int.from_bytes(b"".join(header)[2:6], "big")
        writes += [header, _take(left, length - 6)]
    return [write for write in writes if write]


def _take(left: list[memoryview], count: int) -> list[memoryview]:
    taken = []
    while count and left:
        piece = left[0][:count]
        taken.append(piece)
        count -= len(piece)
        left[0] = left[0][len(piece) :]
        if not left[0]:
            del left[0]
    if count:
        raise WireError("the message ends within a PDU")
    return taken


def store_command(sop_class: str, sop_uid: bytes, message_id: int) -> bytes:
    """Return the command set of a C-STORE-RQ (PS3.7 §9.3.1)."""
    return command(
        ui(0x0002, sop_class), us(0x0100, C_STORE_RQ), us(0x0110, message_id),
        us(0x0700, 0), us(0x0800, 1), ui(0x1000, sop_uid),
    )  # fmt: skip


def store_rsp(context_id: int, message_id: int, sop_class: bytes, sop_uid: bytes, status: int = 0) -> bytes:
    """Return a whole C-STORE-RSP."""
    answer = command(
        ui(0x0002, sop_class), us(0x0100, C_STORE_RQ | RESPONSE), us(0x0120, message_id),
        us(0x0800, NO_DATASET), us(0x0900, status), ui(0x1000, sop_uid),
    )  # fmt: skip
    return pdata(context_id, 3, answer)


def echo_rq(context_id: int, message_id: int = 1) -> bytes:
    """Return a whole C-ECHO-RQ."""
    request = command(
        ui(0x0002, VERIFICATION), us(0x0100, C_ECHO_RQ), us(0x0110, message_id), us(0x0800, NO_DATASET)
    )
    return pdata(context_id, 3, request)


def echo_rsp(context_id: int, request: Command) -> bytes:
    """Return the C-ECHO-RSP to a request."""
    answer = command(
        ui(0x0002, request[0x0002].rstrip(b"\0")), us(0x0100, C_ECHO_RQ | RESPONSE),
        us(0x0120, u16(request[0x0110])), us(0x0800, NO_DATASET), us(0x0900, 0),
    )  # fmt: skip
    return pdata(context_id, 3, answer)


def query_rq(
    sop_class: str,
    field: int,
    identifier: bytes,
    max_pdu: int,
    message_id: int = 1,
    destination: str | None = None,
) -> bytes:
    """Return a whole C-FIND-RQ, C-GET-RQ or C-MOVE-RQ on context 1."""
    parts = [ui(0x0002, sop_class), us(0x0100, field), us(0x0110, message_id)]
    if destination is not None:
        parts.append(ae(0x0600, destination))
    parts += [us(0x0700, 0), us(0x0800, 1)]
    request = fragments(1, command(*parts), is_command=True, max_pdu=max_pdu)
    return request + fragments(1, identifier, is_command=False, max_pdu=max_pdu)


def parse_command(data: bytes | memoryview) -> Command:
    """Return the elements of a command set."""
    found, at = {}, 0
    while at + 8 <= len(data):
        _group, number, length = struct.unpack_from("<HHI", data, at)
        found[number] = bytes(data[at + 8 : at + 8 + length])
        at += 8 + length
    return found


def u16(raw: bytes) -> int:
    """Return the value of a US."""
    return int.from_bytes(raw, "little")


def _items(body: bytes, at: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (type, value, whole item)."""
    while at + 4 <= len(body):
        kind, _, length = struct.unpack_from(">BBH", body, at)
        yield kind, body[at + 4 : at + 4 + length], body[at : at + 4 + length]
        at += 4 + length


def parse_associate_ac(body: bytes) -> tuple[int, dict[int, str]]:
    """Return the maximum length and the accepted transfer syntax by context ID."""
    max_pdu, accepted = 0, {}
    for kind, value, _ in _items(body, 68):
        if kind == 0x21 and value[2] == 0:
            accepted[value[0]] = next(_items(value, 4))[1].rstrip(b"\0").decode()
        elif kind == 0x50:
            max_pdu = next((int.from_bytes(v, "big") for k, v, _ in _items(value, 0) if k == 0x51), 0)
    return max_pdu, accepted


def parse_associate_rq(body: bytes) -> tuple[str, str, list[tuple[int, list[str]]], bytes]:
    """Return called and calling AE title, (context ID, transfer syntaxes) and the role selection items."""
    called, calling = body[4:20].strip().decode(), body[20:36].strip().decode()
    contexts, roles = [], b""
    for kind, value, _ in _items(body, 68):
        if kind == 0x20:
            syntaxes = [v.rstrip(b"\0").decode() for k, v, _ in _items(value, 4) if k == 0x40]
            contexts.append((value[0], syntaxes))
        elif kind == 0x50:
            roles += b"".join(whole for k, _, whole in _items(value, 0) if k == 0x54)
    return called, calling, contexts, roles
