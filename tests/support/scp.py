"""pynetdicom as a C-MOVE destination."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt

from support.scu import Inbox, StoreHandler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NARROW = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Explicit and Implicit VR Little Endian: all that some workstations take."""


@dataclass(slots=True)
class Destination:
    """A running storage SCP; tests may replace `on_store` while it runs."""

    ae_title: str
    port: int
    inbox: Inbox
    on_store: StoreHandler

    def reset(self) -> None:
        """Forget what was received and answer Success again."""
        self.inbox = Inbox()
        self.on_store = self.inbox.keep


@contextmanager
def destination(
    ae_title: str, transfer_syntaxes: Iterable[str] = AllTransferSyntaxes
) -> Iterator[Destination]:
    """Run a storage SCP on a free port that takes all storage SOP classes in these transfer syntaxes."""
    inbox = Inbox()
    running = Destination(ae_title, 0, inbox, inbox.keep)
    entity = AE(ae_title=ae_title)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), [str(uid) for uid in transfer_syntaxes])

    def handle(event: evt.Event) -> int:
        return running.on_store(event)

    listener = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    assert listener is not None
    running.port = listener.socket.getsockname()[1]
    try:
        yield running
    finally:
        listener.shutdown()
