"""Our server judged by pynetdicom as the client.

One operation an association: pynetdicom's own reactor may steal the answer to one that follows at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from tests.dicomnet.net.nets import (
    CONFIGURATION,
    SOP_CLASSES,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    Net,
    serving,
)
from tests.dicomnet.pair import CT_STORAGE, EXPLICIT, STUDY_ROOT_FIND

from dicomnet import AssociateRequest, NetConfiguration


def an_object(number: int, *, extra: int = 0) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    dataset.SOPClassUID = CT_STORAGE
    dataset.SOPInstanceUID = f"1.2.3.{number}"
    dataset.PatientID = f"ID{number}"
    if extra:
        dataset.PixelData = bytes(extra)
        dataset["PixelData"].VR = "OW"
    return dataset


def encoded(dataset: Dataset) -> bytes:
    content = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert content is not None
    return content


OBJECTS = {f"1.2.3.{number}": encoded(an_object(number)) for number in range(1, 6)}


def query() -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = ""
    return identifier


@contextmanager
def scu(
    address: tuple[str, int], *, maximum_length: int = 16384, **negotiation: object
) -> Iterator[Association]:
    entity = AE(ae_title="PYNETDICOM")
    for sop_class in SOP_CLASSES:
        entity.add_requested_context(sop_class, EXPLICIT)
    association = entity.associate(*address, ae_title="ARCHIVE", max_pdu=maximum_length, **negotiation)
    try:
        assert association.is_established
        yield association
        if association.is_established:
            association.release()
            assert association.is_released
    finally:
        association.abort()
        entity.shutdown()


def test_echo() -> None:
    server = Net()
    with serving(server) as address, scu(address) as association:
        assert association.send_c_echo().Status == 0x0000
    assert server.journal.wait_for("closed") == [None]


@pytest.mark.parametrize("maximum_length", [0, 4096, 262144])
def test_store(maximum_length: int) -> None:
    server = Net(NetConfiguration(maximum_length=maximum_length, timeouts=CONFIGURATION.timeouts))
    sent = an_object(1, extra=526_000)
    with serving(server) as address:
        for each in (sent, an_object(2)):
            with scu(address) as association:
                assert association.send_c_store(each).Status == 0x0000
    assert server.objects == {"1.2.3.1": encoded(sent), "1.2.3.2": encoded(an_object(2))}


@pytest.mark.parametrize("maximum_length", [0, 4096, 65536])
def test_find(maximum_length: int) -> None:
    server = Net(objects=OBJECTS)
    with serving(server) as address, scu(address, maximum_length=maximum_length) as association:
        *pending, (final, none) = association.send_c_find(query(), STUDY_ROOT_FIND)
    assert [identifier for _, identifier in pending] == [an_object(number) for number in range(1, 6)]
    assert (final.Status, none) == (0x0000, None)
    assert server.journal.of("find") == [encoded(query())]


def test_find_is_cancelled() -> None:
    server = Net(objects=OBJECTS)
    server.endless = True
    with serving(server) as address, scu(address) as association:
        answers = association.send_c_find(query(), STUDY_ROOT_FIND, msg_id=12)
        next(answers)
        association.send_c_cancel(12, query_model=STUDY_ROOT_FIND)
        *_, (final, _) = answers
        assert final.Status == 0xFE00
    assert server.journal.of("cancel") == [12]


@contextmanager
def retrieving(address: tuple[str, int], stored: dict[str, bytes]) -> Iterator[Association]:
    """Associate as one who takes C-STOREs on the same association."""

    def keep(event: evt.Event) -> int:
        stored[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        return 0x0000

    role = build_role(CT_STORAGE, scu_role=True, scp_role=True)
    with scu(address, ext_neg=[role], evt_handlers=[(evt.EVT_C_STORE, keep)]) as association:
        yield association


def test_get() -> None:
    stored: dict[str, bytes] = {}
    with serving(Net(objects=OBJECTS)) as address, retrieving(address, stored) as association:
        *pending, (final, _) = association.send_c_get(query(), STUDY_ROOT_GET)
    assert stored == OBJECTS
    assert [answer.NumberOfCompletedSuboperations for answer, _ in pending] == [1, 2, 3, 4, 5]
    assert (final.Status, final.NumberOfCompletedSuboperations) == (0x0000, 5)


def test_get_is_cancelled() -> None:
    server = Net(objects={f"1.2.3.{number}": encoded(an_object(number)) for number in range(1, 500)})
    stored: dict[str, bytes] = {}
    with serving(server) as address, retrieving(address, stored) as association:
        answers = association.send_c_get(query(), STUDY_ROOT_GET, msg_id=5)
        next(answers)
        association.send_c_cancel(5, query_model=STUDY_ROOT_GET)
        *_, (final, _) = answers
    assert final.Status == 0xFE00
    assert final.NumberOfCompletedSuboperations == len(stored) < 499


def test_move() -> None:
    server, destination = Net(objects=OBJECTS), Net()
    with serving(server) as address, serving(destination) as elsewhere:
        server.destinations["WORKSTATION"] = elsewhere
        with scu(address) as association:
            *_, (final, _) = association.send_c_move(query(), "WORKSTATION", STUDY_ROOT_MOVE)
        with scu(address) as association:
            ((unknown, _),) = association.send_c_move(query(), "ATLANTIS", STUDY_ROOT_MOVE)
    assert (final.Status, final.NumberOfCompletedSuboperations) == (0x0000, 5)
    assert destination.objects == OBJECTS
    assert (unknown.Status, unknown.ErrorComment) == (0xA801, "unknown move destination ATLANTIS")


def test_abort_is_told() -> None:
    server = Net()
    with serving(server) as address, scu(address) as association:
        association.abort()
        assert server.journal.wait_for("aborted") == [(0, 0)]
        (error,) = server.journal.wait_for("closed")
    assert "the peer aborted" in str(error)


def test_user_identity_does_no_harm() -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field = b"somebody"
    identity.secondary_field = b"passcode"
    with serving(Net()) as address, scu(address, ext_neg=[identity]) as association:
        assert association.send_c_echo().Status == 0x0000


class Choosy(Net):
    def on_receive_associate_request(self, request: AssociateRequest) -> None:
        self.journal.note("asked by", request.calling_ae_title)
        self.send_associate_reject(result=1, source=1, reason=7)


def test_rejection_is_understood() -> None:
    server = Choosy()
    entity = AE(ae_title="PYNETDICOM")
    entity.add_requested_context(STUDY_ROOT_FIND)
    with serving(server) as address:
        association = entity.associate(*address)
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 7)
        entity.shutdown()
    assert server.journal.of("asked by") == ["PYNETDICOM"]


def test_objects_are_what_pynetdicom_reads() -> None:
    """The fixtures' own check: our bytes are data sets."""
    for number, content in enumerate(OBJECTS.values(), 1):
        read = decode(BytesIO(content), is_implicit_vr=False, is_little_endian=True)
        assert read == an_object(number)
