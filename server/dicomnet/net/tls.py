"""TLS for DICOM connections: the BCP 195 profiles of PS3.15 §B, and who the peer proved to be.

Bytes are encrypted in `tls_transport`; here is what both sides must be told before, and may ask afterwards.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from dicomnet.errors import TlsConfigurationError

__all__ = ["NegotiatedCipher", "PeerCertificate", "TlsConfiguration"]

_BCP_195: Final = "BCP 195"
_CIPHERS: Final = ":".join(
    f"ECDHE-{signature}-AES{bits}-GCM-SHA{digest}"
    for bits, digest in ((128, 256), (256, 384))
    for signature in ("ECDSA", "RSA")
)
"""For TLS 1.2 (RFC 9325 §4.2); those of TLS 1.3 are all good."""
_CERTIFICATE: Final = re.compile(rb"-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----")
_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----")
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN (\w+ )*PRIVATE KEY-----")
_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")


@dataclass(frozen=True, kw_only=True)
class TlsConfiguration:
    """How to speak TLS in either role. The files are PEM, read once, when the first connection (or `check`) needs them.

    Versions 1.2 and 1.3 with forward secrecy only (RFC 8996, RFC 9325); no renegotiation, no resumption.
    """

    certificate: Path | str | None = None
    """Our own with its chain; a server needs one, a client only where the peer asks for it."""
    private_key: Path | str | None = None
    """Of `certificate`; None: it is in the same file."""
    key_password: Callable[[], str | bytes] | None = None
    """Asked for the password of an encrypted private key; without it such a key is an error, never a prompt."""
    ca: Path | str | None = None
    """The authorities that we trust. None: as a client those of the system; as a server no certificate is asked for."""
    crl: Path | str | None = None
    """Certificate revocation lists (RFC 5280 §5), one of each authority in `ca` that certifies peers: a peer whose own
    certificate is on its list is refused, and so is every one while the list is missing or out of date."""
    require_peer_certificate: bool = False
    """As a server: refuse clients without a certificate. One that is shown is verified in any case, given `ca`."""
    check_host_name: bool = True
    """As a client: the peer's certificate must name the host that was asked for (RFC 9325 §6.1)."""
    profile: str = _BCP_195
    """The Secure Transport Connection Profile; the retired ones are refused by name."""

    def __post_init__(self) -> None:
        if self.profile != _BCP_195:
            raise TlsConfigurationError(
                f"no secure transport connection profile {self.profile!r}: ISCL and the Basic and AES TLS profiles"
                f" are retired from PS3.15 as unsafe; use {_BCP_195!r}",
                part="profile",
            )

    @cached_property
    def server_context(self) -> ssl.SSLContext:
        """What an accepted connection is secured with; raises TlsConfigurationError."""
        if self.certificate is None:
            raise TlsConfigurationError("a TLS server needs a certificate", part="certificate")
        if self.require_peer_certificate and self.ca is None:
            raise TlsConfigurationError("nobody's certificate can be verified without it", part="ca")
        self._check_crl()
        context = _new_context(ssl.PROTOCOL_TLS_SERVER)
        # Each process would have ticket keys of its own: what one gave out, the next would not know.
        context.num_tickets = 0
        self._show_own_certificate(context)
        if self.ca is not None:
            _trust(context, self.ca, self.crl)
            context.verify_mode = ssl.CERT_REQUIRED if self.require_peer_certificate else ssl.CERT_OPTIONAL
        return context

    @cached_property
    def client_context(self) -> ssl.SSLContext:
        """What our own connection is secured with; raises TlsConfigurationError."""
        self._check_crl()
        context = _new_context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.check_host_name
        if self.certificate is not None:
            self._show_own_certificate(context)
        if self.ca is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            _trust(context, self.ca, self.crl)
        return context

    def _check_crl(self) -> None:
        if self.crl is not None and self.ca is None:
            raise TlsConfigurationError("a revocation list is of use with `ca` only", part="crl")

    def _show_own_certificate(self, context: ssl.SSLContext) -> None:
        assert self.certificate is not None  # noqa: S101 - both callers have looked
        key = self.certificate if self.private_key is None else self.private_key
        if not _CERTIFICATE.search(_read(self.certificate, "certificate")):
            raise TlsConfigurationError(f"{self.certificate} holds no certificate in PEM", part="certificate")
        content = _read(key, "private_key")
        if not _PRIVATE_KEY.search(content):
            raise TlsConfigurationError(f"{key} holds no private key in PEM", part="private_key")
        if self.key_password is None and _ENCRYPTED.search(content):
            raise TlsConfigurationError(f"{key} is encrypted and there is no password", part="key_password")
        password = _Password(self.key_password or str)
        try:
            context.load_cert_chain(self.certificate, key, password)
        except (OSError, ValueError) as error:  # SSLError is an OSError; a password may be too long
            raise _unusable(error, self.certificate, key, password_asked=password.asked) from error


