"""C-ECHO as SCP (PS3.4 Annex A): whoever may ask is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomnet import CEchoRequest, PresentationContext, Status
from pacsd.scp.statuses import Answer

if TYPE_CHECKING:
    from pacsd.scp.pacs_net import PacsNet
    from pacsd.scp.service_table import ServiceRow

__all__ = ["answer_echo"]


def answer_echo(
    net: PacsNet, row: ServiceRow, context: PresentationContext, request: CEchoRequest, _dataset: None
) -> None:
    """Answer a C-ECHO."""
    net.run_operation(
        row,
        context,
        request,
        perform=lambda: Answer(Status.SUCCESS),
        respond=lambda answer: net.send_c_echo_response(context, request, status=answer.status),
    )
