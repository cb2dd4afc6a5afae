"""Queries that cost much, are cancelled in the middle of it, or are taken slowly: nobody else notices."""

from __future__ import annotations

import sqlite3
import struct
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.constructed import encode, simple_dataset
from support.deadline import wait_until
from support.instance import IMPLICIT_LITTLE_ENDIAN
from support.peers import free_port
from support.server import PacsdServer, Peer
from support.wire import WireAssociation, cancel_request, find_request, message, operations_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

    from support.instance import Instance

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
SECONDS = 2.0
"""That a query may take of work."""
LONG = 15
"""Objects whose text takes a tenth of a second each to be compared, or more."""
STUDIES = 300
"""Of which the answers are more than what lies in the sockets between us and a peer."""
SLOW = 150
"""Peers that do not take their matches: more than there are connections to the database."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    running = PacsdServer(
        tmp_path_factory.mktemp("queries"),
        peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=free_port())],
        settings={"server": {"workers": 1}, "limits": {"query_seconds": SECONDS}},
    )
    running.start()
    instances = [*long_texts(), *many_studies()]
    contexts = dict.fromkeys((each.sop_class_uid, each.transfer_syntax_uid) for each in instances)
    with WireAssociation((running.host, running.port), contexts, user_items=operations_window(30)) as peer:
        for begin in range(0, len(instances), 30):
            batch = instances[begin : begin + 30]
            for number, each in enumerate(batch, 1):
                peer.send_store(each, number)
            assert {peer.read_response().status for _ in batch} == {0}
        peer.release()
    yield running
    running.stop()


def long_texts() -> Iterator[Instance]:
    for number in range(LONG):
        dataset = simple_dataset(number)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
        dataset.SOPInstanceUID, dataset.PatientID = f"1.2.3.3.{number}", "LONG"
        dataset.TextValue = "a" * 1_000_000
        yield encode(dataset, f"long {number}")


def many_studies() -> Iterator[Instance]:
    for number in range(STUDIES):
        dataset = simple_dataset(1000 + number)
        dataset.StudyInstanceUID = f"1.2.4.1.{number}"
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = f"1.2.4.2.{number}", f"1.2.4.3.{number}"
        dataset.PatientID = f"MANY{number}"
        dataset.PatientComments = dataset.AdditionalPatientHistory = "c" * 10_000
        yield encode(dataset, f"many {number}")


def encoded(keys: Dataset) -> bytes:
    """In Implicit VR Little Endian."""
    parts = []
    for each in keys:
        value = str(each.value or "").encode()
        value += b" " * (len(value) % 2)
        parts.append(struct.pack("<HHI", each.tag.group, each.tag.element, len(value)) + value)
    return b"".join(parts)


def costly() -> bytes:
    keys = scu.keys("IMAGE", StudyInstanceUID="1.2.3.1", SeriesInstanceUID="1.2.3.2", SOPInstanceUID=None)
    keys.TextValue = "*a" + "?a" * 400 + "b*"
    return encoded(keys)


def all_studies() -> bytes:
    return encoded(
        scu.keys("STUDY", StudyInstanceUID=None, PatientComments=None, AdditionalPatientHistory=None)
    )


def asking(server: PacsdServer, *messages: bytes) -> WireAssociation:
    peer = WireAssociation(
        (server.host, server.port),
        [(STUDY_ROOT_FIND, IMPLICIT_LITTLE_ENDIAN)],
        calling=scu.CALLING_AE_TITLE,
    )
    for each in messages:
        peer.send(each)
    return peer


def query(identifier: bytes) -> bytes:
    return message(1, find_request(1, STUDY_ROOT_FIND), identifier)


def test_a_costly_query_ends(server: PacsdServer) -> None:
    with asking(server, query(costly())) as peer:
        answer = peer.read_response()
        peer.release()
    assert answer.status == 0xA700
    assert "more than 2 s of work" in answer.error_comment


def test_a_costly_query_is_cancelled_at_once(server: PacsdServer) -> None:
    with asking(server, query(costly())) as peer:
        assert not peer.has_answer(SECONDS / 4)
        began = time.monotonic()
        peer.send(message(1, cancel_request(1)))
        answer = peer.read_response()
        peer.release()
    assert answer.status == 0xFE00
    assert time.monotonic() - began < SECONDS / 2


def test_slow_takers_keep_nothing_from_others(server: PacsdServer) -> None:
    """No connection to the database, and nothing in its write-ahead log."""
    finished = server.metric("pacsd_operations_total", service="C-FIND")
    with ExitStack() as slow:
        for _ in range(SLOW):
            slow.enter_context(asking(server, query(all_studies())))
        with asking(server, query(encoded(scu.keys("STUDY", StudyInstanceUID="1.2.4.1.1")))) as peer:
            assert [peer.read_response().status for _ in range(2)] == [0xFF00, 0x0000]
            peer.release()
        # The buffers of some connections hold a whole answer.
        done = server.metric("pacsd_operations_total", service="C-FIND")
        assert finished + 1 <= done < finished + SLOW // 2, "the others wait"
        with closing(sqlite3.connect(server.index_path, isolation_level=None)) as other:
            wait_until(
                lambda: other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0,
                within=30,
                what="nobody reads an old state of the database",
            )
        last = asking(server, query(all_studies()))
        with last as peer:
            statuses = [peer.read_response().status for _ in range(STUDIES + 2)]
    assert statuses == [0xFF00] * (STUDIES + 1) + [0x0000], "all studies, and the one of the long texts"
