"""C-GET and C-MOVE of a whole study."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from harness import wire
from harness.association import CALLING, Association
from harness.errors import WireError
from harness.instances import CT_IMAGE, MR_IMAGE, MULTI_FRAME_WORD, SYNTAXES, Instance
from harness.query import PDU, identifier, unique_keys
from harness.report import Row
from harness.server import DESTINATION_AE_TITLE, Destination, Server
from harness.templates import Template, read_back, template

_IMAGES = (CT_IMAGE, MR_IMAGE, MULTI_FRAME_WORD)
_COUNTERS = {"completed": 0x1021, "failed": 0x1022, "warning": 0x1023}


@dataclass
class Retrieved:
    """What one C-GET or C-MOVE brought."""

    instances: int = 0
    received: int = 0
    status: int = -1
    counters: dict[str, int] = field(default_factory=dict)
    kept: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Transfer syntax and data set by SOP Instance UID."""


def open_get(server: Server, timeout: float = 60.0) -> Association:
    """Return an association for C-GET of the harness's kinds of images in Explicit VR Little Endian."""
    contexts = [(1, wire.STUDY_GET, [wire.IMPLICIT_LE])]
    contexts += [(3 + 2 * n, uid, [SYNTAXES["explicit"]]) for n, uid in enumerate(_IMAGES)]
    request = wire.associate_rq(server.aet, CALLING, contexts, scp_roles=_IMAGES)
    return Association(server.port, request, timeout)


def _open_move(server: Server, timeout: float) -> Association:
    contexts = [(1, wire.STUDY_MOVE, [wire.IMPLICIT_LE])]
    return Association(server.port, wire.associate_rq(server.aet, CALLING, contexts), timeout)


def get_request(association: Association, content: bytes, message_id: int = 1) -> bytes:
    """Return a C-GET-RQ with this identifier."""
    limit = association.send_limit(PDU)
    return wire.query_rq(wire.STUDY_GET, wire.C_GET_RQ, content, limit, message_id)


def get_one(association: Association, instance: Instance, message_id: int = 1) -> tuple[str, bytes]:
    """Return transfer syntax and data set of one instance, empty where it does not come."""
    content = identifier("IMAGE", **unique_keys(instance))
    found = run_get(association, get_request(association, content, message_id), keep=True)
    return found.kept.get(instance.sop, ("", b""))


def run_get(association: Association, request: bytes, *, keep: bool = False) -> Retrieved:
    """Acknowledge every sub-operation until the final response."""
    association.socket.sendall(request)
    found = Retrieved()
    chunks: list[bytes] = []
    store: wire.Command = {}
    for context_id, command, last, fragment in association.reader.messages():
        if command is not None:
            field_ = wire.u16(command[0x0100])
            if field_ == wire.C_STORE_RQ:
                store, chunks = command, []
            elif field_ == wire.C_GET_RQ | wire.RESPONSE and _is_final(command, found):
                return found
            continue
        found.received += len(fragment)
        if keep:
            chunks.append(bytes(fragment))
        if last and store:
            sop_class, sop_uid = store[0x0002].rstrip(b"\0"), store[0x1000].rstrip(b"\0")
            answer = wire.store_rsp(context_id, wire.u16(store[0x0110]), sop_class, sop_uid)
            association.socket.sendall(answer)
            found.instances += 1
            if keep:
                found.kept[sop_uid.decode()] = association.accepted[context_id], b"".join(chunks)
            store = {}
    raise WireError("no final response")


def _is_final(command: wire.Command, into: Retrieved) -> bool:
    into.status = wire.u16(command[0x0900])
    into.counters = {name: wire.u16(command[n]) for name, n in _COUNTERS.items() if n in command}
    return into.status not in wire.PENDING


def _run_move(association: Association, request: bytes) -> Retrieved:
    association.socket.sendall(request)
    found = Retrieved()
    for _context_id, command, _last, _fragment in association.reader.messages():
        if command is not None and _is_final(command, found):
            break
    return found


def is_same(source: Template, instance: Instance, transfer_syntax: str, raw: bytes) -> bool:
    """Whether a retrieved data set equals the one that was sent, element by element."""
    sent = read_back(source.dataset_bytes(instance), source.transfer_syntax)
    got = read_back(raw, transfer_syntax)
    for each in sent:
        if each.tag not in got:
            return False
        if each.keyword == "PixelData":
            if not np.array_equal(
                np.frombuffer(each.value, "<u2"), np.frombuffer(got[each.tag].value, "<u2")
            ):
                return False
        elif str(each.value) != str(got[each.tag].value):
            return False
    return True


def check_content(server: Server, kind: str, instance: Instance) -> bool | str:
    """Whether an instance comes back as it was sent; in words where it does not come at all."""
    association = open_get(server)
    try:
        transfer_syntax, raw = get_one(association, instance)
        association.release()
    except (OSError, WireError) as error:
        association.abort()
        return f"error: {error}"
    return bool(raw) and is_same(template(kind), instance, transfer_syntax, raw)


def measure_get(server: Server, study: str, expected: int, timeout: float = 120.0) -> Row:
    """Return the figures of one C-GET of a study."""
    association, found, failures = open_get(server, timeout), Retrieved(), []
    request = get_request(association, identifier("STUDY", StudyInstanceUID=study), 2)
    cpu, start = server.cpu(), time.perf_counter()
    try:
        found = run_get(association, request)
    except (OSError, WireError) as error:
        failures.append(str(error))
    elapsed = time.perf_counter() - start
    if found.status > 0:
        failures.append(f"status 0x{found.status:04X} {found.counters}")
    return _figures(association, found, elapsed, server.cpu() - cpu, expected, failures)


def measure_move(
    server: Server, destination: Destination, study: str, expected: int, timeout: float = 120.0
) -> Row:
    """Return the figures of one C-MOVE of a study; it ends when the destination has everything."""
    association, found, failures = _open_move(server, timeout), Retrieved(), []
    content, limit = identifier("STUDY", StudyInstanceUID=study), association.send_limit(PDU)
    request = wire.query_rq(wire.STUDY_MOVE, wire.C_MOVE_RQ, content, limit, 3, DESTINATION_AE_TITLE)
    before = destination.totals()
    cpu, start = server.cpu(), time.perf_counter()
    try:
        found = _run_move(association, request)
    except (OSError, WireError) as error:
        failures.append(str(error))
    if found.status > 0:
        failures.append(f"status 0x{found.status:04X} {found.counters}")
    # a server may answer before it has sent everything
    while destination.totals()[0] - before[0] < expected and not failures:
        if time.perf_counter() - start > timeout:
            break
        time.sleep(0.005)
    elapsed = time.perf_counter() - start
    found.instances, found.received = (
        now - then for now, then in zip(destination.totals(), before, strict=True)
    )
    if found.counters.get("completed", expected) != expected:
        failures.append(f"final response counters {found.counters}")
    return _figures(association, found, elapsed, server.cpu() - cpu, expected, failures)


def _figures(
    association: Association, found: Retrieved, elapsed: float, cpu: float, expected: int, failures: list[str]
) -> Row:
    if found.instances != expected:
        failures.append(f"{found.instances} of {expected} instances")
    if failures:
        association.abort()
    else:
        association.release()
    return {
        "instances": found.instances,
        "seconds": round(elapsed, 4),
        "instances_s": round(found.instances / elapsed, 2),
        "mb_s": round(found.received / elapsed / 1e6, 2),
        "cpu_s_per_1000": round(cpu / found.instances * 1000, 3) if found.instances else None,
        "failures": failures,
    }
