"""Every key of PS3.4 §C.6.1 and §C.6.2 over the network, with what the server says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import scp, scu
from support.constructed import encode
from support.peers import free_port
from support.server import PacsdServer, Peer
from support.standard_keys import INSTANCES, LEVELS_OF, dataset_of, keys_down_to, question_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynetdicom.association import Association

MODELS = {
    "PATIENT_ROOT": scu.PATIENT_ROOT["find"],
    "STUDY_ROOT": scu.STUDY_ROOT["find"],
    "PATIENT_STUDY_ONLY": scu.PATIENT_STUDY_ONLY["find"],
}
OF_THE_SERVER = {"InstanceAvailability": "ONLINE", "RetrieveAETitle": "PACSD"}
ASKED = [(model, level) for model, levels in LEVELS_OF.items() for level in levels]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Association]:
    """An association with a server that keeps the one patient."""
    folder = tmp_path_factory.mktemp("keys")
    server = PacsdServer(folder, peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=free_port())])
    server.start()
    kept = [encode(dataset_of(each), str(each["SOPInstanceUID"])) for each in INSTANCES]
    assert set(scu.send_all(server, kept, folder).values()) == {0x0000}
    with scu.association(server, [(model, scp.NARROW) for model in MODELS.values()]) as established:
        yield established
    server.stop()


@pytest.mark.parametrize(("model", "level"), ASKED)
def test_every_key_is_answered(peer: Association, model: str, level: str) -> None:
    keys = {"QueryRetrieveLevel": level, **question_at(level), **dict.fromkeys(OF_THE_SERVER, "")}
    outcome = scu.collect(peer.send_c_find(dataset_of(keys), MODELS[model]))
    assert outcome.status == 0x0000, outcome.error_comment
    assert [status.Status for status, _ in outcome.pending] == [0xFF00]
    (match,) = outcome.matches
    expected = dataset_of({"QueryRetrieveLevel": level, **keys_down_to(level), **OF_THE_SERVER})
    assert {each.keyword: each.value for each in match} == {each.keyword: each.value for each in expected}


@pytest.mark.parametrize(("model", "level"), ASKED)
def test_a_key_that_is_not_supported_is_empty_and_said_so(peer: Association, model: str, level: str) -> None:
    """PS3.4 Table C.4-1: FF01; here a key that all of a study's series would have to answer together."""
    if level == "IMAGE":
        keys = {**question_at(level), "ICCProfile": ""}
    else:
        keys = {**question_at(level), "AnatomicRegionsInStudyCodeSequence": ""}
    outcome = scu.collect(peer.send_c_find(dataset_of({"QueryRetrieveLevel": level, **keys}), MODELS[model]))
    assert [status.Status for status, _ in outcome.pending] == [0xFF01]
    (match,) = outcome.matches
    (unsupported,) = set(keys) - set(keys_down_to(level))
    assert not match[unsupported].value
