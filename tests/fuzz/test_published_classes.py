"""One test for each class of flaw that was published for other DICOM software and that touches network or parsing.

The numbers are of flaws in Orthanc, DCMTK and GDCM; nesting, bombs and claimed lengths are in `test_hostile_inputs`.
"""

from __future__ import annotations

import gc
import re
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from dicomnet.errors import RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer.reader import read_pdu
from fuzz import seeds
from fuzz.targets import Run, open_archive
from pacsd.dataset.part10 import part10_header
from pacsd.dataset.uids import verify_keepable
from pacsd.errors import DatasetInvalid
from pacsd.scp.service_table import service_of
from pacsd.storage.layout import instance_path
from support.constructed import encode, simple_dataset
from support.instance import Instance
from support.wire import (
    APPLICATION_CONTEXT,
    IMPLICIT_LITTLE_ENDIAN,
    RELEASE_REQUEST,
    associate_request,
    command_set,
    data_transfer,
    element,
    item,
    message,
    store_request,
)

VERIFICATION, STUDY_ROOT_FIND = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"


@pytest.fixture
def archive() -> Iterator[Run]:
    """The archive, which fails the test if an exception reaches the engine, or if anything stays behind."""
    with open_archive() as run:
        yield run


@pytest.fixture(scope="module")
def instance() -> Instance:
    return encode(simple_dataset(8000), "published")


def association(context: tuple[str, str], *messages: bytes, calling: str = "ATTACKER") -> bytes:
    """A request for one context, messages, and a release."""
    return associate_request("PACSD", calling, [(1, *context)]) + b"".join(messages) + RELEASE_REQUEST


@pytest.mark.parametrize(
    "uid",
    [
        "../../etc/passwd",
        "..",
        "/etc/passwd",
        "1.2/../../3",
        "1.2\\..\\3",
        "1.2\0.3",
        "",
        "1.2\n",
        "\u0661.2",
        "~",
        "1" * 129,
    ],
)
def test_path_traversal_by_uids(uid: str) -> None:
    """CVE-2022-2119, CVE-2022-2120: DCMTK wrote where a peer's UID led. CVE-2023-33466: Orthanc overwrote files."""
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    for uids in ((uid, "1.2", "1.3"), ("1.2", uid, "1.3"), ("1.2", "1.3", uid)):
        with pytest.raises(DatasetInvalid):
            verify_keepable(dict(zip(keywords, uids, strict=True)))
        # And if it came that far.
        path = instance_path(datetime(2024, 1, 2, tzinfo=UTC), *uids)
        assert re.fullmatch(r"2024/01/02(/[0-9.]+|/sha256-[0-9a-f]{32}){3}\.dcm", path)
        assert ".." not in path


@pytest.mark.parametrize("excess", [1, 2, 1000, 60_000])
def test_overflow_by_the_length_of_an_item(excess: int) -> None:
    """CVE-2015-8979: a stack overflow in DCMTK's reading of presentation contexts."""
    syntaxes = item(0x30, b"1.2.840.10008.1.1") + item(0x40, b"1.2.840.10008.1.2")
    for inner in (syntaxes, item(0x30, b"1." * 5000) + syntaxes, syntaxes + item(0x40, b"1.2") * 2000):
        context = struct.pack(">BBHBBBB", 0x20, 0, min(len(inner) + 4 + excess, 0xFFFF), 1, 0, 0, 0) + inner
        body = struct.pack(">HH", 1, 0) + b"A".ljust(16) + b"B".ljust(16) + bytes(32) + context
        with pytest.raises(RemoteProtocolError):
            read_pdu(1, body, Limits())


@pytest.mark.parametrize("length", [0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFE, 0xFFFFFFFF])
@pytest.mark.parametrize("pdu_length", [0, 1, 5, 6, 7, 8, 0x7FFFFFFF, 0xFFFFFFFF])
def test_integer_overflow_of_pdv_lengths(archive: Run, length: int, pdu_length: int) -> None:
    """CVE-2015-8396, in GDCM, is one of the many whose lengths wrapped in a sum or a product."""
    pdu = struct.pack(">BBIIBB", 4, 0, pdu_length, length, 1, 3) + bytes(20)
    archive(association((VERIFICATION, IMPLICIT_LITTLE_ENDIAN), pdu))


