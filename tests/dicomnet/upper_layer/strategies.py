"""Hypothesis strategies for PDUs that may legally be sent, in the form in which they are read back."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from dicomnet.upper_layer import pdu

_UINT16 = st.integers(0, 0xFFFF)
_BYTE = st.integers(0, 0xFF)

uids = st.lists(st.integers(0, 10**9).map(str), min_size=2, max_size=6).map(".".join)
"""At most 60 characters."""

ae_titles = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="\\"), min_size=1, max_size=16
).filter(lambda title: title == title.strip(" "))

version_names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=16)

context_ids = st.integers(0, 127).map(lambda number: number * 2 + 1)

secrets = st.binary(max_size=40)


def proposed_contexts() -> st.SearchStrategy[pdu.ProposedPresentationContext]:
    return st.builds(
        pdu.ProposedPresentationContext,
        context_id=context_ids,
        abstract_syntax=uids,
        transfer_syntaxes=st.lists(uids, min_size=1, max_size=4).map(tuple),
    )


def context_results() -> st.SearchStrategy[pdu.PresentationContextResult]:
    accepted = st.builds(
        pdu.PresentationContextResult, context_id=context_ids, result=st.just(0), transfer_syntax=uids
    )
    refused = st.builds(
        pdu.PresentationContextResult,
        context_id=context_ids,
        result=st.integers(1, 255),
        transfer_syntax=st.just("") | uids,
    )
    return accepted | refused


def _once_per_class(item: st.SearchStrategy) -> st.SearchStrategy[tuple]:
    return st.lists(item, max_size=3, unique_by=lambda negotiation: negotiation.sop_class_uid).map(tuple)


def user_information() -> st.SearchStrategy[pdu.UserInformation]:
    return st.builds(
        pdu.UserInformation,
        maximum_length=st.none() | st.integers(0, 0xFFFFFFFF),
        implementation_class_uid=st.none() | uids,
        implementation_version_name=st.none() | version_names,
        asynchronous_operations_window=st.none()
        | st.builds(pdu.AsynchronousOperationsWindow, maximum_invoked=_UINT16, maximum_performed=_UINT16),
        roles=_once_per_class(
            st.builds(pdu.RoleSelection, sop_class_uid=uids, scu_role=st.booleans(), scp_role=st.booleans())
        ),
        extended_negotiations=_once_per_class(
            st.builds(pdu.ExtendedNegotiation, sop_class_uid=uids, information=st.binary(max_size=12))
        ),
        common_extended_negotiations=_once_per_class(
            st.builds(
                pdu.CommonExtendedNegotiation,
                sop_class_uid=uids,
                service_class_uid=uids,
                related_general_sop_class_uids=st.lists(uids, max_size=3).map(tuple),
            )
        ),
        user_identity=st.none()
        | st.builds(
            pdu.UserIdentity,
            identity_type=_BYTE,
            positive_response_requested=st.booleans(),
            primary=secrets,
            secondary=secrets,
        ),
        user_identity_response=st.none() | secrets,
    )


def associate_requests() -> st.SearchStrategy[pdu.AssociateRequest]:
    return st.builds(
        pdu.AssociateRequest,
        called_ae_title=ae_titles,
        calling_ae_title=ae_titles,
        presentation_contexts=st.lists(
            proposed_contexts(), min_size=1, max_size=5, unique_by=lambda context: context.context_id
        ).map(tuple),
        user_information=user_information(),
        application_context_name=uids,
        protocol_version=_UINT16,
    )


def associate_accepts() -> st.SearchStrategy[pdu.AssociateAccept]:
    return st.builds(
        pdu.AssociateAccept,
        called_ae_title=ae_titles,
        calling_ae_title=ae_titles,
        presentation_contexts=st.lists(
            context_results(), max_size=5, unique_by=lambda context: context.context_id
        ).map(tuple),
        user_information=user_information(),
        application_context_name=uids,
        protocol_version=_UINT16,
    )


def associate_rejects() -> st.SearchStrategy[pdu.AssociateReject]:
    return st.builds(pdu.AssociateReject, result=_BYTE, source=_BYTE, reason=_BYTE)


def presentation_data_values(max_length: int = 60) -> st.SearchStrategy[pdu.PresentationDataValue]:
    return st.builds(
        pdu.PresentationDataValue,
        context_id=context_ids,
        is_command=st.booleans(),
        is_last=st.booleans(),
        data=st.binary(max_size=max_length),
    )


def data_transfers() -> st.SearchStrategy[pdu.DataTransfer]:
    values = st.lists(presentation_data_values(), min_size=1, max_size=4)
    return values.map(tuple).map(pdu.DataTransfer)


def aborts() -> st.SearchStrategy[pdu.Abort]:
    return st.builds(pdu.Abort, source=_BYTE, reason=_BYTE)


def pdus() -> st.SearchStrategy[pdu.Pdu]:
    """All seven."""
    return st.one_of(
        st.just(pdu.ReleaseRequest()),
        st.just(pdu.ReleaseResponse()),
        aborts(),
        associate_rejects(),
        data_transfers(),
        associate_accepts(),
        associate_requests(),
    )


@st.composite
def chunkings(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """Cut a byte stream into pieces of any size, empty ones among them."""
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    bounds = [0, *cuts, len(stream)]
    return [stream[start:stop] for start, stop in pairwise(bounds)]


@st.composite
def damaged(draw: st.DrawFn, stream: bytes) -> bytes:
    """Change, insert or remove a few bytes of something valid."""
    mutant = bytearray(stream)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(mutant) - 1)))
        width = draw(st.sampled_from((0, 1, 1, 1, 2, 8)))
        mutant[at : at + width] = draw(st.binary(max_size=3))
    return bytes(mutant)
