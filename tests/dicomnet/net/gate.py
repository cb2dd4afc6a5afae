"""A server that waits for the test before it answers, and a thread for the test to wait in."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.dicomnet.net.nets import WITHIN, Net

from dicomnet import (
    CEchoRequest,
    DicomNet,
    PresentationContext,
)


class Gate(Net):
    """Answers a C-ECHO when it is let."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.let = threading.Event()

    def on_accept(self, peer_address: tuple[str, int]) -> DicomNet | None:
        client = super().on_accept(peer_address)
        assert isinstance(client, Gate)
        client.let = self.let
        return client

    def on_receive_c_echo_request(self, context: PresentationContext, request: CEchoRequest) -> None:
        self.journal.note("echo")
        assert self.let.wait(WITHIN)
        super().on_receive_c_echo_request(context, request)


def in_background(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread
