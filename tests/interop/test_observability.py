"""What the server tells its administrator: /healthz, /readyz, /metrics and the log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support import dcmtk, scu
from support.constructed import FAMILY_NAME, PATIENT_ID
from support.deadline import wait_until

if TYPE_CHECKING:
    from interop.conftest import Archive
    from support.server import PacsdServer


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_says_that_it_is_well(pacsd_server: PacsdServer, path: str) -> None:
    assert pacsd_server.get(path).status == 200


def test_an_unknown_page_is_not_found(pacsd_server: PacsdServer) -> None:
    assert pacsd_server.get("/elsewhere").status == 404


def sample_values(server: PacsdServer) -> dict[str, float]:
    lines = server.get("/metrics").text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_metrics_are_in_the_text_format_and_our_own_are_described(pacsd_server: PacsdServer) -> None:
    text = pacsd_server.get("/metrics").text
    ours = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE pacsd_")}
    assert ours
    assert ours == {line.split()[2] for line in text.splitlines() if line.startswith("# HELP pacsd_")}


@pytest.mark.parametrize("tool", ["echoscu", "findscu"])
def test_counters_move_with_the_work(pacsd_server: PacsdServer, tool: str) -> None:
    """Whichever worker process does the work, its counts come out."""
    keys = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")
    before = sample_values(pacsd_server)
    dcmtk.run(tool, pacsd_server, *(keys if tool == "findscu" else ()))

    def has_moved() -> bool:
        after = sample_values(pacsd_server)
        moved = {name for name in after if name.startswith("pacsd_") and after[name] > before.get(name, 0)}
        return any("associations" in name for name in moved) and any("_total" in name for name in moved)

    wait_until(has_moved, within=10, what="the counters of associations move")


def test_no_metric_label_holds_patient_data(archive: Archive) -> None:
    text = archive.server.get("/metrics").text
    assert PATIENT_ID not in text
    assert FAMILY_NAME not in text


def test_every_log_line_is_one_json_object_with_an_event(archive: Archive) -> None:
    events = archive.server.log_events()
    assert events
    assert all(event.get("event") and event.get("level") for event in events)


def test_the_log_holds_no_patient_data(archive: Archive) -> None:
    """Neither of stored instances, nor of queries for them."""
    scu.find(archive.server, scu.keys("STUDY", PatientID=PATIENT_ID, PatientName=f"{FAMILY_NAME}*"))
    names = {str(i.read().get("PatientName", "")) for i in archive.instances}
    text = archive.server.log_text()
    for name in names | {PATIENT_ID, FAMILY_NAME}:
        if len(name) > 5:
            assert not re.search(re.escape(name), text, re.IGNORECASE), "a patient's name or ID is in the log"
