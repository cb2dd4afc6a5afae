"""C-ECHO as SCP (PS3.4 Annex A): whoever may ask is answered."""

from __future__ import annotations

from dicomnet import Status
from pacsd.scp.operation import Operation
from pacsd.scp.statuses import Answer

__all__ = ["answer_echo"]


def answer_echo(operation: Operation) -> None:
    """Answer a C-ECHO."""
    net, context, request = operation.net, operation.context, operation.request
    operation.run(
        lambda: Answer(Status.SUCCESS),
        lambda answer: net.send_c_echo_response(context, request, status=answer.status),
    )
