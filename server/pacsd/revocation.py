"""Which certificates are revoked, from the lists themselves (RFC 5280 §5).

OpenSSL compares a certificate with them in the handshake. The standard library has no way to ask it again, of a peer
whose association stands.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING, Final, NamedTuple

from pacsd.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["RevokedCertificates"]

_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)
_INTEGER: Final = 0x02
_SEQUENCE: Final = 0x30


class RevokedCertificates:
    """Those on the lists of a file in PEM, by issuer and serial number.

    No signature is verified, as the file is the administrator's. Issuers are the same where their names are, byte for
    byte.
    """

    def __init__(self, file: Path) -> None:
        """Raises ConfigurationError where the file cannot be read, or a list in it."""
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"dicom.tls.crl: cannot read {file}: {error.strerror}") from error
        self._revoked: set[tuple[bytes, bytes]] = set()
        try:
            for found in _CRL.finditer(content):
                self._revoked.update(_revoked(b64decode(found.group(1))))
        except (ValueError, IndexError) as error:
            raise ConfigurationError(f"dicom.tls.crl: {file} holds a list that cannot be read") from error

    def has(self, certificate: bytes) -> bool:
        """Say whether a verified certificate, in DER, is on a list of its issuer."""
        whole = _first(certificate, 0, len(certificate))
        fields = [each for each in _inside(certificate, whole, 2) if each.tag in (_INTEGER, _SEQUENCE)]
        # Serial number, signature algorithm, issuer (RFC 5280 §4.1); a version before them has another tag.
        serial_number, _, issuer = fields[:3]
        return (issuer.whole(certificate), serial_number.content(certificate)) in self._revoked


class _Value(NamedTuple):
    """A value in DER (X.690 §8.1): its tag, where it and its content begin, and where it ends."""

    tag: int
    start: int
    begin: int
    end: int

    def whole(self, data: bytes) -> bytes:
        return data[self.start : self.end]

    def content(self, data: bytes) -> bytes:
        return data[self.begin : self.end]


def _values(data: bytes, position: int, end: int) -> Iterator[_Value]:
    """Yield one value after the other; raises IndexError or ValueError where something else follows."""
    while position < end:
        start, tag, length = position, data[position], data[position + 1]
        position += 2
        if length & 0x80:
            digits = length & 0x7F
            length = int.from_bytes(data[position : position + digits], "big")
            position += digits
        if position + length > end:
            raise ValueError("a value is longer than what is around it")
        yield _Value(tag, start, position, position + length)
        position += length


def _first(data: bytes, position: int, end: int) -> _Value:
    for value in _values(data, position, end):
        return value
    raise ValueError("nothing where a value is due")


def _inside(data: bytes, value: _Value, depth: int = 1) -> list[_Value]:
    """Return the values in a sequence, or in the first one of the first one, and so on."""
    for _ in range(depth - 1):
        value = _first(data, value.begin, value.end)
    if value.tag != _SEQUENCE:
        raise ValueError("no sequence where one is due")
    return list(_values(data, value.begin, value.end))


def _revoked(crl: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield issuer and serial number of each certificate on a list (RFC 5280 §5.1)."""
    whole = _first(crl, 0, len(crl))
    sequences = [each for each in _inside(crl, whole, 2) if each.tag == _SEQUENCE]
    # Signature algorithm and issuer; and what is revoked, if there is anything. Extensions have another tag.
    issuer = sequences[1].whole(crl)
    for entry in _values(crl, sequences[2].begin, sequences[2].end) if len(sequences) > 2 else ():
        yield issuer, _inside(crl, entry)[0].content(crl)
