"""`pacsd find`: keys in, matches out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_peer import Script, endless
from pacsd_command import Pacsd
from running_server import Server

from support.instance import Instance


@pytest.fixture
def stored(pacsd: Pacsd, server: Server, folder: Path) -> Server:
    assert pacsd("send", *server.address, folder, "--aet", "CLI").status == 0
    return server


def test_json_lines(pacsd: Pacsd, stored: Server, instances: tuple[Instance, ...]) -> None:
    ct = next(i for i in instances if i.name == "CT_small.dcm")
    done = pacsd(
        *("find", *stored.address, "--aet", "CLI", "--json"),
        *("-k", f"PatientID={ct.read().PatientID}", "-k", "StudyInstanceUID", "-k", "(0010,0010)"),
    )
    assert done.status == 0, done.err
    (match,) = map(json.loads, done.out.splitlines())
    assert match["StudyInstanceUID"] == ct.study_instance_uid
    assert match["PatientName"] == str(ct.read().PatientName)
    assert "QueryRetrieveLevel" not in match


def test_lines_for_a_pipe(pacsd: Pacsd, stored: Server, instances: tuple[Instance, ...]) -> None:
    mr = next(i for i in instances if i.name == "MR_small.dcm")
    done = pacsd(
        *("find", *stored.address, "--aet", "CLI", "--level", "image"),
        *(
            "-k",
            f"StudyInstanceUID={mr.study_instance_uid}",
            "-k",
            f"SeriesInstanceUID={mr.series_instance_uid}",
        ),
        *("-k", "SOPInstanceUID", "-k", "SOPClassUID"),
    )
    assert done.status == 0, done.err
    heading, *lines = [line.split("\t") for line in done.out.splitlines()]
    assert heading == ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]
    assert [mr.study_instance_uid, mr.series_instance_uid, mr.sop_instance_uid, mr.sop_class_uid] in lines


def test_a_relational_query_needs_no_keys_above(
    pacsd: Pacsd, stored: Server, instances: tuple[Instance, ...]
) -> None:
    mr = next(i for i in instances if i.name == "MR_small.dcm")
    asked = ("find", *stored.address, "--aet", "CLI", "--level", "image")
    keys = ("-k", f"SOPInstanceUID={mr.sop_instance_uid}", "-k", "StudyInstanceUID")
    done = pacsd(*asked, "--relational", *keys)
    assert done.status == 0, done.err
    assert done.out.splitlines()[1:] == [f"{mr.sop_instance_uid}\t{mr.study_instance_uid}"]
    refused = pacsd(*asked, "-k", f"SOPInstanceUID={mr.sop_instance_uid}")
    assert refused.status == 1
    assert "SeriesInstanceUID" in refused.err or "StudyInstanceUID" in refused.err


def test_a_peer_without_relational_queries_is_not_asked(
    pacsd: Pacsd, peer: tuple[str, int], script: Script
) -> None:
    done = pacsd("find", *peer, "--level", "image", "--relational", "-k", "SOPInstanceUID=1.2")
    assert done.status == 1
    assert "no relational queries" in done.err
    assert script.asked == []
    (request,) = script.requests
    (offer,) = request.user_information.extended_negotiations
    assert offer.information == b"\1"


def test_patient_level_is_asked_in_patient_root(pacsd: Pacsd, stored: Server) -> None:
    done = pacsd("find", *stored.address, "--aet", "CLI", "--level", "PATIENT", "-k", "PatientID=*CT*")
    assert done.status == 0, done.err
    assert "1CT1" in done.out


def test_the_usual_attributes_come_where_none_is_asked_for(
    pacsd: Pacsd, peer: tuple[str, int], script: Script
) -> None:
    assert pacsd("find", *peer, "-k", "Modality=CT", "--level", "SERIES").status == 0
    assert pacsd("find", *peer, "-k", "PatientName", "-k", "Modality=CT", "--level", "SERIES").status == 0
    assert script.asked[0].keys() >= {"SeriesInstanceUID", "SeriesDescription", "Modality"}
    assert script.asked[1].keys() == {"PatientName", "Modality", "QueryRetrieveLevel"}


def test_limit_cancels(pacsd: Pacsd, peer: tuple[str, int], script: Script) -> None:
    script.matches = lambda _: endless(lambda number: {"PatientID": str(number)})  # type: ignore[assignment,return-value]
    done = pacsd("find", *peer, "-k", "PatientID", "--limit", 3)
    assert done.status == 0, done.err
    assert done.out.splitlines() == ["PatientID", "0", "1", "2"]
    assert script.cancelled.is_set()


def test_no_matches(pacsd: Pacsd, peer: tuple[str, int]) -> None:
    done = pacsd("find", *peer, "-k", "PatientID")
    assert (done.status, done.out, done.err) == (0, "PatientID\n", "0 matches\n")


@pytest.mark.parametrize("status", [0xA700, 0xC001, 0xB001])
def test_an_answer_that_is_not_all_is_a_failure(
    pacsd: Pacsd, peer: tuple[str, int], script: Script, status: int
) -> None:
    script.matches = lambda _: [{"PatientID": "1"}]
    script.find_status, script.find_comment = status, "a reason"
    done = pacsd("find", *peer, "-k", "PatientID")
    assert (done.status, done.out) == (1, "PatientID\n1\n")
    assert f"C-FIND: {status:04X} " in done.err
    assert "(a reason)" in done.err


def test_a_peers_text_does_not_steer_the_terminal(
    pacsd: Pacsd, peer: tuple[str, int], script: Script
) -> None:
    script.matches = lambda _: [{"StudyDescription": "a\x9b2J\x07\tb"}]
    done = pacsd("find", *peer, "-k", "StudyDescription")
    assert done.out == "StudyDescription\na\ufffd2J\ufffd\ufffdb\n"
    as_json = pacsd("find", *peer, "-k", "StudyDescription", "--json")
    assert as_json.out.rstrip().isprintable()
    assert json.loads(as_json.out) == {"StudyDescription": "a\x9b2J\x07\tb"}


def test_names_in_other_scripts(pacsd: Pacsd, peer: tuple[str, int], script: Script) -> None:
    script.matches = lambda keys: [{"PatientName": keys["PatientName"]}]
    done = pacsd("find", *peer, "-k", "PatientName=Müller^Jérôme=山田^太郎", "-k", "PatientID")
    assert "Müller^Jérôme=山田^太郎" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-k", "PatientNme=X"], "did you mean PatientName?"),
        (["-k", "(0009,0001)=X"], "no attribute"),
        (["-k", "PatientID=1", "-k", "PatientID=2"], "given twice"),
        (["-k", "Rows=many"], "no value for Rows"),
        (["-k", "Rows=70000"], "no value for Rows"),
        (["-k", "RequestAttributesSequence=1"], "VR SQ"),
        (["-k", "QueryRetrieveLevel=STUDY"], "is no key"),
        (["--level", "PATIENT", "--model", "study"], "no level PATIENT"),
        (["--level", "FRAME"], "FRAME"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_wrong_usage_is_status_2(pacsd: Pacsd, arguments: list[str], said: str) -> None:
    done = pacsd("find", "127.0.0.1", "104", *arguments)
    assert done.status == 2
    assert said in " ".join(done.err.replace("│", " ").split())
