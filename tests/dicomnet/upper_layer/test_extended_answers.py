"""SOP class extended and common extended negotiation (56H and 57H, PS3.7 §D.3.3.5 and §D.3.3.6)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.dicomnet.pair import CT_STORAGE, EXPLICIT, STUDY_ROOT_FIND, VERIFICATION
from tests.dicomnet.upper_layer.strategies import associate_requests

from dicomnet.upper_layer import pdu
from dicomnet.upper_layer.negotiation import (
    SupportedAbstractSyntax,
    answer_request,
    negotiated,
    own_user_information,
)

SUPPORTED = SupportedAbstractSyntax(transfer_syntaxes=(EXPLICIT,))
FIND = pdu.ExtendedNegotiation(sop_class_uid=STUDY_ROOT_FIND, information=b"\1\1\1")
STORAGE = pdu.ExtendedNegotiation(sop_class_uid=CT_STORAGE, information=b"\2\0\3\0\0\0")


def request(
    *asked: pdu.ExtendedNegotiation, classes: tuple[str, ...] = (STUDY_ROOT_FIND, STUDY_ROOT_FIND, CT_STORAGE)
) -> pdu.AssociateRequest:
    return pdu.AssociateRequest(
        called_ae_title="ARCHIVE",
        calling_ae_title="WORKSTATION",
        presentation_contexts=tuple(
            pdu.ProposedPresentationContext(
                context_id=2 * place + 1,
                abstract_syntax=uid,
                # The first context of the first class alone is in a transfer syntax that nobody knows.
                transfer_syntaxes=(EXPLICIT if place else "1.2.3",),
            )
            for place, uid in enumerate(classes)
        ),
        user_information=own_user_information(maximum_length=0, extended_negotiations=asked),
    )


def answer(asked: pdu.AssociateRequest, answers: dict[str, bytes], *refused: str) -> pdu.AssociateAccept:
    return answer_request(
        asked,
        lambda uid: pdu.ContextResult.USER_REJECTION if uid in refused else SUPPORTED,
        maximum_length=0,
        extended=lambda negotiation: answers.get(negotiation.sop_class_uid),
    )


def answered(accept: pdu.AssociateAccept) -> dict[str, bytes]:
    return {each.sop_class_uid: each.information for each in accept.user_information.extended_negotiations}


def test_each_class_that_is_accepted_in_some_context_is_asked_for() -> None:
    asked = request(FIND, STORAGE)
    seen: list[pdu.ExtendedNegotiation] = []

    def note(negotiation: pdu.ExtendedNegotiation) -> bytes:
        seen.append(negotiation)
        return negotiation.information[:1]

    accept = answer_request(asked, lambda _: SUPPORTED, maximum_length=0, extended=note)
    assert seen == [FIND, STORAGE]
    assert answered(accept) == {STUDY_ROOT_FIND: b"\1", CT_STORAGE: b"\2"}


def test_no_answer_is_the_default_of_the_class() -> None:
    asked = request(FIND, STORAGE)
    accept = answer(asked, {CT_STORAGE: b""})
    assert answered(accept) == {CT_STORAGE: b""}, "an empty answer is one"
    assert answered(answer_request(asked, lambda _: SUPPORTED, maximum_length=0)) == {}


def test_refused_and_unproposed_classes_are_not_answered() -> None:
    unproposed = pdu.ExtendedNegotiation(sop_class_uid=VERIFICATION, information=b"\1")
    everything = {STUDY_ROOT_FIND: b"\1", CT_STORAGE: b"\2", VERIFICATION: b"\3", "1.2.3.4": b"\4"}
    accept = answer(request(FIND, STORAGE, unproposed), everything, CT_STORAGE)
    assert answered(accept) == {STUDY_ROOT_FIND: b"\1"}
    assert answered(answer(request(FIND, classes=(STUDY_ROOT_FIND,)), everything)) == {}


def test_both_sides_know_what_was_answered() -> None:
    asked = request(FIND, STORAGE)
    accept = answer(asked, {STUDY_ROOT_FIND: b"\1\0\0"})
    for is_requestor in (False, True):
        agreed = negotiated(asked, accept, is_requestor=is_requestor)
        assert agreed.extended_negotiations == {STUDY_ROOT_FIND: b"\1\0\0"}
    assert negotiated(asked, accept, is_requestor=False).peer.extended_negotiations == (FIND, STORAGE)


def test_answers_out_of_place_mean_nothing() -> None:
    """A peer may answer what was not asked, or what it has refused."""
    asked = request(FIND, STORAGE)
    accept = answer(asked, {}, CT_STORAGE)
    eager = replace(
        accept,
        user_information=replace(
            accept.user_information,
            extended_negotiations=(
                pdu.ExtendedNegotiation(sop_class_uid=CT_STORAGE, information=b"\2"),
                pdu.ExtendedNegotiation(sop_class_uid=VERIFICATION, information=b"\1"),
                pdu.ExtendedNegotiation(sop_class_uid=STUDY_ROOT_FIND, information=b"\1"),
            ),
        ),
    )
    assert negotiated(asked, eager, is_requestor=True).extended_negotiations == {STUDY_ROOT_FIND: b"\1"}


@given(asked=associate_requests())
def test_never_more_is_answered_than_was_asked_and_accepted(asked: pdu.AssociateRequest) -> None:
    proposed = {context.abstract_syntax for context in asked.presentation_contexts}
    accept = answer_request(
        asked, lambda _: pdu.ContextResult.NO_REASON, maximum_length=0, extended=lambda _: b"\1"
    )
    assert answered(accept) == {}
    every = {uid for context in asked.presentation_contexts for uid in context.transfer_syntaxes}
    support = SupportedAbstractSyntax(transfer_syntaxes=every)
    accept = answer_request(asked, lambda _: support, maximum_length=0, extended=lambda _: b"\1")
    named = {each.sop_class_uid for each in asked.user_information.extended_negotiations}
    assert set(answered(accept)) == named & proposed
    assert accept.user_information.common_extended_negotiations == ()


UIDS = (STUDY_ROOT_FIND, CT_STORAGE, VERIFICATION, "1.2.3.4")
ITEMS = st.dictionaries(st.sampled_from(UIDS), st.binary(max_size=4)).map(
    lambda items: tuple(
        pdu.ExtendedNegotiation(sop_class_uid=uid, information=it) for uid, it in items.items()
    )
)


@given(asked=ITEMS, said=ITEMS, refused=st.sets(st.sampled_from(UIDS)))
def test_any_answers_can_be_understood(
    asked: tuple[pdu.ExtendedNegotiation, ...], said: tuple[pdu.ExtendedNegotiation, ...], refused: set[str]
) -> None:
    proposal = request(*asked)
    accept = answer(proposal, {}, *refused)
    information = replace(accept.user_information, extended_negotiations=said)
    agreed = negotiated(proposal, replace(accept, user_information=information), is_requestor=True)
    meant = {each.sop_class_uid for each in asked} & {STUDY_ROOT_FIND, CT_STORAGE} - refused
    assert agreed.extended_negotiations == {
        each.sop_class_uid: each.information for each in said if each.sop_class_uid in meant
    }


# Common extended negotiation.


def test_common_extended_negotiation_is_found_by_its_class() -> None:
    described = pdu.CommonExtendedNegotiation(
        sop_class_uid="1.2.3.4",
        service_class_uid="1.2.840.10008.4.2",
        related_general_sop_class_uids=(CT_STORAGE,),
    )
    information = own_user_information(maximum_length=0, common_extended_negotiations=(described,))
    assert information.common_extended_negotiation_of("1.2.3.4") == described
    assert information.common_extended_negotiation_of(CT_STORAGE) is None
