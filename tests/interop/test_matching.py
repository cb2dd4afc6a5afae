"""The table of matching cases, stored and asked over the network: from bytes to bytes (PS3.4 C.2.2.2)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread

from support import dcmtk, scu
from support.instance import EXPLICIT_LITTLE_ENDIAN, part10_header
from support.matching_cases import Case, cases_with_roots
from support.matching_cases.encoding import encoded, identifier, instance
from support.matching_cases.refusals import REFUSED
from support.peers import free_port
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association

    from support.instance import Instance

MODELS = {
    "STUDY_ROOT": scu.STUDY_ROOT["find"],
    "PATIENT_ROOT": scu.PATIENT_ROOT["find"],
    "PATIENT_STUDY_ONLY": scu.PATIENT_STUDY_ONLY["find"],
}
FINDSCU_MODELS = {"STUDY_ROOT": "-S", "PATIENT_ROOT": "-P", "PATIENT_STUDY_ONLY": "-O"}
ASKED = cases_with_roots()
every_case = pytest.mark.parametrize(("case", "root"), ASKED, ids=[str(case) for case, _ in ASKED])
SOME = [(case, root) for case, root in ASKED if not case.options][::11]
"""DCMTK's client is started anew for each of its questions, and negotiates none of the options."""
Peers = Callable[[tuple[str, ...]], "Association"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    """A server that keeps what all cases keep."""
    folder = tmp_path_factory.mktemp("matching")
    server = PacsdServer(folder, peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=free_port())])
    server.start()
    kept = [instance(each) for case, root in cases_with_roots() for each in case.instances(root)]
    statuses = scu.send_all(server, kept, folder)
    assert set(statuses.values()) == {0x0000}
    yield server
    server.stop()


@pytest.fixture(scope="module")
def peers(server: PacsdServer) -> Iterator[Peers]:
    """One association of pynetdicom's for all questions with the same options."""
    contexts = [(model, [EXPLICIT_LITTLE_ENDIAN]) for model in MODELS.values()]
    established: dict[tuple[str, ...], Association] = {}
    with ExitStack() as associations:

        def peer(options: tuple[str, ...]) -> Association:
            if options not in established:
                offered = [scu.offered_options(model, options) for model in MODELS.values() if options]
                association = scu.association(server, contexts, negotiated=offered)
                established[options] = associations.enter_context(association)
            return established[options]

        yield peer


@pytest.fixture(scope="module")
def peer(peers: Peers) -> Association:
    """The one without options."""
    return peers(())


def question(case: Case, root: str) -> dict[str, str]:
    return {"QueryRetrieveLevel": case.level, **case.own_question(root)}


def assert_found(case: Case, root: str, matches: list[Dataset]) -> None:
    assert sorted(str(match[case.unique_key].value) for match in matches) == case.expected(root)
    for match in matches:
        found = {keyword: "\\".join(_values(match, keyword)) for keyword in case.answers}
        assert found == case.answers


def _values(match: Dataset, keyword: str) -> list[str]:
    value = match[keyword].value
    return [str(each) for each in (value if match[keyword].VM > 1 else [value])]


@every_case
def test_pynetdicom_finds(peers: Peers, case: Case, root: str) -> None:
    peer = peers(case.options)
    outcome = scu.collect(peer.send_c_find(identifier(question(case, root)), MODELS[case.model]))
    assert outcome.status == 0x0000, outcome.error_comment
    assert_found(case, root, outcome.matches)


@pytest.mark.parametrize(("case", "root"), SOME, ids=[str(case) for case, _ in SOME])
def test_findscu_finds(server: PacsdServer, tmp_path: Path, case: Case, root: str) -> None:
    asked = tmp_path / "question.dcm"
    header = part10_header(MODELS[case.model], root, EXPLICIT_LITTLE_ENDIAN)
    asked.write_bytes(header + encoded(question(case, root)))
    dcmtk.run("findscu", server, FINDSCU_MODELS[case.model], "-X", "-od", tmp_path, asked)
    assert_found(case, root, [dcmread(path, force=True) for path in sorted(tmp_path.glob("rsp*.dcm"))])


@pytest.mark.parametrize(("level", "keyword", "key"), REFUSED)
def test_a_key_that_means_nothing_is_refused(peer: Association, level: str, keyword: str, key: str) -> None:
    """A900 (PS3.4 §C.4.1.1.4); the comment names the key and gives nothing of its value away."""
    above = {
        "SERIES": {"StudyInstanceUID": "1"},
        "IMAGE": {"StudyInstanceUID": "1", "SeriesInstanceUID": "2"},
    }
    asked = {"QueryRetrieveLevel": level, **above.get(level, {}), keyword: key}
    outcome = scu.collect(peer.send_c_find(identifier(asked), scu.STUDY_ROOT["find"]))
    assert (outcome.status, outcome.matches) == (0xA900, [])
    assert keyword in outcome.error_comment
    assert key not in outcome.error_comment or key == "-"


ODD = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "SOPInstanceUID": "1.2.826.0.1.3680043.10.1583.8.1",
    "StudyInstanceUID": "1.2.826.0.1.3680043.10.1583.8.3",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.10.1583.8.5",
    "PatientID": "ODD",
    "PatientName": "Odd^One",
    "StudyTime": "12:30",
    "AccessionNumber": "7",
    "StudyDescription": "KNÉE",
}


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "odd"])
@pytest.mark.parametrize("keyword", [keyword for keyword in ODD if not keyword.startswith(("SOP", "Series"))])
def test_odd_lengths_are_forgiven(
    peer: Association, odd_instance: Instance, keyword: str, padded: bool
) -> None:
    """PS3.5 §7.1.1 wants even lengths; not everybody keeps to that."""
    asked = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", keyword: ODD[keyword]}
    outcome = scu.collect(peer.send_c_find(identifier(asked, padded=padded), scu.STUDY_ROOT["find"]))
    assert outcome.status == 0x0000, outcome.error_comment
    assert odd_instance.study_instance_uid in {str(match.StudyInstanceUID) for match in outcome.matches}


@pytest.fixture(scope="module")
def odd_instance(server: PacsdServer, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """An instance without any padding, stored."""
    odd = instance(ODD, padded=False)
    assert all(len(value.encode()) % 2 for keyword, value in ODD.items() if keyword != "StudyInstanceUID")
    statuses = scu.send_all(server, [odd], tmp_path_factory.mktemp("odd"))
    assert set(statuses.values()) == {0x0000}
    return odd
