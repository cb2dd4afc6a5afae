"""C-CANCEL of a C-FIND (PS3.7 §9.3.2.3)."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pydicom.filewriter import dcmwrite

from support import scu
from support.constructed import encode, simple_dataset
from support.instance import IMPLICIT_LITTLE_ENDIAN
from support.wire import WireAssociation, cancel_request, find_request, message

if TYPE_CHECKING:
    from support.server import PacsdServer

STUDIES = 800
PREFIX = "1.2.826.0.1.3680043.10.1584"
MESSAGE_ID = 31


@pytest.fixture(scope="module")
def crowded(pacsd_server: PacsdServer) -> PacsdServer:
    """The server with many studies of one patient."""
    dataset = simple_dataset(1)
    dataset.PatientID = "CROWD"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{PREFIX}.1.99999", f"{PREFIX}.2.99999"
    dataset.SOPInstanceUID = f"{PREFIX}.3.99999"
    model = encode(dataset, "crowd")
    context = [(model.sop_class_uid, model.transfer_syntax_uid)]
    with WireAssociation((pacsd_server.host, pacsd_server.port), context) as peer:
        for number in range(10000, 10000 + STUDIES):
            clone = replace(
                model,
                sop_instance_uid=f"{PREFIX}.3.{number}",
                dataset=model.dataset.replace(b".99999", f".{number}".encode()),
            )
            assert peer.store(clone, number).status == 0x0000
        peer.release()
    return pacsd_server


def identifier() -> bytes:
    keys = scu.keys("STUDY", PatientID="CROWD", StudyInstanceUID=None, PatientName=None, StudyDate=None)
    buffer = io.BytesIO()
    dcmwrite(buffer, keys, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return buffer.getvalue()


def responses_to_a_query(server: PacsdServer, *, cancelled: bool) -> list[int]:
    """The statuses, up to the final one; the cancel request travels in one segment with the query."""
    model = scu.STUDY_ROOT["find"]
    context = [(model, IMPLICIT_LITTLE_ENDIAN)]
    with WireAssociation((server.host, server.port), context, calling=scu.CALLING_AE_TITLE) as peer:
        cancel = message(1, cancel_request(MESSAGE_ID)) if cancelled else b""
        peer.send(message(1, find_request(MESSAGE_ID, model), identifier()) + cancel)
        statuses = [peer.read_response().status]
        while statuses[-1] in (0xFF00, 0xFF01):
            statuses.append(peer.read_response().status)
        peer.release()
    return statuses


def test_a_query_that_nobody_cancels_brings_all(crowded: PacsdServer) -> None:
    assert responses_to_a_query(crowded, cancelled=False) == [0xFF00] * STUDIES + [0x0000]


def test_c_cancel_ends_a_query_early(crowded: PacsdServer) -> None:
    statuses = responses_to_a_query(crowded, cancelled=True)
    assert statuses[-1] == 0xFE00
    assert len(statuses) < STUDIES


def test_a_cancel_for_another_message_changes_nothing(crowded: PacsdServer) -> None:
    model = scu.STUDY_ROOT["find"]
    context = [(model, IMPLICIT_LITTLE_ENDIAN)]
    with WireAssociation((crowded.host, crowded.port), context, calling=scu.CALLING_AE_TITLE) as peer:
        stray = message(1, cancel_request(MESSAGE_ID + 1))
        peer.send(stray + message(1, find_request(MESSAGE_ID, model), identifier()) + stray)
        statuses = [peer.read_response().status for _ in range(STUDIES + 1)]
        peer.release()
    assert statuses[-1] == 0x0000
