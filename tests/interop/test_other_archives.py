"""pacsd beside other archives: the same corpus, the same questions, the same matches, wherever they agree with it.

Orthanc is asked where its Debian package is installed in the version whose ways are known. `.ci/run` does not install
it: the package starts a server that listens to everybody.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support import scu
from support.differential_corpus import MADE_ROOT, bundled_headers, made_instances, name_of
from support.differential_questions import QUESTIONS, Difference, Question
from support.foreign_archives import dcmqrscp, orthanc, orthanc_version
from support.instance import EXPLICIT_LITTLE_ENDIAN
from support.matching_cases.encoding import identifier
from support.peers import free_port
from support.server import PacsdServer, Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynetdicom.association import Association

    from support.foreign_archives import ForeignArchive

KNOWN_ORTHANC = "1.10.1"
MODELS = {"STUDY_ROOT": scu.STUDY_ROOT["find"], "PATIENT_ROOT": scu.PATIENT_ROOT["find"]}
UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
CORPUS = (*made_instances(), *bundled_headers())


@pytest.fixture(scope="module", params=["pacsd", "dcmqrscp", "orthanc"])
def archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Association]]:
    """An archive's name, and an association with it to ask; it keeps the corpus."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as running:
        if request.param == "pacsd":
            server = PacsdServer(folder, peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=free_port())])
            server.start()
            running.callback(server.stop)
        elif request.param == "dcmqrscp":
            server = running.enter_context(dcmqrscp(folder))
        else:
            if orthanc_version() != KNOWN_ORTHANC:
                pytest.skip(f"Orthanc {KNOWN_ORTHANC} is not installed")
            server = running.enter_context(orthanc(folder))
        _store(server)
        contexts = [(model, [EXPLICIT_LITTLE_ENDIAN]) for model in MODELS.values()]
        yield request.param, running.enter_context(scu.association(server, contexts))


def _store(server: PacsdServer | ForeignArchive) -> None:
    contexts = sorted({(each.sop_class_uid, each.transfer_syntax_uid) for each in CORPUS})
    address = (server.host, server.port)
    with WireAssociation(address, contexts, calling=scu.CALLING_AE_TITLE) as association:
        statuses = {association.store(each, number).status for number, each in enumerate(CORPUS, 1)}
        association.release()
    assert statuses == {0x0000}


def ask(peer: Association, level: str, keys: dict[str, str], model: str = "STUDY_ROOT") -> scu.Outcome:
    asked = {"QueryRetrieveLevel": level, UNIQUE_KEYS[level]: "", **keys}
    return scu.collect(peer.send_c_find(identifier(asked), MODELS[model]))


def found(outcome: scu.Outcome, level: str) -> list[str]:
    assert outcome.status == 0x0000, outcome.error_comment
    return sorted(str(match[UNIQUE_KEYS[level]].value) for match in outcome.matches)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_the_same_question_finds_the_same(archive: tuple[str, Association], question: Question) -> None:
    name, peer = archive
    keys = {keyword: value.replace("~", MADE_ROOT) for keyword, value in question.keys.items()}
    outcome = ask(peer, question.level, keys, question.model)
    difference: Difference | None = None if name == "pacsd" else getattr(question, name)
    if difference is not None and isinstance(difference.found, int):
        assert outcome.status == difference.found, difference.reason
        return
    expected = question.found if difference is None else difference.found
    names = filter(None, map(name_of, found(outcome, question.level)))
    assert " ".join(sorted(names)) == expected, difference


def test_the_whole_corpus_is_found_from_the_top_down(archive: tuple[str, Association]) -> None:
    _, peer = archive
    assert found(ask(peer, "STUDY", {}), "STUDY") == sorted({each.study_instance_uid for each in CORPUS})
    for study in {each.study_instance_uid for each in bundled_headers()}:
        members = [each for each in CORPUS if each.study_instance_uid == study]
        series = sorted({each.series_instance_uid for each in members})
        assert found(ask(peer, "SERIES", {"StudyInstanceUID": study}), "SERIES") == series
        for one in series:
            keys = {"StudyInstanceUID": study, "SeriesInstanceUID": one}
            instances = sorted(each.sop_instance_uid for each in members if each.series_instance_uid == one)
            assert found(ask(peer, "IMAGE", keys), "IMAGE") == instances
