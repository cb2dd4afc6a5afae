"""Who may do what, and how a refusal looks: rejected associations and contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import dcmtk, scu
from support.instance import EXPLICIT_LITTLE_ENDIAN
from support.wire import WireAssociation

if TYPE_CHECKING:
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
