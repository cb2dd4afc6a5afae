"""`pacsd move`: the selection goes where it is told, and failures are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_peer import Final, Script
from pacsd_command import Pacsd
from running_server import Server

from dicomnet import SubOperationFields
from support import dcmtk
from support.instance import Instance


def test_to_dcmtk(
    pacsd: Pacsd, server: Server, folder: Path, instances: tuple[Instance, ...], tmp_path: Path
) -> None:
    assert pacsd("send", *server.address, folder, "--aet", "CLI").status == 0
    ct = next(i for i in instances if i.name == "CT_small.dcm")
    with dcmtk.storescp("SINK", tmp_path / "received", port=server.sink_port) as storescp:
        done = pacsd(
            *("move", *server.address, "--aet", "CLI", "--destination", "SINK"),
            *("-k", f"StudyInstanceUID={ct.study_instance_uid}"),
        )
        received = [path.read_bytes() for path in storescp.folder.iterdir()]
    assert done.status == 0, done.err
    assert done.out == "C-MOVE: 0000 success: 1 completed, 0 with warnings, 0 failed\n"
    assert [content.endswith(ct.dataset) for content in received] == [True]


def test_an_unknown_destination(pacsd: Pacsd, server: Server) -> None:
    done = pacsd(
        "move", *server.address, "--aet", "CLI", "--destination", "NOBODY", "-k", "StudyInstanceUID=1.2.3"
    )
    assert done.status == 1
    assert "A801 refused: move destination unknown" in done.out
    assert "NOBODY" in done.out


def test_pending_responses_and_final_counts(pacsd: Pacsd, peer: tuple[str, int], script: Script) -> None:
    script.pending = [
        SubOperationFields(number_of_remaining_suboperations=2, number_of_completed_suboperations=1),
        SubOperationFields(),
    ]
    script.final = Final(
        0xB000,
        SubOperationFields(
            number_of_completed_suboperations=1,
            number_of_failed_suboperations=1,
            number_of_warning_suboperations=1,
        ),
        failed="1.2.7",
    )
    done = pacsd("move", *peer, "--destination", "SINK", "-k", "StudyInstanceUID=1.2.3")
    assert done.status == 1
    assert done.out == (
        "C-MOVE: B000 warning: sub-operations complete, one or more failures or warnings: "
        "1 completed, 1 with warnings, 1 failed\n"
    )
    assert done.err == "failed: 1.2.7\n"
    assert script.moved_to == ["SINK"]
    assert script.asked == [{"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3"}]


def test_warnings_alone_are_no_failure(pacsd: Pacsd, peer: tuple[str, int], script: Script) -> None:
    script.final = Final(0xB000, SubOperationFields(number_of_warning_suboperations=1))
    assert pacsd("move", *peer, "--destination", "SINK", "-k", "StudyInstanceUID=1.2.3").status == 0


@pytest.mark.parametrize("status", [0xFE00, 0xA701, 0xC123, 0x0124])
def test_other_ends_are_failures(pacsd: Pacsd, peer: tuple[str, int], script: Script, status: int) -> None:
    script.final = Final(status)
    done = pacsd("move", *peer, "--destination", "SINK", "-k", "StudyInstanceUID=1.2.3")
    assert done.status == 1
    assert f"C-MOVE: {status:04X} " in done.out


def test_wrong_usage_is_status_2(pacsd: Pacsd) -> None:
    assert "--destination" in pacsd("move", "127.0.0.1", "104", "-k", "StudyInstanceUID=1").err
    done = pacsd("move", "127.0.0.1", "104", "-k", "StudyInstanceUID=1", "--destination", "A\\B")
    assert done.status == 2
    assert "backslash" in done.err
