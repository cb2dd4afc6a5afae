"""Every name of the original DicomNet is there, in snake case and with a docstring."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from dicomnet import DicomAssociate, DicomNet
from dicomnet.dimse.messages import MESSAGE_TYPES
from dicomnet.net.dispatch import HOOKS

_PREFIX = re.compile(r"L_Dicom|LDicomNet::|LDicomAssociate::")
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(original: str) -> str:
    return _WORD_BEGINS.sub("_", _PREFIX.sub("", original)).lower()


def original_names() -> dict[str, str]:
    """Return the names in Python by the original ones."""
    lines = (Path(__file__).parent / "original_names.txt").read_text("ascii").splitlines()
    entries = [line.partition(" = ") for line in lines if line and not line.startswith("#")]
    return {original: told or snake_case(original) for original, _, told in entries}


NAMES = original_names()
BEYOND = ["runtime", "associate", "release", "receive", "supports", "queue_send_bytes", "clients", "c_echo"]
BEYOND += ["c_store", "c_find", "c_get", "c_move", "n_event_report", "n_get", "n_set", "n_action", "n_create"]
BEYOND += ["n_delete", "supports_described", "answer_extended_negotiation", "authenticate"]
"""What Python has besides: the calls that wait for their answers, and what belongs to them."""


@pytest.mark.parametrize(
    ("original", "name"),
    [
        ("SendCStoreRequest", "send_c_store_request"),
        ("OnReceiveNReportRequest", "on_receive_n_report_request"),
        ("ONReceiveNActionResponse", "on_receive_n_action_response"),
        ("L_DicomSendAssociateAccept", "send_associate_accept"),
        ("LDicomAssociate::Reset", "reset"),
        ("IsConnected", "is_connected"),
    ],
)
def test_rule(original: str, name: str) -> None:
    assert snake_case(original) == name


def test_list_is_whole() -> None:
    """Twelve services with four names each; no answer to C-CANCEL; one that is spelled in two ways."""
    messages = [name for name in NAMES if re.fullmatch(r"(Send|On?Receive|ONReceive)[CN][A-Z]\w+", name)]
    assert len(messages) == 12 * 4 - 2 + 1
    assert len(NAMES) == 97


@pytest.mark.parametrize("original", NAMES)
def test_exists_with_a_docstring(original: str) -> None:
    owner = DicomAssociate if original.startswith("LDicomAssociate") else DicomNet
    documented(owner, NAMES[original])


@pytest.mark.parametrize("name", BEYOND)
def test_names_beyond_have_docstrings(name: str) -> None:
    documented(DicomNet, name)


def documented(owner: type, name: str) -> None:
    member = inspect.getattr_static(owner, name)
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    assert callable(member) or isinstance(member, property)
    assert member.__doc__, f"{name} has no docstring"
    assert member.__doc__.split("\n", 1)[0].rstrip().endswith("."), member.__doc__


def test_properties_are_properties() -> None:
    for name in ("is_activated", "is_connected", "is_associated", "queue_send", "server", "association"):
        assert isinstance(inspect.getattr_static(DicomNet, name), property)


def test_every_message_of_the_table_has_its_names() -> None:
    for message_type in MESSAGE_TYPES.values():
        received = HOOKS.get(message_type, "on_receive_c_cancel_request")
        sent = received.replace("on_receive_", "send_")
        assert {received, sent} <= set(NAMES.values()), message_type


def test_associate_has_what_is_negotiated() -> None:
    """PS3.8 §7.1.1, PS3.7 §D.3.3."""
    associate = DicomAssociate.default()
    for name in (
        "called_ae_title",
        "calling_ae_title",
        "presentation_contexts",
        "application_context_name",
        "protocol_version",
        "maximum_length",
        "implementation_class_uid",
        "implementation_version_name",
        "asynchronous_operations_window",
        "roles",
        "extended_negotiations",
        "common_extended_negotiations",
        "user_identity",
        "user_identity_response",
    ):
        assert hasattr(associate, name)
