"""Hypothesis strategies for messages that may legally be sent, in the form in which they are read back."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields

from hypothesis import strategies as st
from tests.dicomnet.upper_layer.strategies import ae_titles, uids

from dicomnet.dimse.command_set import CommandElement
from dicomnet.dimse.messages import MESSAGE_TYPES, Message

unsigned_shorts = st.integers(0, 0xFFFF)
tags = st.integers(0, 0xFFFFFFFF)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64).filter(
    lambda text: text == text.strip(" ")
)

_VALUES = {
    "affected_sop_class_uid": uids,
    "affected_sop_instance_uid": uids,
    "requested_sop_class_uid": uids,
    "requested_sop_instance_uid": uids,
    "attribute_identifier_list": st.lists(tags, min_size=1, max_size=4).map(tuple),
    "move_destination": ae_titles,
    "move_originator_application_entity_title": ae_titles,
    "error_comment": texts,
    "offending_element": st.lists(tags, min_size=1, max_size=4).map(tuple),
}
_MANDATORY = {"message_id", "message_id_being_responded_to", "status", "priority"}


def _is_mandatory(field: Field[object]) -> bool:
    return field.name in _MANDATORY or field.default is MISSING


def messages_of(message_type: type[Message]) -> st.SearchStrategy[Message]:
    """All fields that may be left out are left out now and then."""
    required, optional = {}, {}
    for field in fields(message_type):
        values = _VALUES.get(field.name, unsigned_shorts)
        (required if _is_mandatory(field) else optional)[field.name] = values
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: message_type(**values))


def messages() -> st.SearchStrategy[Message]:
    """All messages."""
    return st.one_of(*map(messages_of, MESSAGE_TYPES.values()))


_UIDS = (
    CommandElement.AFFECTED_SOP_CLASS_UID,
    CommandElement.REQUESTED_SOP_CLASS_UID,
    CommandElement.AFFECTED_SOP_INSTANCE_UID,
    CommandElement.REQUESTED_SOP_INSTANCE_UID,
)
_AE_TITLES = (CommandElement.MOVE_DESTINATION, CommandElement.MOVE_ORIGINATOR_APPLICATION_ENTITY_TITLE)
_TAG_LISTS = (CommandElement.OFFENDING_ELEMENT, CommandElement.ATTRIBUTE_IDENTIFIER_LIST)


def _values_of(element: CommandElement) -> st.SearchStrategy[int | str | tuple[int, ...]]:
    if element in _UIDS:
        return uids
    if element in _AE_TITLES:
        return ae_titles
    if element in _TAG_LISTS:
        return st.lists(tags, min_size=1, max_size=5).map(tuple)
    return texts if element is CommandElement.ERROR_COMMENT else unsigned_shorts


def command_sets() -> st.SearchStrategy[dict[CommandElement, int | str | tuple[int, ...]]]:
    """Any elements at all but the group length, which the writer sets."""
    return st.fixed_dictionaries(
        {},
        optional={
            element: _values_of(element)
            for element in CommandElement
            if element is not CommandElement.COMMAND_GROUP_LENGTH
        },
    )
