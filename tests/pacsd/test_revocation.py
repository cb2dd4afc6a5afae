"""Which certificates are on a revocation list."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from pacsd.errors import ConfigurationError
from pacsd.revocation import RevokedCertificates
from support.certificates import Authority, Certified

if TYPE_CHECKING:
    from pathlib import Path


def encoded(certified: Certified) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certified.certificate.read_text())


def test_who_is_on_the_list_of_its_authority(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "other", name="Other CA")
    kept, stolen, lost = (authority.certify(name) for name in ("kept", "stolen", "lost"))
    elsewhere = other.certify("elsewhere")
    empty = RevokedCertificates(other.revoke())
    assert not any(empty.has(encoded(each)) for each in (kept, stolen, lost, elsewhere))
    lists = tmp_path / "all.crl"
    lists.write_bytes(other.revoke(elsewhere).read_bytes() + authority.revoke(stolen, lost).read_bytes())
    revoked = RevokedCertificates(lists)
    assert [revoked.has(encoded(each)) for each in (kept, stolen, lost, elsewhere)] == [
        False,
        True,
        True,
        True,
    ]
    of_one = RevokedCertificates(authority.revoke())
    assert not of_one.has(encoded(elsewhere))


@pytest.mark.parametrize("content", ["", "MIIBAg==", "MAA=", "MAIwAA==", "AgEB"])
def test_a_damaged_list_is_said(tmp_path: Path, content: str) -> None:
    damaged = tmp_path / "damaged.crl"
    damaged.write_text(f"-----BEGIN X509 CRL-----\n{content}\n-----END X509 CRL-----\n")
    with pytest.raises(ConfigurationError, match=r"dicom\.tls\.crl: .* holds a list that cannot be read"):
        RevokedCertificates(damaged)


def test_a_missing_list_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"dicom\.tls\.crl: cannot read"):
        RevokedCertificates(tmp_path / "missing.crl")
