"""C-FIND over a real socket: statuses, and exactly the keys that were asked for (PS3.4 §C.4.1)."""

from __future__ import annotations

import select
import struct
import threading

import pytest
from pydicom.dataset import Dataset

from dicomnet import Status
from pacsd.dataset.identifier import Identifier, elements_of, read_identifier, write_identifier
from pacsd.errors import IdentifierInvalid, IndexUnavailable
from support import scu
from support.archive_server import EXPLICIT, ArchiveServer, Client, client
from support.fake_archive import altered

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


def ask(net: Client, *, transfer_syntax: str = EXPLICIT, **keys: str) -> list[tuple[int, Identifier | None]]:
    """Status and identifier of each response to one C-FIND."""
    identifier = write_identifier(elements_of(keys), transfer_syntax)
    return [
        (response.status, None if answer is None else read_identifier(answer, transfer_syntax))
        for response, answer in net.c_find(net.context_for(FIND), identifier)
    ]


def keep_studies(server: ArchiveServer, count: int) -> None:
    server.keep(*(altered(number, PatientName=f"Name^{number}") for number in range(1, count + 1)))


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_each_match_is_pending_and_success_comes_last(server: ArchiveServer, transfer_syntax: str) -> None:
    keep_studies(server, 3)
    with client(server, FIND, syntaxes=(transfer_syntax,)) as net:
        answers = ask(net, transfer_syntax=transfer_syntax, QueryRetrieveLevel="STUDY", PatientName="")
    assert [status for status, _ in answers] == [0xFF00, 0xFF00, 0xFF00, 0x0000]
    assert [answer and answer.value("PatientName") for _, answer in answers] == [
        "Name^1",
        "Name^2",
        "Name^3",
        None,
    ]


def test_no_match_is_success(server: ArchiveServer) -> None:
    with client(server, FIND) as net:
        assert ask(net, QueryRetrieveLevel="STUDY", PatientName="Nobody") == [(0x0000, None)]


def test_exactly_the_keys_asked_for_come_back(server: ArchiveServer) -> None:
    keep_studies(server, 1)
    with client(server, FIND) as net:
        (_, answer), _ = ask(
            net, QueryRetrieveLevel="STUDY", PatientID="", StudyDescription="", InstanceAvailability=""
        )
    assert answer is not None
    assert answer.keys == {
        "InstanceAvailability": "ONLINE",
        "QueryRetrieveLevel": "STUDY",
        "RetrieveAETitle": "PACSD",
        "StudyDescription": "",
        "PatientID": str(altered(1).read().PatientID),
    }
    assert [element.tag for element in answer.elements] == sorted(element.tag for element in answer.elements)


def test_unsupported_keys_are_said_so_and_answered_empty(server: ArchiveServer) -> None:
    """PS3.4 Table C.4-1: FF01."""
    keep_studies(server, 2)
    with client(server, FIND) as net:
        answers = ask(net, QueryRetrieveLevel="STUDY", PatientName="", ReferencedImageSequence="")
    assert [status for status, _ in answers] == [0xFF01, 0xFF01, 0x0000]
    assert answers[0][1] is not None
    assert "ReferencedImageSequence" in answers[0][1].keys
    assert answers[0][1].value("PatientName") == "Name^1"


def test_private_keys_are_said_so_and_come_back_empty(server: ArchiveServer) -> None:
    """PS3.4 Table C.4-1: FF01."""
    keep_studies(server, 1)
    private = struct.pack("<HH2sH", 0x0009, 0x0010, b"LO", 4) + b"ACME"
    identifier = write_identifier(elements_of({"QueryRetrieveLevel": "STUDY"}), EXPLICIT) + private
    with client(server, FIND) as net:
        (response, answer), _ = net.c_find(net.context_for(FIND), identifier)
    assert response.status == 0xFF01
    assert answer is not None
    tags = {element.tag: element.value for element in read_identifier(answer, EXPLICIT).elements}
    assert tags[0x00090010] == ""


