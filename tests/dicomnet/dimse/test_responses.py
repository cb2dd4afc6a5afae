"""Responses: what they echo of their requests, and what they say besides (PS3.7 §9.3, §10.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dicomnet.dimse.strategies import messages, messages_of
from tests.dicomnet.dimse.test_messages import encoded, filled
from tests.dicomnet.upper_layer.strategies import damaged

from dicomnet.dimse.command_set import (
    CommandElement,
    read_command_set,
    write_command_set,
)
from dicomnet.dimse.messages import (
    MESSAGE_TYPES,
    CGetRequest,
    CGetResponse,
    CStoreRequest,
    CStoreResponse,
    NActionRequest,
    NCreateRequest,
    NCreateResponse,
    NormalizedResponse,
    Request,
    Response,
    UnrecognizedRequest,
    read_message,
    refusal_of_unrecognized,
    response_to,
    to_command_set,
)
from dicomnet.errors import RemoteProtocolError

REQUESTS = [each for each in MESSAGE_TYPES.values() if issubclass(each, Request)]


@pytest.mark.parametrize("request_type", REQUESTS)
@given(data=st.data())
def test_response_answers_its_request(request_type: type[Request], data: st.DataObject) -> None:
    request = data.draw(messages_of(request_type))
    assert isinstance(request, Request)
    response = response_to(request, 0x0110, error_comment="no space left")
    assert response.command_field == request.command_field | 0x8000
    assert response.message_id_being_responded_to == request.message_id
    assert response.affected_sop_class_uid == request.sop_class_uid
    assert (response.status, response.error_comment) == (0x0110, "no space left")


@given(messages().map(encoded).flatmap(damaged))
def test_whatever_can_be_read_can_be_answered(command: bytes) -> None:
    """A response echoes what the peer wrote; a UID that is none must not cost the answer."""
    try:
        request, _ = read_message(read_command_set(command))
    except RemoteProtocolError:
        return
    if isinstance(request, UnrecognizedRequest):
        assert write_command_set(refusal_of_unrecognized(request, 0x0211))
    elif isinstance(request, Request):
        assert encoded(response_to(request, 0x0110))


@pytest.mark.parametrize("uid", ["1." * 40, "größer", "not a UID"])
def test_request_with_a_uid_that_is_none_is_answered(uid: str) -> None:
    request = CStoreRequest(message_id=1, affected_sop_class_uid=uid, affected_sop_instance_uid=uid)
    read, _ = read_message(read_command_set(encoded(response_to(request, 0x0110))))
    assert read.message_id_being_responded_to == 1


def test_store_response_names_the_instance() -> None:
    request = CStoreRequest(message_id=1, affected_sop_class_uid="1.2", affected_sop_instance_uid="1.2.3")
    assert response_to(request, 0) == CStoreResponse(
        message_id_being_responded_to=1,
        status=0,
        affected_sop_class_uid="1.2",
        affected_sop_instance_uid="1.2.3",
    )


def test_normalized_response_names_the_instance_that_was_asked_for() -> None:
    request = NActionRequest(
        message_id=1, requested_sop_class_uid="1.2", requested_sop_instance_uid="1.2.3", action_type_id=1
    )
    response = response_to(request, 0x0110, error_id=0xA710)
    assert isinstance(response, NormalizedResponse)
    assert (response.affected_sop_class_uid, response.affected_sop_instance_uid) == ("1.2", "1.2.3")
    assert response.error_id == 0xA710


def test_create_response_names_the_instance_that_was_drawn() -> None:
    request = NCreateRequest(message_id=1, affected_sop_class_uid="1.2")
    response = response_to(request, 0, affected_sop_instance_uid="1.2.3")
    assert isinstance(response, NCreateResponse)
    assert response.affected_sop_instance_uid == "1.2.3"


def test_counts_of_zero_are_sent_and_unstated_ones_are_not() -> None:
    response = response_to(CGetRequest(message_id=1), 0, number_of_completed_suboperations=0)
    commands = to_command_set(response, has_dataset=False)
    assert commands[CommandElement.NUMBER_OF_COMPLETED_SUBOPERATIONS] == 0
    assert CommandElement.NUMBER_OF_REMAINING_SUBOPERATIONS not in commands
    read, _ = read_message(commands)
    assert isinstance(read, CGetResponse)
    assert read.number_of_completed_suboperations == 0
    assert read.number_of_remaining_suboperations is None


def test_fields_of_other_responses_are_an_error() -> None:
    with pytest.raises(TypeError):
        response_to(CStoreRequest(message_id=1), 0, number_of_failed_suboperations=1)


def test_every_response_has_its_request() -> None:
    answered = {type(response_to(filled(each), 0)) for each in REQUESTS}
    assert answered == {each for each in MESSAGE_TYPES.values() if issubclass(each, Response)}
