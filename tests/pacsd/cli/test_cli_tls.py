"""`--tls` and the options that go with it; one command shows what `call_to` makes of them for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_peer import Script, fake_peer
from pacsd_command import Pacsd

from dicomnet import TlsConfiguration
from support.certificates import PASSWORD, Authority, Certified


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certified:
    return authority.certify("ours")


@pytest.fixture
def peer(script: Script, authority: Authority) -> Iterator[tuple[str, int]]:
    """A peer that speaks TLS with those only who show a certificate."""
    identity = authority.certify("peer")
    tls = TlsConfiguration(
        certificate=identity.certificate,
        private_key=identity.key,
        ca=authority.certificate,
        require_peer_certificate=True,
    )
    with fake_peer(script, tls) as address:
        yield address


def options(authority: Authority, ours: Certified) -> list[str | Path]:
    return ["--tls", "--ca", authority.certificate, "--cert", ours.certificate, "--private-key", ours.key]


def test_echo(pacsd: Pacsd, peer: tuple[str, int], authority: Authority, ours: Certified) -> None:
    done = pacsd("echo", *peer, *options(authority, ours))
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    "command",
    [
        ["find"],
        ["get", "-o", "out", "-k", "StudyInstanceUID=1.2"],
        ["move", "--destination", "X", "-k", "StudyInstanceUID=1.2"],
    ],
)
def test_the_other_commands_pass_it_on(
    command: list[str],
    pacsd: Pacsd,
    peer: tuple[str, int],
    script: Script,
    authority: Authority,
    ours: Certified,
) -> None:
    in_the_clear = pacsd(command[0], *peer, *command[1:])
    assert (in_the_clear.status, script.requests) == (1, [])
    pacsd(command[0], *peer, *command[1:], *options(authority, ours))
    assert script.requests


def test_send_passes_it_on(
    folder: Path, pacsd: Pacsd, peer: tuple[str, int], script: Script, authority: Authority, ours: Certified
) -> None:
    done = pacsd("send", *peer, folder, *options(authority, ours))
    assert done.status == 0, done.err
    assert script.received


def test_a_configured_peer(
    pacsd: Pacsd, peer: tuple[str, int], authority: Authority, ours: Certified, tmp_path: Path
) -> None:
    config = tmp_path / "own.toml"
    config.write_text(
        f'[dicom.tls]\ncertificate = "{ours.certificate}"\nprivate_key = "{ours.key}"\n'
        f'ca = "{authority.certificate}"\n'
        f'[[peer]]\nae_title = "PEER"\nhost = "{peer[0]}"\nport = {peer[1]}\ntls = true\n'
        f'[[peer]]\nae_title = "CLEAR"\nhost = "{peer[0]}"\nport = {peer[1]}\n'
    )
    assert pacsd("echo", "--peer", "PEER", "--config", config).status == 0
    assert pacsd("echo", "--peer", "CLEAR", "--config", config).status == 1
    assert pacsd("echo", "--peer", "CLEAR", "--tls", "--config", config).status == 0
    wrong = pacsd("echo", "--peer", "PEER", "--config", config, "--ca", tmp_path / "nowhere")
    assert (wrong.status, "--ca: cannot read" in wrong.err) == (2, True)


def test_configured_files_are_blamed_by_their_key(pacsd: Pacsd, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text(
        '[dicom.tls]\nca = "nowhere"\n[[peer]]\nae_title = "PEER"\nhost = "127.0.0.1"\nport = 1\ntls = true\n'
    )
    done = pacsd("echo", "--peer", "PEER", "--config", config)
    assert (done.status, "dicom.tls.ca: cannot read" in done.err) == (2, True)


def test_an_encrypted_key(
    pacsd: Pacsd, peer: tuple[str, int], authority: Authority, ours: Certified, tmp_path: Path
) -> None:
    key = authority.encrypt(ours.key)
    encrypted = ["--tls", "--ca", authority.certificate, "--cert", ours.certificate, "--private-key", key]
    password = tmp_path / "password"
    for content, status in (("wrong\n", 2), (f"{PASSWORD}\n", 0)):
        password.write_text(content)
        done = pacsd("echo", *peer, *encrypted, "--private-key-password-file", password)
        assert done.status == status, done.err
    without = pacsd("echo", *peer, *encrypted)
    said = " ".join(without.err.replace("│", " ").split())
    assert (without.status, "--private-key-password-file: " in said) == (2, True)


def test_an_authority_that_is_not_trusted(pacsd: Pacsd, peer: tuple[str, int]) -> None:
    done = pacsd("echo", *peer, "--tls")
    assert done.status == 1
    assert "the peer's certificate is refused" in done.err


def test_a_certificate_for_another_host(pacsd: Pacsd, script: Script, authority: Authority) -> None:
    elsewhere = authority.certify("elsewhere", hosts="subjectAltName=DNS:pacs.example")
    tls = TlsConfiguration(certificate=elsewhere.certificate, private_key=elsewhere.key)
    with fake_peer(script, tls) as address:
        strict = pacsd("echo", *address, "--tls", "--ca", authority.certificate)
        assert (strict.status, "mismatch" in strict.err) == (1, True)
        lenient = pacsd("echo", *address, "--tls", "--ca", authority.certificate, "--no-check-name")
        assert lenient.status == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ca", "x"], "with --tls only"),
        (["--tls", "--private-key", "x"], "--private-key needs --cert"),
        (["--tls", "--private-key-password-file", "x"], "--private-key-password-file needs --cert"),
        (["--tls", "--ca", "nowhere"], "--ca: cannot read nowhere"),
        (["--tls", "--cert", "nowhere"], "nowhere: No such file"),
    ],
)
def test_wrong_usage_is_status_2(pacsd: Pacsd, arguments: list[str], said: str) -> None:
    done = pacsd("echo", "127.0.0.1", "104", *arguments)
    assert done.status == 2
    assert said in " ".join(done.err.replace("│", " ").split())
