"""The bytes that the harness sends, read back; data sets by pydicom."""

from __future__ import annotations

import pytest
from pydicom import dcmread

from harness import wire
from harness.errors import WireError
from harness.instances import KINDS, plan
from harness.part10 import part10_header
from harness.query import identifier
from harness.templates import read_back, template


def pdus(message: bytes) -> list[bytes]:
    found = []
    while message:
        length = 6 + int.from_bytes(message[2:6], "big")
        found.append(message[:length])
        message = message[length:]
    return found


def test_an_association_request_is_read_back():
    contexts = [
        (1, wire.STUDY_FIND, [wire.IMPLICIT_LE]),
        (3, wire.VERIFICATION, [wire.EXPLICIT_LE, wire.IMPLICIT_LE]),
    ]
    request = wire.associate_rq("CALLED", "CALLING", contexts, scp_roles=[wire.STUDY_FIND])
    called, calling, found, roles = wire.parse_associate_rq(request[6:])
    assert (called, calling) == ("CALLED", "CALLING")
    assert found == [(1, [wire.IMPLICIT_LE]), (3, [wire.EXPLICIT_LE, wire.IMPLICIT_LE])]
    assert roles[:4] == b"\x54\0\0\x1f"


def test_an_acceptance_is_read_back():
    accepted = {1: wire.IMPLICIT_LE, 5: wire.EXPLICIT_LE}
    answer = wire.associate_ac("CALLED", "CALLING", accepted.items(), 16384)
    assert wire.parse_associate_ac(answer[6:]) == (16384, accepted)


@pytest.mark.parametrize("kind", ["small", "ct"])
@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
@pytest.mark.parametrize("max_pdu", [4096, 131072])
def test_a_store_message_holds_the_request_and_the_data_set(kind, syntax, max_pdu):
    source, instance = template(kind, syntax), plan(3, 1, 5)[0][2]
    message = b"".join(source.store_message(instance, 7, 1, max_pdu))
    first, *rest = pdus(message)
    assert all(len(each) <= 6 + max_pdu for each in rest)
    assert [each[11] for each in rest] == [0] * (len(rest) - 1) + [2]
    assert wire.parse_command(first[12:])[0x1000].rstrip(b"\0").decode() == instance.sop
    dataset = read_back(b"".join(each[12:] for each in rest), source.transfer_syntax)
    assert (dataset.SOPInstanceUID, dataset.InstanceNumber, dataset.PatientID) == (
        instance.sop, 3, instance.patient_id,
    )  # fmt: skip
    assert len(dataset.PixelData) == KINDS[kind].rows * KINDS[kind].columns * 2


def test_the_writes_of_an_ordinary_client_are_headers_and_the_rest():
    parts = template("ct").store_message(plan(1, 1, 5)[0][0], 1, 1, 16384)
    writes = [b"".join(write) for write in wire.pdu_writes(parts)]
    assert b"".join(writes) == b"".join(parts)
    assert [len(header) for header in writes[::2]] == [12] * (len(writes) // 2)
    assert [header + rest for header, rest in zip(writes[::2], writes[1::2], strict=True)] == pdus(
        b"".join(parts)
    )


def test_a_message_cut_off_has_no_writes():
    head, tail = template("small").store_message(plan(1, 1, 5)[0][0], 1, 1, 16384)
    with pytest.raises(WireError, match="within a PDU"):
        wire.pdu_writes([head, tail[:-1]])


def test_files_are_dicom_files(tmp_path):
    instances = plan(2, 1, 5)[0]
    folder = template("small").write_files(tmp_path / "files", instances)
    read = [dcmread(path) for path in sorted(folder.iterdir())]
    assert [each.SOPInstanceUID for each in read] == [each.sop for each in instances]
    assert read[0].file_meta.TransferSyntaxUID == wire.EXPLICIT_LE


def test_keys_to_match_replace_keys_to_return():
    found = read_back(identifier("STUDY", ("PatientID", "StudyDate"), PatientID="P1"), wire.IMPLICIT_LE)
    assert (found.QueryRetrieveLevel, found.PatientID, found.StudyDate) == ("STUDY", "P1", "")


def test_a_part_10_header_begins_with_its_length():
    header = part10_header(b"1.2.3", b"1.2.3.4", wire.IMPLICIT_LE)
    assert int.from_bytes(header[140:144], "little") == len(header) - 144


def test_no_two_associations_share_a_study():
    lists = plan(500, 2, 1)
    assert [len(mine) for mine in lists] == [250, 250]
    studies = [{each.study for each in mine} for mine in lists]
    assert not studies[0] & studies[1]
    assert len({each.sop for mine in lists for each in mine}) == 500
