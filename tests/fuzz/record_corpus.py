"""Record the associations of `corpus/`: real clients talk to `pacsd serve` through a tap. Run it as a program.

    PYTHONPATH=server:tests python tests/fuzz/record_corpus.py

Each association becomes two files, what the requestor sent (`.rq`) and what the acceptor sent (`.ac`).
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
from pathlib import Path

from support import dcmtk, scu
from support.constructed import encode, simple_dataset
from support.peers import free_port
from support.server import PacsdServer, Peer

CORPUS = Path(__file__).parent / "corpus"
NUMBER = 77


class Tap:
    """Takes one connection, passes it on to the server and keeps what goes over."""

    def __init__(self, server: PacsdServer, name: str) -> None:
        self._name = name
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listening.getsockname()
        self._upstream = (server.host, server.port)
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _carry(self) -> None:
        with (
            self._listening,
            self._listening.accept()[0] as requestor,
            socket.create_connection(self._upstream) as acceptor,
        ):
            back = threading.Thread(target=self._copy, args=(acceptor, requestor, "ac"))
            back.start()
            self._copy(requestor, acceptor, "rq")
            back.join()

    def _copy(self, source: socket.socket, sink: socket.socket, suffix: str) -> None:
        seen = b""
        while data := source.recv(1 << 16):
            seen += data
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
        (CORPUS / f"{self._name}.{suffix}").write_bytes(seen)

    def finish(self) -> None:
        """Wait until both sides are written."""
        self._thread.join()


def record(server: PacsdServer, folder: Path) -> None:
    """Let each client do its work once."""
    instance = encode(simple_dataset(NUMBER), "recorded")
    path = instance.write_file(folder / "recorded.dcm")
    key = f"StudyInstanceUID={instance.study_instance_uid}"
    tools: list[tuple[str, str, list[str | Path]]] = [
        ("dcmtk-echo", "echoscu", []),
        ("dcmtk-store", "storescu", ["-R", path]),
        ("dcmtk-find", "findscu", ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", key, "-k", "PatientName"]),
        ("dcmtk-get", "getscu", ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", key, "-od", folder]),
    ]
    for name, tool, arguments in tools:
        tap = Tap(server, name)
        dcmtk.run(tool, tap, *arguments)  # type: ignore[arg-type]
        tap.finish()
    second = encode(simple_dataset(NUMBER + 1), "second")
    tap = Tap(server, "pynetdicom-store")
    scu.send_all(tap, [second], folder / "second")  # type: ignore[arg-type]
    tap.finish()
    tap = Tap(server, "pynetdicom-find")
    scu.find(tap, scu.keys("STUDY", StudyInstanceUID=second.study_instance_uid))  # type: ignore[arg-type]
    tap.finish()


def main() -> int:
    """Record all."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "second").mkdir()
        server = PacsdServer(folder / "server", peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=free_port())])
        server.start()
        try:
            record(server, folder)
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