@pytest.mark.parametrize("missing", [0x0002, 0x0100, 0x0110, 0x0700, 0x0800, 0x1000])
@pytest.mark.parametrize(
    "field", [0x0001, 0x0020, 0x0021, 0x0010, 0x0030, 0x0FFF, 0x8001, 0x8020, 0x0100, 0x0130]
)
def test_null_dereference_on_a_missing_element(
    archive: Run, instance: Instance, missing: int, field: int
) -> None:
    """CVE-2022-2121, CVE-2021-41689, CVE-2024-34508, CVE-2024-34509: DCMTK fell over invalid DIMSE messages."""
    context = (instance.sop_class_uid, instance.transfer_syntax_uid)
    elements = {
        0x0002: element(0x0002, instance.sop_class_uid),
        0x0100: element(0x0100, field),
        0x0110: element(0x0110, 1),
        0x0700: element(0x0700, 0),
        0x0800: element(0x0800, 1),
        0x1000: element(0x1000, instance.sop_instance_uid),
    }
    left = command_set(*(each for number, each in elements.items() if number != missing))
    archive(association(context, message(1, left, instance.dataset)))
    archive(association(context, message(1, left)))


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_null_dereference_on_a_missing_item(archive: Run, left: int) -> None:
    """An association request that lacks its application context, its contexts or its user information."""
    context = item(0x20, b"\1\0\0\0" + item(0x30, VERIFICATION.encode()) + item(0x40, b"1.2.840.10008.1.2"))
    items = [item(0x10, APPLICATION_CONTEXT.encode()), context, item(0x50, item(0x51, bytes(4)))]
    if left < len(items):
        del items[left]
    else:
        items[2] = item(0x50, b"")
    body = struct.pack(">HH", 1, 0) + b"PACSD".ljust(16) + b"B".ljust(16) + bytes(32) + b"".join(items)
    echo = command_set(element(0x0002, VERIFICATION), element(0x0100, 0x0030), element(0x0800, 0x0101))
    archive(struct.pack(">BBI", 1, 0, len(body)) + body + message(1, echo) + RELEASE_REQUEST)


def test_uncontrolled_memory_by_associations_that_break_off(archive: Run, instance: Instance) -> None:
    """CVE-2022-43272, CVE-2021-41687, CVE-2021-41690: DCMTK leaked what an aborted association had taken."""
    context = (instance.sop_class_uid, instance.transfer_syntax_uid)
    command = message(1, store_request(1, instance.sop_class_uid, instance.sop_instance_uid))
    half = command + data_transfer(1, 0, instance.dataset[:300])
    streams = [association(context, half + end) for end in (ABORT, b"", b"\xff", half)]
    streams += seeds.recorded("rq")

    def all_of_them(times: int) -> int:
        for _ in range(times):
            for stream in streams:
                archive(stream)
        gc.collect()  # what exceptions hold by their tracebacks is garbage, but found only now and then
        return tracemalloc.get_traced_memory()[0]

    threads = threading.active_count()
    tracemalloc.start()
    try:
        taken = [all_of_them(10) for _ in range(4)]
        # A leak grows each time; what something else in this process takes once is none.
        assert min(after - before for before, after in pairwise(taken)) < 30_000, taken
    finally:
        tracemalloc.stop()
    assert threading.active_count() == threads


@pytest.mark.parametrize("accept_unknown", [False, True])
def test_path_traversal_by_a_dicomdir(accept_unknown: bool) -> None:
    """A DICOMDIR names files by paths; it is no instance, neither to receive nor to follow (`pacsd send`)."""
    assert service_of(MEDIA_STORAGE_DIRECTORY, accept_unknown=accept_unknown) is None


@pytest.mark.parametrize("executable", [b"MZ\x90\0", b"\x7fELF", b"#!/bin/sh\n", b"%PDF-1.7"])
def test_polyglot_preamble(archive: Run, instance: Instance, executable: bytes) -> None:
    """CVE-2019-11687: the preamble makes a DICOM file a program as well. Ours is zeros, whatever is sent."""
    preamble = executable.ljust(128, b"\0") + b"DICM"
    context = (instance.sop_class_uid, instance.transfer_syntax_uid)
    command = store_request(1, instance.sop_class_uid, instance.sop_instance_uid)
    archive(association(context, message(1, command, preamble + instance.dataset)))
    header = part10_header(
        sop_class_uid="1.2",
        sop_instance_uid="1.3",
        transfer_syntax_uid="1.2.840.10008.1.2",
        implementation_class_uid="1.4",
        implementation_version_name="V",
    )
    assert header[:128] == bytes(128)


@pytest.mark.parametrize("identifier", [b"", b"\0" * 7, b"\x08\0\x52\0\x08\0\0\0"])
def test_null_dereference_on_a_query_without_keys(archive: Run, identifier: bytes) -> None:
    command = command_set(
        element(0x0002, STUDY_ROOT_FIND), element(0x0100, 0x0020), element(0x0110, 1), element(0x0800, 1)
    )
    archive(association((STUDY_ROOT_FIND, IMPLICIT_LITTLE_ENDIAN), message(1, command, identifier)))