@pytest.mark.parametrize(
    ("requested", "answered"), [("ISO_IR 100", "ISO_IR 100"), ("ISO_IR 126", "ISO_IR 192")]
)
def test_the_answer_is_in_a_character_set_that_holds_it(
    server: ArchiveServer, requested: str, answered: str
) -> None:
    server.keep(altered(1, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"))
    query = scu.keys("STUDY", PatientName="", SpecificCharacterSet=requested)
    (match,) = scu.find(server, query).matches  # type: ignore[arg-type]
    assert match.SpecificCharacterSet == answered
    assert str(match.PatientName) == "Müller^Jörg"


def test_pynetdicom_finds(server: ArchiveServer) -> None:
    keep_studies(server, 2)
    outcome = scu.find(server, scu.keys("STUDY", PatientName="Name*", StudyInstanceUID=""))  # type: ignore[arg-type]
    assert outcome.status == 0x0000
    assert [str(match.PatientName) for match in outcome.matches] == ["Name^1", "Name^2"]
    assert all(isinstance(match, Dataset) and match.RetrieveAETitle == "PACSD" for match in outcome.matches)


@pytest.mark.parametrize(
    ("keys", "comment"),
    [
        ({"PatientName": ""}, "missing"),
        ({"QueryRetrieveLevel": ""}, "missing"),
        ({"QueryRetrieveLevel": "EVERYTHING"}, "PATIENT, STUDY, SERIES, IMAGE"),
        ({"QueryRetrieveLevel": "PATIENT"}, "no PATIENT level"),
    ],
)
def test_an_identifier_without_a_proper_level_is_refused(
    server: ArchiveServer, keys: dict[str, str], comment: str
) -> None:
    with client(server, FIND) as net:
        ((response, answer),) = net.c_find(
            net.context_for(FIND), write_identifier(elements_of(keys), EXPLICIT)
        )
    assert (response.status, answer) == (0xA900, None)
    assert response.offending_element == (0x00080052,)
    assert comment in response.error_comment


@pytest.mark.parametrize(
    "identifier", [b"garbage!", b"\x08\0\x52\0CS\x10\0STUDY "], ids=["garbage", "cut off"]
)
def test_what_is_no_identifier_is_refused_and_the_association_goes_on(
    server: ArchiveServer, identifier: bytes
) -> None:
    with client(server, FIND) as net:
        ((response, _),) = net.c_find(net.context_for(FIND), identifier)
        assert response.status == 0xA900
        assert ask(net, QueryRetrieveLevel="STUDY") == [(0x0000, None)]


def test_an_endless_identifier_is_refused(server: ArchiveServer) -> None:
    with client(server, FIND) as net:
        ((response, _),) = net.c_find(net.context_for(FIND), b"\0" * ((1 << 20) + 2))
        assert response.status == 0xA900
        assert ask(net, QueryRetrieveLevel="STUDY") == [(0x0000, None)]


@pytest.mark.parametrize(
    ("error", "status", "comment"),
    [
        (IndexUnavailable("the database is locked"), 0xA700, "the database is locked"),
        (IdentifierInvalid("too many values"), 0xA900, "too many values"),
        (ValueError("Doe^Jane"), 0xC001, "unexpected error, see the server's log"),
    ],
)
def test_what_goes_wrong_in_the_index_is_told(
    server: ArchiveServer, error: Exception, status: int, comment: str
) -> None:
    server.index.failures["find"] = error
    with client(server, FIND) as net:
        identifier = write_identifier(elements_of({"QueryRetrieveLevel": "STUDY"}), EXPLICIT)
        ((response, _),) = net.c_find(net.context_for(FIND), identifier)
    assert (response.status, response.error_comment) == (status, comment)


def test_a_failure_half_way_ends_the_answers(server: ArchiveServer) -> None:
    def fail_at_third(number: int) -> None:
        if number == 2:
            raise IndexUnavailable("gone")

    keep_studies(server, 5)
    server.index.before_match = fail_at_third
    with client(server, FIND) as net:
        assert [status for status, _ in ask(net, QueryRetrieveLevel="STUDY")] == [0xFF00, 0xFF00, 0xA700]


def test_a_cancelled_query_ends_with_cancel(server: ArchiveServer) -> None:
    """PS3.7 §9.3.2.3; the server sees it before its third match, as it waits there for it."""
    keep_studies(server, 5)
    with client(server, FIND) as net:
        cancelled = threading.Event()
        served = server.net.clients[0]

        def wait_at_third(number: int) -> None:
            if number == 2:
                assert cancelled.wait(10)
                assert select.select([served._upper_layer.channel.transport._socket], [], [], 10)[0]  # type: ignore[union-attr]

        server.index.before_match = wait_at_third
        identifier = write_identifier(elements_of({"QueryRetrieveLevel": "STUDY"}), EXPLICIT)
        context = net.context_for(FIND)
        net.send_c_find_request(context, message_id=5, identifier=identifier)
        statuses = []
        for _ in range(2):
            response, dataset = net.await_response(5)
            assert dataset is not None
            dataset.drain()
            statuses.append(response.status)
        net.send_c_cancel_request(context, message_id=5)
        cancelled.set()
        while statuses[-1] == Status.PENDING:
            response, dataset = net.await_response(5)
            if dataset is not None:
                dataset.drain()
            statuses.append(response.status)
        assert statuses[:2] == [0xFF00, 0xFF00]
        assert statuses[-1] == Status.CANCEL
        assert len(statuses) == 3


def test_the_other_root_has_patients(server: ArchiveServer) -> None:
    keep_studies(server, 1)
    keys = {"QueryRetrieveLevel": "PATIENT", "PatientName": ""}
    with client(server, PATIENT_ROOT_FIND) as net:
        context = net.context_for(PATIENT_ROOT_FIND)
        responses = list(net.c_find(context, write_identifier(elements_of(keys), EXPLICIT)))
    assert [response.status for response, _ in responses] == [0xFF00, 0x0000]
