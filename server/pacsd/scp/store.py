"""C-STORE as SCP (PS3.4 Annex B): from the message to the archive."""

from __future__ import annotations

import time
from collections.abc import Callable

from dicomnet import CStoreRequest, PresentationContext, ReceivedDataset, Status
from pacsd.scp.admitting_net import AdmittingNet
from pacsd.scp.operation import Operation, safely
from pacsd.scp.statuses import Answer
from pacsd.services.ingest import IncomingInstance

__all__ = ["answer_store"]


def answer_store(operation: Operation) -> None:
    """Receive an instance, and answer when it is kept: with others, where the peer sends several ahead.

    One that we keep already with the same content is Success as well (PS3.4 §B.2.3).
    """
    net, context = operation.net, operation.context
    request: CStoreRequest = operation.request
    started = time.monotonic()
    received = operation.attempt(lambda: _received(net, context, request, operation.dataset))

    def respond() -> None:
        if isinstance(received, Answer):
            answer = received
        else:
            net.turns.enter(-1)  # however long it takes: what was received cannot be left as it is
            try:
                answer = safely(operation.row, received)
            finally:
                net.turns.leave()
        operation.report(answer, time.monotonic() - started)
        net.send_c_store_response(context, request, status=answer.status, **answer.explanation)

    net.answer_later(request, respond)


def _received(
    net: AdmittingNet, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
) -> Callable[[], Answer]:
    """Receive one instance; the function returned has it kept for good, to be called once."""
    finish = net.intake.receive(
        IncomingInstance(
            sop_class_uid=request.affected_sop_class_uid,
            sop_instance_uid=request.affected_sop_instance_uid,
            transfer_syntax_uid=context.transfer_syntax,
            calling_ae_title=net.calling_ae_title,
            default_character_set=net.admission.default_character_set,
            may_correct=net.admission.is_known,
        ),
        dataset,
    )

    def answer() -> Answer:
        finish()
        return Answer(Status.SUCCESS)

    return answer