class _Password:
    """What OpenSSL asks for: without any it would do so on the terminal, and it does not say which was wrong."""

    def __init__(self, source: Callable[[], str | bytes]) -> None:
        self._source = source
        self.asked = False

    def __call__(self) -> str | bytes:
        self.asked = True
        return self._source()


def _new_context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.set_ciphers(_CIPHERS)
    return context


def _trust(context: ssl.SSLContext, ca: Path | str, crl: Path | str | None) -> None:
    if not _CERTIFICATE.search(_read(ca, "ca")):
        raise TlsConfigurationError(f"{ca} holds no certificate in PEM", part="ca")
    _load(context, ca, "ca")
    if crl is None:
        return
    content = _read(crl, "crl")
    if not _CRL.search(content):
        raise TlsConfigurationError(f"{crl} holds no certificate revocation list in PEM", part="crl")
    if _CERTIFICATE.search(content):
        raise TlsConfigurationError(f"{crl} holds a certificate, which belongs into `ca`", part="crl")
    _load(context, crl, "crl")
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _load(context: ssl.SSLContext, path: Path | str, part: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except OSError as error:
        raise TlsConfigurationError(f"{path} cannot be used: {reason_of(error)}", part=part) from error


def _read(path: Path | str, part: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TlsConfigurationError(f"cannot read {path}: {error.strerror}", part=part) from error


def _unusable(
    error: Exception, certificate: Path | str, key: Path | str, *, password_asked: bool
) -> TlsConfigurationError:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return TlsConfigurationError(
            f"{key} is not the key of the certificate in {certificate}", part="private_key"
        )
    if password_asked:
        return TlsConfigurationError(f"{key} cannot be opened with the password", part="key_password")
    return TlsConfigurationError(
        f"{certificate} and {key} cannot be used: {reason_of(error)}", part="private_key"
    )


def reason_of(error: Exception) -> str:
    """Return in words why OpenSSL refuses, or why the peer does (its alert, RFC 8446 §6)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is refused: {error.verify_message}"
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    if not reason:
        return str(error)
    _, is_alert, name = reason.partition("_ALERT_")
    words = (name or reason).lower().replace("_", " ")
    return f"the peer refuses: {words}" if is_alert else words


@dataclass(frozen=True, slots=True, kw_only=True)
class NegotiatedCipher:
    """What a connection is encrypted with."""

    name: str
    protocol: str
    """"TLSv1.2" or "TLSv1.3"."""
    secret_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCertificate:
    """The certificate that the peer has shown and that was verified."""

    subject: str
    """As "commonName=CT1, organizationName=Hospital", in the certificate's order."""
    issuer: str
    """As `subject`."""
    common_name: str
    """Of the subject; "" where it has none."""
    alternative_names: tuple[str, ...]
    """As "DNS:ct1.example", "IP Address:192.0.2.1"."""
    serial_number: str
    """In hexadecimal digits."""
    not_after: str
    """As "Jan  5 09:34:43 2028 GMT"."""
    encoded: bytes
    """All of it, in DER."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `encoded`, in lower-case hexadecimal digits without colons."""
        return hashlib.sha256(self.encoded).hexdigest()

    @property
    def dns_names(self) -> tuple[str, ...]:
        """Return the DNS names among `alternative_names`."""
        return tuple(name.removeprefix("DNS:") for name in self.alternative_names if name.startswith("DNS:"))

    @classmethod
    def of(cls, fields: Mapping[str, Any], encoded: bytes) -> PeerCertificate:
        """Make one of what the standard library's `getpeercert` returns, decoded and in DER."""
        subject = _attributes(fields.get("subject", ()))
        return cls(
            subject=_spell(subject),
            issuer=_spell(_attributes(fields.get("issuer", ()))),
            common_name=next((value for name, value in subject if name == "commonName"), ""),
            alternative_names=tuple(f"{kind}:{value}" for kind, value in fields.get("subjectAltName", ())),
            serial_number=str(fields.get("serialNumber", "")),
            not_after=str(fields.get("notAfter", "")),
            encoded=encoded,
        )


def _attributes(name: Sequence[Sequence[tuple[str, str]]]) -> list[tuple[str, str]]:
    return [attribute for relative in name for attribute in relative]


def _spell(attributes: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" for name, value in attributes)
