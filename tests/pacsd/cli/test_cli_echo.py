"""`pacsd echo`, and what it shares with the others: whom to call, and how refusals read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fake_peer import VERIFICATION, Script
from pacsd_command import Pacsd
from running_server import Server

from support.peers import free_port


def test_status_and_time(pacsd: Pacsd, server: Server) -> None:
    done = pacsd("echo", *server.address)
    assert done.status == 0, done.err
    assert re.fullmatch(r"PACSD at 127\.0\.0\.1:\d+: 0000 success, \d+\.\d ms\n", done.out)


def test_ae_titles(pacsd: Pacsd, peer: tuple[str, int], script: Script) -> None:
    assert pacsd("echo", *peer).status == 0
    assert pacsd("echo", *peer, "--aet", "ME", "--called", "YOU").status == 0
    titles = [(request.calling_ae_title, request.called_ae_title) for request in script.requests]
    assert titles == [("PACSD", "PACSD"), ("ME", "YOU")]


def test_a_configured_peer(pacsd: Pacsd, peer: tuple[str, int], script: Script, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text(
        f'[dicom]\nae_title = "OURS"\n[[peer]]\nae_title = "PEER"\nhost = "{peer[0]}"\nport = {peer[1]}\n'
    )
    assert pacsd("echo", "--peer", "PEER", "--config", config).status == 0
    assert pacsd("echo", "--peer", "PEER", "--config", config, "--calling", "ME").status == 0
    titles = [(request.calling_ae_title, request.called_ae_title) for request in script.requests]
    assert titles == [("OURS", "PEER"), ("ME", "PEER")]


def test_a_peer_that_is_not_configured_is_status_2(pacsd: Pacsd, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text('[[peer]]\nae_title = "PEER"\nhost = "127.0.0.1"\nport = 1\n')
    done = pacsd("echo", "--peer", "PEAR", "--config", config)
    assert done.status == 2
    assert done.err == "no [[peer]] has the AE title PEAR; configured: PEER\n"


def test_a_wrong_configuration_is_in_nobodys_way_without_peer(
    pacsd: Pacsd, peer: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong.toml").write_text("nonsense")
    monkeypatch.setenv("PACSD_CONFIG", str(tmp_path / "wrong.toml"))
    assert pacsd("echo", *peer).status == 0
    assert pacsd("echo", "--peer", "PEER").status == 2


def test_nobody_listens(pacsd: Pacsd) -> None:
    port = free_port()
    done = pacsd("echo", "127.0.0.1", port)
    assert (done.status, done.out) == (1, "")
    assert f"127.0.0.1:{port}" in done.err
    assert "refused" in done.err


def test_a_rejection_in_words(pacsd: Pacsd, peer: tuple[str, int], script: Script) -> None:
    script.rejection = (1, 1, 7)
    done = pacsd("echo", *peer)
    assert done.status == 1
    assert "rejected the association permanently: called AE title not recognized" in done.err


def test_a_context_that_is_refused(pacsd: Pacsd, peer: tuple[str, int], script: Script) -> None:
    script.refused_classes = frozenset({VERIFICATION})
    done = pacsd("echo", *peer)
    assert done.status == 1
    assert f"no presentation context for {VERIFICATION} was accepted" in done.err


def test_a_status_that_is_no_success_has_its_meaning(
    pacsd: Pacsd, peer: tuple[str, int], script: Script
) -> None:
    script.on_echo = lambda: 0x0122
    done = pacsd("echo", *peer)
    assert (done.status, done.out) == (1, "")
    assert done.err == "C-ECHO: 0122 refused: SOP class not supported\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "HOST and PORT"),
        (["127.0.0.1"], "HOST and PORT"),
        (["127.0.0.1", "70000"], "is no port"),
        (["127.0.0.1", "dicom"], "is no port"),
        (["127.0.0.1", "104", "--peer", "X"], "not both"),
        (["127.0.0.1", "104", "--aet", "SEVENTEENLETTERS1"], "1 to 16 characters"),
        (["127.0.0.1", "104", "--called", "A\\B"], "no backslash"),
        (["127.0.0.1", "104", "--timeout", "0"], "--timeout"),
    ],
)
def test_wrong_usage_is_status_2(pacsd: Pacsd, arguments: list[str], said: str) -> None:
    done = pacsd("echo", *arguments)
    assert done.status == 2
    assert said in done.err
