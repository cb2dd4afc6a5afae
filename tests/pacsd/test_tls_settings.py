"""`[dicom.tls]`: what is wrong is told by its key, at the start, by check-config, and when a reload asks for it."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pacsd.cli.configuration import as_toml
from pacsd.configuration import load_settings
from pacsd.errors import ConfigurationError
from pacsd.settings import DicomSettings, PeerSettings, Settings, TlsSettings
from pacsd.supervision.configuration_reload import keep_what_needs_a_restart
from pacsd.tls import load_tls, tls_configuration
from support.certificates import PASSWORD, Authority, Certified
from support.server import PacsdServer

PEER = PeerSettings(ae_title="PEER", host="peer", port=104, tls=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Certified:
    return authority.certify("pacs")


@pytest.fixture(scope="module")
def encrypted(authority: Authority, identity: Certified) -> dict[str, Any]:
    """Settings with a key that PASSWORD opens."""
    key = authority.encrypt(identity.key)
    return {"enabled": True, "certificate": identity.certificate, "private_key": key}


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


class TestPassword:
    """Of an encrypted private key."""

    def test_in_the_configuration(self, encrypted: dict[str, Any]) -> None:
        assert load_tls(tree(**encrypted, private_key_password=PASSWORD))

    def test_in_the_environment(self, encrypted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PACSD_DICOM__TLS__PRIVATE_KEY_PASSWORD", PASSWORD)
        assert load_tls(Settings(dicom={"tls": encrypted}))

    @pytest.mark.parametrize("end", ["", "\n", "\r\nsecond line"])
    def test_in_a_file(self, end: str, encrypted: dict[str, Any], tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_bytes((PASSWORD + end).encode())
        assert load_tls(tree(**encrypted, private_key_password_file=file))

    @pytest.mark.parametrize(
        ("name", "given", "said"),
        [
            (None, "", "is encrypted and there is no password"),
            ("private_key_password", "wrong", "cannot be opened with the password"),
            ("private_key_password_file", "{folder}/wrong", "cannot be opened with the password"),
            ("private_key_password_file", "{folder}/nowhere", "cannot read {folder}/nowhere"),
        ],
    )
    def test_what_is_wrong_is_told_by_its_key(
        self, name: str | None, given: str, said: str, encrypted: dict[str, Any], tmp_path: Path
    ) -> None:
        (tmp_path / "wrong").write_text("wrong\n")
        password = {name: given.format(folder=tmp_path)} if name else {}
        refused = refusal(tree(**encrypted, **password))
        assert refused.startswith(f"dicom.tls.{name or 'private_key_password'}: "), refused
        assert said.format(folder=tmp_path) in refused

    def test_not_in_two_places(self, tmp_path: Path) -> None:
        config = tmp_path / "pacsd.toml"
        config.write_text(
            '[dicom.tls]\nprivate_key_password = "hidden"\nprivate_key_password_file = "file"\n'
        )
        with pytest.raises(ConfigurationError) as caught:
            load_settings(config)
        assert "dicom.tls: write private_key_password or private_key_password_file, not both" in str(
            caught.value
        )
        assert "hidden" not in str(caught.value)

    def test_it_is_shown_nowhere(
        self, encrypted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = tree(**encrypted, private_key_password="hidden")
        assert "hidden" not in refusal(settings) + repr(settings) + str(settings) + as_toml(settings)
        assert "hidden" not in repr(tls_configuration(settings))
        config = tmp_path / "pacsd.toml"
        for value in ('["hidden"]', "4711"):
            config.write_text(f"[dicom.tls]\nprivate_key_password = {value}\n")
            with pytest.raises(ConfigurationError, match=r"dicom\.tls\.private_key_password: ") as caught:
                load_settings(config)
            assert "hidden" not in str(caught.value)
            assert "4711" not in str(caught.value)


def test_revocation_lists_are_read_at_once(authority: Authority, identity: Certified, tmp_path: Path) -> None:
    ours = {"enabled": True, "certificate": identity.certificate, "private_key": identity.key}
    tls = load_tls(tree(**ours, ca=authority.certificate, crl=authority.revoke()))
    assert tls is not None
    assert ssl.VERIFY_CRL_CHECK_LEAF in tls.server_context.verify_flags
    refused = refusal(tree(**ours, ca=authority.certificate, crl=tmp_path / "nowhere"))
    assert refused.startswith("dicom.tls.crl: cannot read")


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
