"""What a DicomNet calls when a response comes that no `c_*` call waits for: the callback style's other half."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomnet.dimse.messages import (
    CEchoResponse,
    CFindResponse,
    CGetResponse,
    CMoveResponse,
    CStoreResponse,
)
from dicomnet.net.normalized_callbacks import NormalizedCallbacks
from dicomnet.upper_layer.negotiation import PresentationContext

if TYPE_CHECKING:
    from dicomnet.net.received_dataset import ReceivedDataset

__all__ = ["ResponseCallbacks"]


class ResponseCallbacks(NormalizedCallbacks):
    """The C-services' responses; by default they are logged and forgotten.

    They belong to requests that `send_c_*_request` sent, or come too late. `dataset` is None where none came.
    """

    def on_receive_c_echo_response(self, context: PresentationContext, response: CEchoResponse) -> None:
        """Take note of the answer to a C-ECHO (PS3.7 §9.3.5.2)."""
        self._leave_unawaited(response)

    def on_receive_c_store_response(self, context: PresentationContext, response: CStoreResponse) -> None:
        """Take note of the answer to a C-STORE (PS3.7 §9.3.1.2)."""
        self._leave_unawaited(response)

    def on_receive_c_find_response(
        self, context: PresentationContext, response: CFindResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of one answer to a C-FIND, a match with a pending status (PS3.7 §9.3.2.2)."""
        self._leave_unawaited(response)

    def on_receive_c_get_response(
        self, context: PresentationContext, response: CGetResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of one answer to a C-GET (PS3.7 §9.3.3.2)."""
        self._leave_unawaited(response)

    def on_receive_c_move_response(
        self, context: PresentationContext, response: CMoveResponse, dataset: ReceivedDataset | None
    ) -> None:
        """Take note of one answer to a C-MOVE (PS3.7 §9.3.4.2)."""
        self._leave_unawaited(response)
