"""SOP class extended negotiation (56H, PS3.7 §D.3.3.5): what an acceptor answers, and what the answers mean."""

from __future__ import annotations

from collections.abc import Callable, Collection

from dicomnet.upper_layer.pdu import (
    AssociateAccept,
    AssociateRequest,
    ContextResult,
    ExtendedNegotiation,
    PresentationContextResult,
)

__all__ = ["ExtendedNegotiationAnswer", "answer_extended", "answered_extended"]

ExtendedNegotiationAnswer = Callable[[ExtendedNegotiation], bytes | None]
"""Makes the service-class application information to answer with; None: no answer, the class's default holds."""


def answer_extended(
    request: AssociateRequest,
    results: Collection[PresentationContextResult],
    answer: ExtendedNegotiationAnswer,
) -> tuple[ExtendedNegotiation, ...]:
    """Ask `answer` for each 56H of a class that is accepted; the others are passed over in silence."""
    accepted = _accepted_classes(request, results)
    answers = (
        (asked.sop_class_uid, answer(asked))
        for asked in request.user_information.extended_negotiations
        if asked.sop_class_uid in accepted
    )
    return tuple(
        ExtendedNegotiation(sop_class_uid=uid, information=information)
        for uid, information in answers
        if information is not None
    )


def answered_extended(request: AssociateRequest, accept: AssociateAccept) -> dict[str, bytes]:
    """Return what was answered by SOP class; answers that nobody asked for, or to refused classes, mean nothing."""
    asked = {each.sop_class_uid for each in request.user_information.extended_negotiations}
    asked &= _accepted_classes(request, accept.presentation_contexts)
    return {
        answer.sop_class_uid: answer.information
        for answer in accept.user_information.extended_negotiations
        if answer.sop_class_uid in asked
    }


def _accepted_classes(
    request: AssociateRequest, results: Collection[PresentationContextResult]
) -> frozenset[str]:
    accepted = {each.context_id for each in results if each.result == ContextResult.ACCEPTANCE}
    return frozenset(
        context.abstract_syntax for context in request.presentation_contexts if context.context_id in accepted
    )
