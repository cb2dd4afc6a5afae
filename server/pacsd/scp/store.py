"""C-STORE as SCP (PS3.4 Annex B): from the message to the archive."""

from __future__ import annotations

from collections.abc import Callable

from dicomnet import CStoreRequest, PresentationContext, ReceivedDataset, Status
from pacsd.scp.statuses import Answer
from pacsd.services.ingest import IncomingInstance, Ingest
from pacsd.services.intake import Intake

__all__ = ["StoreHandler"]


class StoreHandler:
    """Stores what arrives on one association; success means that it is safely kept."""

    def __init__(self, ingest: Ingest) -> None:
        self._intake = Intake(ingest)

    def handle(
        self,
        context: PresentationContext,
        request: CStoreRequest,
        dataset: ReceivedDataset,
        *,
        calling_ae_title: str,
        default_character_set: str = "",
        may_correct: bool,
    ) -> Callable[[], Answer]:
        """Receive one instance; the function returned has it kept for good, to be called once.

        An instance that we keep already with the same content is Success as well (PS3.4 §B.2.3). `may_correct` as
        `InstanceRecord` has it.
        """
        finish = self._intake.receive(
            IncomingInstance(
                sop_class_uid=request.affected_sop_class_uid,
                sop_instance_uid=request.affected_sop_instance_uid,
                transfer_syntax_uid=context.transfer_syntax,
                calling_ae_title=calling_ae_title,
                default_character_set=default_character_set,
                may_correct=may_correct,
            ),
            dataset,
        )

        def answer() -> Answer:
            finish()
            return Answer(Status.SUCCESS)

        return answer
