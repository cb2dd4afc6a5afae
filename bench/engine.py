"""The engine alone: C-STOREs into a handler that discards them, beside receivers that do no more.

    PYTHONPATH=server python bench/engine.py [--quick] [--seconds 1] [--rounds 5] [--receiver NAME ...]

These are DCMTK's `storescp --ignore`, a minimal SCP on pynetdicom, and the sink of the whole archive's bench, which
answers without understanding much. One that is not there is left out. dicomnet and pynetdicom are one process here,
the other two have one for each association.

The senders are processes of their own that know nothing of any library: they send prepared bytes and wait for each
answer before the next object. Every receiver takes its turn in every round, behind a warm-up; the figures are medians
of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import multiprocessing
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.pool import Pool
from pathlib import Path

HOST = "127.0.0.1"
CT_STORAGE, IMPLICIT = b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.1.2"
APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
SIZES = {"10 KB": 10_000, "526 KB": 526_000}
PDU_LENGTHS = (16_384, 131_072)
ASSOCIATIONS = (1, 8)
START_SECONDS = 15.0
WARM_UP_SECONDS = 0.4
SINK = Path(__file__).parent / "sink.py"


def item(kind: int, body: bytes) -> bytes:
    """Return an item of an association request (PS3.8 §9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_request() -> bytes:
    """Return an A-ASSOCIATE-RQ for CT Image Storage."""
    context = b"\1\0\0\0" + item(0x30, CT_STORAGE) + item(0x40, IMPLICIT)
    user = item(0x51, struct.pack(">I", 131_072)) + item(0x52, b"1.2.3.4")
    body = struct.pack(">HH", 1, 0) + b"ANY-SCP".ljust(16) + b"BENCH".ljust(16) + bytes(32)
    body += item(0x10, APPLICATION_CONTEXT) + item(0x20, context) + item(0x50, user)
    return struct.pack(">BBI", 1, 0, len(body)) + body


def element(group: int, number: int, value: bytes) -> bytes:
    """Return an element in Implicit VR Little Endian, padded with zero."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", group, number, len(value)) + value


def store_message(size: int, pdu_length: int) -> bytes:
    """Return a C-STORE-RQ with a data set of about `size` bytes, in PDUs of `pdu_length`."""
    uid = b"1.2.826.0.1.3680043.10.1583.9"
    command = element(0, 2, CT_STORAGE) + element(0, 0x100, b"\1\0") + element(0, 0x110, b"\1\0")
    command += element(0, 0x700, b"\0\0") + element(0, 0x800, b"\1\0") + element(0, 0x1000, uid)
    command = element(0, 0, struct.pack("<I", len(command))) + command
    dataset = element(8, 0x16, CT_STORAGE) + element(8, 0x18, uid) + element(0x7FE0, 0x10, bytes(size))
    longest = pdu_length - 6
    pieces = [dataset[start : start + longest] for start in range(0, len(dataset), longest)]
    pdus = [_data_pdu(3, command)]
    pdus += [_data_pdu(2 if number == len(pieces) else 0, each) for number, each in enumerate(pieces, 1)]
    return b"".join(pdus)


def _data_pdu(control: int, fragment: bytes) -> bytes:
    return struct.pack(">BBIIBB", 4, 0, len(fragment) + 6, len(fragment) + 2, 1, control) + fragment


def read_pdu(connected: socket.socket) -> bytes:
    """Return the next PDU; raises ConnectionError at the end of the stream."""
    return (header := _read(connected, 6)) + _read(connected, int.from_bytes(header[2:], "big"))


def _read(connected: socket.socket, length: int) -> bytes:
    # Who writes an answer in two pieces, as DCMTK does, waits for the acknowledgement of the first one: without this
    # some 40 ms, which the kernel's delay would be measured by and nothing else.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    data = connected.recv(length, socket.MSG_WAITALL)
    if len(data) < length:
        raise ConnectionError("the receiver hung up")
    return data


def send_for(seconds: float, port: int, stream: bytes, start: float) -> int:
    """Send one object after the other on one association; return how many were answered since `start`."""
    with socket.create_connection((HOST, port)) as connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.sendall(associate_request())
        if read_pdu(connected)[0] != 2:
            raise ConnectionError("the receiver does not accept the association")
        while time.time() < start:
            _store(connected, stream)
        count, deadline = 0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            _store(connected, stream)
            count += 1
        connected.sendall(struct.pack(">BBII", 5, 0, 4, 0))
        read_pdu(connected)
    return count


def _store(connected: socket.socket, stream: bytes) -> None:
    connected.sendall(stream)
    if element(0, 0x900, b"\0\0") not in read_pdu(connected):
        raise ConnectionError("the receiver does not answer Success")


def measure(senders: Pool, port: int, stream: bytes, associations: int, seconds: float) -> float:
    """Return objects per second."""
    start = time.time() + WARM_UP_SECONDS
    counts = senders.starmap(send_for, [(seconds, port, stream, start)] * associations, chunksize=1)
    return sum(counts) / seconds


DICOMNET = """
import sys, threading
from dicomnet import DicomNet, NetConfiguration, SupportedAbstractSyntax
class Discarding(DicomNet):
    def supports(self, abstract_syntax):
        return SupportedAbstractSyntax(transfer_syntaxes=("1.2.840.10008.1.2",))
    def on_receive_c_store_request(self, context, request, dataset):
        for fragment in dataset:
            pass
        self.send_c_store_response(context, request, status=0)
Discarding(NetConfiguration(maximum_length=131072)).listen("127.0.0.1", int(sys.argv[1]))
threading.Event().wait()
"""
PYNETDICOM = """
import sys
from pynetdicom import AE, evt
entity = AE()
entity.maximum_pdu_size = 131072
entity.add_supported_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2")
entity.start_server(("127.0.0.1", int(sys.argv[1])), evt_handlers=[(evt.EVT_C_STORE, lambda event: 0)])
"""


def receivers() -> dict[str, list[str]]:
    """Return the command of each receiver that is there; the port is to be added."""
    found = {"dicomnet": [sys.executable, "-c", DICOMNET]}
    beside = str(Path(sys.executable).parent)  # where pynetdicom puts programs of DCMTK's names
    folders = ":".join(each for each in ("/usr/local/bin", "/usr/bin", "/bin") if each != beside)
    if storescp := shutil.which("storescp", path=folders):
        found["storescp --ignore"] = [storescp, "--ignore", "--fork", "-pdu", "131072"]
    if importlib.util.find_spec("pynetdicom"):
        found["pynetdicom"] = [sys.executable, "-c", PYNETDICOM]
    found["sink"] = [sys.executable, str(SINK), "--port"]
    return found


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator[int]:
    """Run a receiver on a free port."""
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection((HOST, port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Print a table in Markdown: objects and megabytes per second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn (1)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each receiver (5)")
    parser.add_argument("--quick", action="store_true", help="one round of 0.3 s, to see that all works")
    parser.add_argument("--receiver", action="append", help="only this one, and others so named")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 0.3, 1
    commands = receivers()
    names = options.receiver or list(commands)
    if unknown := set(names) - set(commands):
        parser.error(f"not here: {', '.join(sorted(unknown))}; there are {', '.join(commands)}")
    with contextlib.ExitStack() as running_receivers:
        ports = {name: running_receivers.enter_context(running(commands[name])) for name in names}
        senders = running_receivers.enter_context(
            multiprocessing.get_context("spawn").Pool(max(ASSOCIATIONS))
        )
        compare(senders, ports, options.seconds, options.rounds)


def compare(senders: Pool, ports: dict[str, int], seconds: float, rounds: int) -> None:
    """Measure each receiver in each case and print a line for each case."""
    print("| object | PDU | associations | " + " | ".join(ports) + " |")
    print("|---|---|---|" + "---|" * len(ports), flush=True)
    for (label, size), pdu_length, associations in itertools.product(
        SIZES.items(), PDU_LENGTHS, ASSOCIATIONS
    ):
        stream = store_message(size, pdu_length)
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for _ in range(rounds):
            for name, port in ports.items():
                rates[name].append(measure(senders, port, stream, associations, seconds))
        medians = {name: statistics.median(each) for name, each in rates.items()}
        cells = [_cell(rate, size, medians.get("dicomnet")) for rate in medians.values()]
        line = f"| {label} | {pdu_length // 1024} KiB | {associations} | {' | '.join(cells)} |"
        print(line, flush=True)
    print("\nIn brackets: how many times as fast dicomnet is.")


def _cell(rate: float, size: int, ours: float | None) -> str:
    told = f"{rate:,.0f}/s, {rate * size / 1e6:,.0f} MB/s"
    return told if ours is None or rate in (0, ours) else f"{told} (x{ours / rate:.2f})"


if __name__ == "__main__":
    main()
