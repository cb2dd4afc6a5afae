"""What pynetdicom negotiates with the running server beyond presentation contexts (PS3.7 §D.3.3.5 to §D.3.3.7)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pynetdicom.pdu_primitives import (
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

from support import scu
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


def extended(uid: str, information: bytes) -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = uid
    item.service_class_application_information = information
    return item


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
    """Relational queries are turned down, and a query without the keys above is refused."""
    find, move, get = (scu.STUDY_ROOT[name] for name in ("find", "move", "get"))
    offered = [
        extended(find, b"\1\1\1\1\1\1\1\1"),
        extended(move, b"\1"),
        extended(get, b"\1\1"),
        extended(CT_IMAGE, b"\3\0\0\0\2\0"),
    ]
    contexts = [(uid, [EXPLICIT_LITTLE_ENDIAN]) for uid in (find, move, get, CT_IMAGE)]
    with scu.association(archive.server, contexts, negotiated=offered) as peer:
        assert peer.acceptor.sop_class_extended == {
            find: bytes(7),
            move: bytes(1),
            get: bytes(2),
            CT_IMAGE: b"\2\0\3\0\0\0",
        }
        relational = scu.keys("IMAGE", SOPInstanceUID=archive.instances[0].sop_instance_uid)
        refused = scu.collect(peer.send_c_find(relational, find))
    assert refused.status == IDENTIFIER_DOES_NOT_MATCH


def test_private_storage_is_kept_and_given_back(own_server: PacsdServer, tmp_path: Path) -> None:
    instance = replace(altered(1, SOPClassUID=PRIVATE), sop_class_uid=PRIVATE)
    contexts = [(PRIVATE, [EXPLICIT_LITTLE_ENDIAN]), (scu.VERIFICATION, [EXPLICIT_LITTLE_ENDIAN])]
    with scu.association(own_server, contexts) as peer:
        assert [context.abstract_syntax for context in peer.accepted_contexts] == [scu.VERIFICATION]
    with scu.association(own_server, contexts, negotiated=[storage(PRIVATE)]) as peer:
        assert peer.send_c_store(instance.write_file(tmp_path / "private.dcm")).Status == 0x0000
    outcome, inbox = scu.get(
        own_server, scu.image_keys(instance), contexts[:1], negotiated=[storage(PRIVATE)]
    )
    assert outcome.status == 0x0000
    (received,) = inbox.received.values()
    assert received.dataset == instance.dataset


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
