"""`[dicom.tls]`: what is wrong is told by its key, at the start, by check-config, and when a reload asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pacsd.errors import ConfigurationError
from pacsd.settings import DicomSettings, PeerSettings, Settings, TlsSettings
from pacsd.supervision.configuration_reload import keep_what_needs_a_restart
from pacsd.tls import load_tls
from support.certificates import Authority, Certified
from support.server import PacsdServer

PEER = PeerSettings(ae_title="PEER", host="peer", port=104, tls=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Certified:
    return authority.certify("pacs")


def tree(*, peers: tuple[PeerSettings, ...] = (), **tls: Any) -> Settings:
    return Settings(dicom=DicomSettings(tls=TlsSettings(**tls)), peer=peers)


def refusal(settings: Settings) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_tls(settings)
    return str(caught.value)


def test_nothing_is_read_that_nobody_needs(tmp_path: Path) -> None:
    assert load_tls(tree(certificate=tmp_path / "nowhere", ca=tmp_path / "nowhere")) is None


def test_the_files_are_read_at_once(authority: Authority, tmp_path: Path) -> None:
    """So that their replacement half an hour later changes nothing until the reload."""
    made = Authority(tmp_path, "Short-lived").certify("pacs")
    tls = load_tls(
        tree(
            enabled=True,
            certificate=made.certificate,
            private_key=made.key,
            ca=tmp_path / "ca.crt",
            require_client_certificate=True,
            peers=(PEER,),
        )
    )
    for path in tmp_path.iterdir():
        path.unlink()
    assert tls is not None
    assert tls.server_context.verify_mode.name == "CERT_REQUIRED"
    assert tls.client_context.check_hostname


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ({}, "dicom.tls.certificate: a TLS server needs a certificate"),
        ({"certificate": "nowhere"}, "dicom.tls.certificate: cannot read nowhere: No such file or directory"),
        ({"certificate": "{ours}"}, "dicom.tls.private_key: {ours} holds no private key in PEM"),
        (
            {"certificate": "{ours}", "private_key": "/"},
            "dicom.tls.private_key: cannot read /: Is a directory",
        ),
        (
            {"certificate": "{ours}", "private_key": "{other}"},
            "dicom.tls.private_key: {other} is not the key of the certificate in {ours}",
        ),
        (
            {"certificate": "{ours}", "private_key": "{key}", "require_client_certificate": True},
            "dicom.tls.ca: nobody's certificate can be verified without it",
        ),
        (
            {"certificate": "{ours}", "private_key": "{key}", "ca": "{key}"},
            "dicom.tls.ca: {key} holds no certificate",
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_key(
    tls: dict[str, Any], said: str, authority: Authority, identity: Certified
) -> None:
    names = {"ours": identity.certificate, "key": identity.key, "other": authority.certify("other").key}
    given = {key: value.format(**names) if isinstance(value, str) else value for key, value in tls.items()}
    assert refusal(tree(enabled=True, **given)).startswith(said.format(**names))


def test_peers_that_we_call_need_their_authorities(tmp_path: Path) -> None:
    assert refusal(tree(ca=tmp_path / "nowhere", peers=(PEER,))).startswith("dicom.tls.ca: cannot read")


def test_check_config_looks_at_the_files(tmp_path: Path, identity: Certified) -> None:
    config = tmp_path / "pacsd.toml"
    files = f'certificate = "{identity.certificate}"\nprivate_key = "{identity.key}"\n'
    config.write_text(f"[dicom.tls]\nenabled = true\n{files}")
    command = [sys.executable, "-m", "pacsd", "check-config", "--config", str(config)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    config.write_text("[dicom.tls]\nenabled = true\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "dicom.tls.certificate: a TLS server needs a certificate\n")


def test_a_server_that_cannot_read_its_key_does_not_start(tmp_path: Path, identity: Certified) -> None:
    tls = {"enabled": True, "certificate": str(identity.certificate), "private_key": "nowhere"}
    server = PacsdServer(tmp_path / "server", settings={"dicom.tls": tls})
    with pytest.raises(AssertionError, match="the server ended with 2"):
        server.start()
    assert server.log_text() == "dicom.tls.private_key: cannot read nowhere: No such file or directory\n"


def test_a_reload_keeps_the_sockets_and_takes_the_certificates() -> None:
    old = tree(enabled=True, port=2762, certificate=Path("old"))
    kept, keys = keep_what_needs_a_restart(old, tree(enabled=True, port=2763, certificate=Path("new")))
    assert keys == ["dicom.tls.port"]
    assert (kept.dicom.tls.port, kept.dicom.tls.certificate) == (2762, Path("new"))


def test_tls_is_neither_opened_nor_closed_by_a_reload() -> None:
    off, on = tree(port=1), tree(enabled=True, port=2, certificate=Path("ours"))
    kept, keys = keep_what_needs_a_restart(off, on)
    assert (kept.dicom.tls.enabled, keys) == (False, ["dicom.tls.enabled"])
    kept, keys = keep_what_needs_a_restart(on, off)
    assert keys == ["dicom.tls.enabled", "dicom.tls.port"]
    assert kept.dicom.tls == on.dicom.tls, "the open port still needs its certificate"
