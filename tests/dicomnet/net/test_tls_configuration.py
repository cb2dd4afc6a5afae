"""What a TlsConfiguration refuses, and which field it blames."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.dicomnet.net.nets import CONFIGURATION, Net, associated, serving
from tests.support.certificates import PASSWORD, Authority, Certified

from dicomnet import LocalProtocolError, NetConfiguration, TlsConfiguration, TlsConfigurationError


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Certified:
    return authority.certify("server")


def refusal(tls: TlsConfiguration, *, as_client: bool = False) -> tuple[str, str]:
    """Return the field to blame and the message."""
    with pytest.raises(TlsConfigurationError) as caught:
        _ = tls.client_context if as_client else tls.server_context
    return caught.value.part, str(caught.value)


def test_a_file_that_is_missing(authority: Authority, identity: Certified, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert refusal(TlsConfiguration(certificate=nowhere, private_key=identity.key)) == (
        "certificate",
        f"cannot read {nowhere}: No such file or directory",
    )
    part, message = refusal(TlsConfiguration(certificate=identity.certificate, private_key=nowhere))
    assert (part, f"cannot read {nowhere}" in message) == ("private_key", True)
    assert refusal(TlsConfiguration(ca=nowhere), as_client=True)[0] == "ca"


def test_a_file_that_holds_something_else(identity: Certified) -> None:
    swapped = TlsConfiguration(certificate=identity.key, private_key=identity.certificate)
    assert refusal(swapped) == ("certificate", f"{identity.key} holds no certificate in PEM")
    without_key = TlsConfiguration(certificate=identity.certificate)
    assert refusal(without_key) == ("private_key", f"{identity.certificate} holds no private key in PEM")
    assert refusal(TlsConfiguration(ca=identity.key), as_client=True)[0] == "ca"


@pytest.mark.parametrize("part", ["certificate", "ca"])
def test_a_file_that_is_damaged(part: str, identity: Certified, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.crt"
    lines = identity.certificate.read_text().splitlines()
    damaged.write_text("\n".join([lines[0], "AAAA", lines[-1]]) + "\n")
    if part == "ca":
        assert refusal(TlsConfiguration(ca=damaged), as_client=True)[0] == "ca"
    else:
        _, message = refusal(TlsConfiguration(certificate=damaged, private_key=identity.key))
        assert f"{damaged} and {identity.key} cannot be used" in message


def test_the_key_of_another_certificate(authority: Authority, identity: Certified) -> None:
    other = authority.certify("other")
    part, message = refusal(TlsConfiguration(certificate=identity.certificate, private_key=other.key))
    assert (part, message) == (
        "private_key",
        f"{other.key} is not the key of the certificate in {identity.certificate}",
    )


def test_an_encrypted_key_needs_its_password(authority: Authority, identity: Certified) -> None:
    key = authority.encrypt(identity.key)
    assert refusal(TlsConfiguration(certificate=identity.certificate, private_key=key)) == (
        "key_password",
        f"{key} is encrypted and there is no password",
    )
    for password in ("open", "", "long" * 1000):
        wrong = TlsConfiguration(
            certificate=identity.certificate, private_key=key, key_password=lambda said=password: said
        )
        assert refusal(wrong) == ("key_password", f"{key} cannot be opened with the password")
    right = TlsConfiguration(certificate=identity.certificate, private_key=key, key_password=lambda: PASSWORD)
    client = TlsConfiguration(ca=authority.certificate)
    with (
        serving(Net(NetConfiguration(tls=right))) as address,
        associated(Net(NetConfiguration(tls=client)), address) as net,
    ):
        assert net.c_echo().status == 0


def test_the_encrypted_key_of_another_certificate(authority: Authority, identity: Certified) -> None:
    key = authority.encrypt(authority.certify("another").key)
    tls = TlsConfiguration(certificate=identity.certificate, private_key=key, key_password=lambda: PASSWORD)
    assert refusal(tls) == (
        "private_key",
        f"{key} is not the key of the certificate in {identity.certificate}",
    )


@pytest.mark.parametrize("as_client", [False, True])
def test_a_revocation_list_that_is_none(
    as_client: bool, authority: Authority, identity: Certified, tmp_path: Path
) -> None:
    ours = {"certificate": identity.certificate, "private_key": identity.key}
    nowhere, damaged, both = (tmp_path / name for name in ("nowhere", "damaged.crl", "both.crl"))
    damaged.write_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    both.write_bytes(authority.revoke().read_bytes() + authority.certificate.read_bytes())
    for crl, said in (
        (nowhere, f"cannot read {nowhere}: No such file or directory"),
        (identity.key, f"{identity.key} holds no certificate revocation list in PEM"),
        (both, f"{both} holds a certificate, which belongs into `ca`"),
        (damaged, f"{damaged} cannot be used: "),
    ):
        tls = TlsConfiguration(**ours, ca=authority.certificate, crl=crl)
        part, message = refusal(tls, as_client=as_client)
        assert (part, message.startswith(said)) == ("crl", True), message
    without_authority = TlsConfiguration(**ours, crl=authority.revoke())
    assert refusal(without_authority, as_client=as_client)[0] == "crl"


def test_a_key_in_the_file_of_its_certificate(identity: Certified, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(identity.certificate.read_bytes() + identity.key.read_bytes())
    assert TlsConfiguration(certificate=both).server_context.verify_mode.name == "CERT_NONE"


def test_a_server_without_a_certificate_does_not_listen() -> None:
    net = Net(NetConfiguration(tls=TlsConfiguration()))
    with pytest.raises(TlsConfigurationError, match="needs a certificate"):
        net.listen()
    assert not net.is_activated


def test_requiring_certificates_needs_authorities(identity: Certified) -> None:
    tls = TlsConfiguration(
        certificate=identity.certificate, private_key=identity.key, require_peer_certificate=True
    )
    assert refusal(tls)[0] == "ca"


def test_a_client_with_wrong_files_connects_nowhere(tmp_path: Path) -> None:
    net = Net(CONFIGURATION)
    with pytest.raises(TlsConfigurationError):
        net.connect("127.0.0.1", 1, tls=TlsConfiguration(ca=tmp_path / "nowhere"))
    with pytest.raises(LocalProtocolError):
        net.c_echo()


@pytest.mark.parametrize("profile", ["ISCL", "Basic TLS"])
def test_retired_profiles_are_refused_by_name(profile: str) -> None:
    with pytest.raises(TlsConfigurationError, match="retired") as caught:
        TlsConfiguration(profile=profile)
    assert caught.value.part == "profile"
