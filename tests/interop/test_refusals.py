"""Who may do what, and how a refusal looks: rejected associations, contexts and identifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import dcmtk, scp, scu
from support.instance import EXPLICIT_LITTLE_ENDIAN
from support.wire import WireAssociation

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from interop.conftest import Archive
    from support.server import PacsdServer

USER_REJECTION = 1
"""Result of a presentation context that this calling AE may not use (PS3.8 Table 9-18)."""
SERVICES = {"find": scu.STUDY_ROOT["find"], "move": scu.STUDY_ROOT["move"], "get": scu.STUDY_ROOT["get"]}
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


def context_results(server: PacsdServer, abstract_syntaxes: list[str], calling: str) -> dict[str, int]:
    """The server's result for each proposed abstract syntax."""
    contexts = [(uid, EXPLICIT_LITTLE_ENDIAN) for uid in abstract_syntaxes]
    with WireAssociation((server.host, server.port), contexts, calling=calling) as peer:
        assert peer.accept_or_reject.type == 2, "A-ASSOCIATE-AC"
        answered = peer.context_results()
        peer.release()
    return {uid: answered[peer.context_ids[uid, EXPLICIT_LITTLE_ENDIAN]] for uid in abstract_syntaxes}


def test_a_wrong_called_ae_title_is_rejected(pacsd_server: PacsdServer) -> None:
    """Permanent, by the service user, called AE title not recognised (PS3.8 Table 9-21)."""
    contexts = [(scu.VERIFICATION, EXPLICIT_LITTLE_ENDIAN)]
    mark = pacsd_server.log_size()
    with WireAssociation((pacsd_server.host, pacsd_server.port), contexts, called="SOMEONE") as peer:
        answer = peer.accept_or_reject
    assert answer.type == 3
    assert tuple(answer.body[1:4]) == (1, 1, 7)
    pacsd_server.wait_for_log("SOMEONE", after=mark)


def test_echoscu_tells_its_user_of_the_wrong_title(pacsd_server: PacsdServer) -> None:
    result = dcmtk.run_unchecked("echoscu", pacsd_server, called="SOMEONE")
    assert result.returncode != 0
    assert "Called AE Title Not Recognized" in result.stdout


def test_an_unknown_peer_may_echo_and_store_only(pacsd_server: PacsdServer) -> None:
    uids = [scu.VERIFICATION, CT_IMAGE, *SERVICES.values()]
    results = context_results(pacsd_server, uids, calling="STRANGER")
    assert results[scu.VERIFICATION] == results[CT_IMAGE] == 0
    assert {results[uid] for uid in SERVICES.values()} == {USER_REJECTION}


def test_a_peer_may_do_what_its_entry_allows(pacsd_server: PacsdServer) -> None:
    uids = [scu.VERIFICATION, CT_IMAGE, *SERVICES.values()]
    results = context_results(pacsd_server, uids, calling="FINDONLY")
    assert [uid for uid in uids if results[uid] == 0] == [scu.VERIFICATION, scu.STUDY_ROOT["find"]]
    assert {results[uid] for uid in uids} == {0, USER_REJECTION}


@pytest.mark.parametrize("tool", ["findscu", "getscu", "movescu"])
def test_dcmtk_of_an_unknown_peer_gets_no_further_than_negotiation(
    pacsd_server: PacsdServer, tool: str
) -> None:
    key = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")
    result = dcmtk.run_unchecked(tool, pacsd_server, "-S", *key, calling="STRANGER")
    assert result.returncode != 0
    assert "presentation context" in result.stdout.lower()


def test_an_unsupported_abstract_syntax_is_refused_by_name(pacsd_server: PacsdServer) -> None:
    """Result 3, abstract syntax not supported: here the Modality Performed Procedure Step."""
    results = context_results(pacsd_server, ["1.2.840.10008.3.1.2.3.3"], calling=scu.CALLING_AE_TITLE)
    assert set(results.values()) == {3}


def without_level() -> Dataset:
    keys = scu.keys("STUDY", StudyInstanceUID="1.2.3")
    del keys.QueryRetrieveLevel
    return keys


IDENTIFIERS_AT_FAULT = {
    "no level": without_level(),
    "unknown level": scu.keys("FLOOR", StudyInstanceUID="1.2.3"),
    "a level that the model lacks": scu.keys("PATIENT", PatientID="X"),
}
WITHOUT_UNIQUE_KEYS = {
    "no study": scu.keys("STUDY"),
    "no series": scu.keys("SERIES", StudyInstanceUID="1.2.3"),
    "no instance": scu.keys("IMAGE", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4"),
    "series, but no study": scu.keys("SERIES", SeriesInstanceUID="1.2.3"),
}


@pytest.mark.parametrize("identifier", IDENTIFIERS_AT_FAULT.values(), ids=list(IDENTIFIERS_AT_FAULT))
@pytest.mark.parametrize("service", SERVICES)
def test_an_identifier_without_a_usable_level_is_refused(
    archive: Archive, service: str, identifier: Dataset
) -> None:
    """A900, and the comment says why (PS3.4 §C.4.1.1.4, §C.4.2.1.5, §C.4.3.1.4)."""
    outcome = ask(archive.server, service, identifier)
    assert outcome.status == 0xA900
    assert outcome.error_comment


@pytest.mark.parametrize("identifier", WITHOUT_UNIQUE_KEYS.values(), ids=list(WITHOUT_UNIQUE_KEYS))
@pytest.mark.parametrize("service", ["move", "get"])
def test_a_retrieve_without_its_unique_keys_is_refused(
    archive: Archive, service: str, identifier: Dataset
) -> None:
    outcome = ask(archive.server, service, identifier)
    assert outcome.status == 0xA900
    assert "UID" in outcome.error_comment


def test_a_query_without_the_unique_key_above_is_refused(archive: Archive) -> None:
    """Baseline, hierarchical: the keys of all levels above have one value each (PS3.4 §C.4.1.2.1)."""
    outcome = ask(archive.server, "find", scu.keys("SERIES", SeriesInstanceUID=None))
    assert outcome.status == 0xA900
    assert "StudyInstanceUID" in outcome.error_comment


def ask(server: PacsdServer, service: str, identifier: Dataset) -> scu.Outcome:
    if service == "find":
        return scu.find(server, identifier)
    if service == "move":
        return scu.move(server, identifier, "SINK")
    outcome, _ = scu.get(server, identifier, [(CT_IMAGE, scp.NARROW)])
    return outcome
