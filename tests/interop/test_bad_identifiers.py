"""Identifiers that say nothing, or what their model has no place for: A900, and why.

PS3.4 Tables C.4-1, C.4-2 and C.4-3. Keys whose values mean nothing are refused in `test_matching`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydicom.datadict import tag_for_keyword

from support import dcmtk, scu
from support.instance import EXPLICIT_LITTLE_ENDIAN, part10_header
from support.matching_cases.encoding import encoded, identifier
from support.matching_cases.refusals import BAD_QUERIES, BAD_RETRIEVES
from support.wire import DATA_SET, NO_DATA_SET, WireAssociation, command_set, element, message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pynetdicom.association import Association

    from interop.conftest import Archive
    from support.server import PacsdServer

MODELS = {
    "STUDY_ROOT": scu.STUDY_ROOT,
    "PATIENT_ROOT": scu.PATIENT_ROOT,
    "PATIENT_STUDY_ONLY": scu.PATIENT_STUDY_ONLY,
}
DCMTK_MODELS = {"STUDY_ROOT": "-S", "PATIENT_ROOT": "-P", "PATIENT_STUDY_ONLY": "-O"}
REQUESTS = {"find": 0x0020, "get": 0x0010, "move": 0x0021}
LONGEST_COMMENT = 64
NOBODYS_BUSINESS = {"A", "X", "1.2", "1.2.1"}
"""Values of the keys, which no comment may give away."""


@pytest.fixture(scope="module")
def peer(archive: Archive) -> Iterator[Association]:
    """One association for all questions of pynetdicom's: after each refusal it must go on."""
    contexts = [(uid, [EXPLICIT_LITTLE_ENDIAN]) for model in MODELS.values() for uid in model.values()]
    with scu.association(archive.server, contexts) as established:
        yield established


def assert_refused(outcome: scu.Outcome, keyword: str) -> None:
    assert (outcome.status, outcome.pending) == (0xA900, [])
    assert not outcome.identifier
    named = "level" if keyword == "QueryRetrieveLevel" else keyword
    assert named.lower() in outcome.error_comment.lower()
    assert len(outcome.error_comment) <= LONGEST_COMMENT
    assert outcome.final.OffendingElement == tag_for_keyword(keyword)
    assert not NOBODYS_BUSINESS & set(outcome.error_comment.split())


@pytest.mark.parametrize(("model", "keys", "keyword"), BAD_QUERIES)
def test_a_query_is_refused_by_name(
    peer: Association, model: str, keys: Mapping[str, str], keyword: str
) -> None:
    outcome = scu.collect(peer.send_c_find(identifier(keys), MODELS[model]["find"]))
    assert_refused(outcome, keyword)


@pytest.mark.parametrize(("model", "keys", "keyword"), BAD_RETRIEVES)
@pytest.mark.parametrize("service", ["get", "move"])
def test_a_retrieve_is_refused_by_name(
    peer: Association, service: str, model: str, keys: Mapping[str, str], keyword: str
) -> None:
    sop_class = MODELS[model][service]
    if service == "get":
        outcome = scu.collect(peer.send_c_get(identifier(keys), sop_class))
    else:
        outcome = scu.collect(peer.send_c_move(identifier(keys), "SINK", sop_class))
    assert_refused(outcome, keyword)


@pytest.mark.parametrize("tool", ["findscu", "getscu", "movescu"])
@pytest.mark.parametrize(("model", "keys", "keyword"), BAD_QUERIES[::4])
def test_dcmtk_shows_its_user_why(
    archive: Archive, tmp_path: Path, tool: str, model: str, keys: Mapping[str, str], keyword: str
) -> None:
    service = tool.removesuffix("scu")
    asked = tmp_path / "identifier.dcm"
    header = part10_header(MODELS[model][service], "1.2.3", EXPLICIT_LITTLE_ENDIAN)
    asked.write_bytes(header + encoded(keys))
    destination = ("-aem", "SINK") if service == "move" else ()
    shown = dcmtk.run_unchecked(tool, archive.server, DCMTK_MODELS[model], "-d", *destination, asked).stdout
    assert "0xa900" in shown
    tag = tag_for_keyword(keyword)
    assert tag is not None
    assert f"(0000,0901) AT ({tag >> 16:04x},{tag & 0xFFFF:04x})" in shown
    assert "(0000,0902) LO [" in shown


@pytest.mark.parametrize("service", REQUESTS)
@pytest.mark.parametrize(
    ("data", "comment"),
    [
        (None, "Query/Retrieve Level is missing"),
        (b"", "Query/Retrieve Level is missing"),
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 192", "Query/Retrieve Level is missing"),
        (b"garbage!", "the identifier is not a readable data set"),
        (b"\x08\0\x52\0CS\x10\0STUDY ", "the identifier is not a readable data set"),
        (b"\x08\0\x52\0CS\x06\0STUDY \x20\0", "the identifier is not a readable data set"),
    ],
    ids=["none", "empty", "no keys", "garbage", "cut in a value", "cut in a header"],
)
def test_what_is_no_identifier_is_refused(
    pacsd_server: PacsdServer, service: str, data: bytes | None, comment: str
) -> None:
    """The association goes on: the next question is refused on it as well."""
    sop_class = scu.STUDY_ROOT[service]
    command = command_set(
        element(0x0002, sop_class),
        element(0x0100, REQUESTS[service]),
        element(0x0110, 7),
        *([element(0x0600, "SINK")] if service == "move" else []),
        element(0x0700, 0),
        element(0x0800, NO_DATA_SET if data is None else DATA_SET),
    )
    address = (pacsd_server.host, pacsd_server.port)
    context = (sop_class, EXPLICIT_LITTLE_ENDIAN)
    with WireAssociation(address, [context], calling=scu.CALLING_AE_TITLE) as peer:
        for _ in range(2):
            peer.send(message(peer.context_ids[context], command, data))
            response = peer.read_response()
            assert (response.status, response.error_comment) == (0xA900, comment)
        peer.release()
