"""What pynetdicom negotiates with the running server beyond presentation contexts (PS3.7 §D.3.3.5 to §D.3.3.7)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation, UserIdentityNegotiation

from support import scp, scu
from support.fake_archive import altered
from support.instance import EXPLICIT_LITTLE_ENDIAN
from support.peers import free_port
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.conftest import Archive

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
PRIVATE = "1.3.12.2.1107.5.9.1"
STORAGE_SERVICE = "1.2.840.10008.4.2"
IDENTIFIER_DOES_NOT_MATCH = 0xA900
PASSCODE = b"correct horse battery staple"


def storage(uid: str) -> SOPClassCommonExtendedNegotiation:
    item = SOPClassCommonExtendedNegotiation()
    item.sop_class_uid = uid
    item.service_class_uid = STORAGE_SERVICE
    return item


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PacsdServer]:
    """A server that nobody else asks what it holds."""
    server = PacsdServer(tmp_path / "pacsd", peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=free_port())])
    server.start()
    yield server
    server.stop()


def test_options_are_answered_as_they_are(archive: Archive) -> None:
    find, move, get = (scu.STUDY_ROOT[name] for name in ("find", "move", "get"))
    offered = [
        scu.extended(find, b"\1\1\1\1\1\1\1\1"),
        scu.extended(move, b"\1"),
        scu.extended(get, b"\1\1"),
        scu.extended(CT_IMAGE, b"\3\0\0\0\2\0"),
    ]
    contexts = [(uid, [EXPLICIT_LITTLE_ENDIAN]) for uid in (find, move, get, CT_IMAGE)]
    with scu.association(archive.server, contexts, negotiated=offered) as peer:
        assert peer.acceptor.sop_class_extended == {
            find: b"\1\1\0\0\0\1\1",
            move: b"\1",
            get: b"\1\0",
            CT_IMAGE: b"\2\0\3\0\0\0",
        }


@pytest.mark.parametrize("offered", [None, b"\0", b"\0\1"])
def test_a_relational_query_is_refused_where_it_is_not_negotiated(
    archive: Archive, offered: bytes | None
) -> None:
    find = scu.STUDY_ROOT["find"]
    negotiated = [] if offered is None else [scu.extended(find, offered)]
    # What is negotiated for another SOP class is none of this one's.
    negotiated.append(scu.extended(scu.PATIENT_ROOT["find"], b"\1"))
    contexts = [(uid, [EXPLICIT_LITTLE_ENDIAN]) for uid in (find, scu.PATIENT_ROOT["find"])]
    with scu.association(archive.server, contexts, negotiated=negotiated) as peer:
        relational = scu.keys("IMAGE", SOPInstanceUID=archive.instances[0].sop_instance_uid)
        refused = scu.collect(peer.send_c_find(relational, find))
        assert refused.status == IDENTIFIER_DOES_NOT_MATCH
        assert "StudyInstanceUID" in refused.error_comment
        done = scu.collect(peer.send_c_find(relational, scu.PATIENT_ROOT["find"]))
        assert (done.status, len(done.matches)) == (0x0000, 1)


@pytest.mark.parametrize("root", [scu.STUDY_ROOT, scu.PATIENT_ROOT], ids=["study", "patient"])
def test_an_instance_is_got_by_its_uid_alone(archive: Archive, root: dict[str, str]) -> None:
    """Relational retrieval (PS3.4 C.4.3.3.2.1), and only where it is negotiated."""
    instance = next(each for each in archive.instances if each.sop_class_uid == CT_IMAGE)
    contexts = [(CT_IMAGE, [instance.transfer_syntax_uid])]
    wanted = scu.keys("IMAGE", SOPInstanceUID=instance.sop_instance_uid)
    for offered, status, received in (
        ([scu.extended(root["get"], b"\1")], 0x0000, [instance.sop_instance_uid]),
        ([], IDENTIFIER_DOES_NOT_MATCH, []),
    ):
        outcome, inbox = scu.get(archive.server, wanted, contexts, model=root["get"], negotiated=offered)
        assert (outcome.status, list(inbox.received)) == (status, received)


def test_an_instance_is_moved_by_its_uid_alone(archive: Archive, sink: scp.Destination) -> None:
    """Relational retrieval (PS3.4 C.4.2.3.2.1), and only where it is negotiated."""
    instance = archive.instances[0]
    wanted = scu.keys("IMAGE", SOPInstanceUID=instance.sop_instance_uid)
    refused = scu.move(archive.server, wanted, "SINK")
    assert refused.status == IDENTIFIER_DOES_NOT_MATCH
    offered = [scu.extended(scu.STUDY_ROOT["move"], b"\1")]
    outcome = scu.move(archive.server, wanted, "SINK", negotiated=offered)
    assert outcome.status == 0x0000, outcome.error_comment
    assert list(sink.inbox.received) == [instance.sop_instance_uid]


@pytest.mark.parametrize("is_described", [False, True])
def test_private_storage_is_kept_and_given_back(
    own_server: PacsdServer, is_described: bool, tmp_path: Path
) -> None:
    instance = replace(altered(1, SOPClassUID=PRIVATE), sop_class_uid=PRIVATE)
    contexts = [(PRIVATE, [EXPLICIT_LITTLE_ENDIAN]), (scu.VERIFICATION, [EXPLICIT_LITTLE_ENDIAN])]
    described = [storage(PRIVATE)] if is_described else []
    with scu.association(own_server, contexts, negotiated=described) as peer:
        assert peer.send_c_store(instance.write_file(tmp_path / "private.dcm")).Status == 0x0000
    outcome, inbox = scu.get(own_server, scu.image_keys(instance), contexts[:1], negotiated=described)
    assert outcome.status == 0x0000
    (received,) = inbox.received.values()
    assert received.dataset == instance.dataset


def test_private_storage_that_nobody_describes_is_refused_where_that_is_wanted(tmp_path: Path) -> None:
    server = PacsdServer(tmp_path, settings={"dicom": {"accept_unknown_sop_classes": False}})
    server.start()
    contexts = [(PRIVATE, [EXPLICIT_LITTLE_ENDIAN]), (scu.VERIFICATION, [EXPLICIT_LITTLE_ENDIAN])]
    for described, accepted in (([], {scu.VERIFICATION}), ([storage(PRIVATE)], {PRIVATE, scu.VERIFICATION})):
        with scu.association(server, contexts, negotiated=described) as peer:
            assert {context.abstract_syntax for context in peer.accepted_contexts} == accepted
    server.stop()


def test_user_identity_is_neither_checked_nor_told(own_server: PacsdServer) -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.positive_response_requested = True
    identity.primary_field = b"somebody"
    identity.secondary_field = PASSCODE
    contexts = [(scu.VERIFICATION, [EXPLICIT_LITTLE_ENDIAN])]
    mark = own_server.log_size()
    with scu.association(own_server, contexts, negotiated=[identity]) as peer:
        assert peer.acceptor.user_identity is None
        assert peer.send_c_echo().Status == 0x0000
    own_server.wait_for_log("association-released", after=mark)
    assert PASSCODE.decode() not in own_server.log_text()
