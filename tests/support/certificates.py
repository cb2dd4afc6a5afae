"""Certificates for tests, made by the `openssl` command: authorities, and who is certified by them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.peers import missing

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "open sesame"
_HOSTS = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate and its private key, as files in PEM."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority with its files in `folder`."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._own = Certified(folder / "ca.crt", folder / "ca.key")
        new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
        files = ("-keyout", str(self._own.key), "-out", str(self._own.certificate))
        openssl("req", "-x509", *new_key, "-days", "30", "-subj", f"/CN={name}", *files)

    @property
    def certificate(self) -> Path:
        """What those trust who trust it."""
        return self._own.certificate

    def certify(
        self, name: str, *, expired: bool = False, hosts: str = _HOSTS, key: tuple[str, ...] = ()
    ) -> Certified:
        """Make a key and its certificate for a common name; `key` are `openssl req`'s options for another kind."""
        made = Certified(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(hosts + "\n")
        kind = key or ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        subject = ("-subj", f"/O=Hospital/CN={name}")
        openssl("req", "-new", *kind, "-noenc", *subject, "-keyout", str(made.key), "-out", str(request))
        openssl(
            *("x509", "-req", "-in", str(request), "-out", str(made.certificate)),
            *("-CA", str(self._own.certificate), "-CAkey", str(self._own.key), "-CAcreateserial"),
            *("-extfile", str(extensions), "-days", "-1" if expired else "30"),
        )
        return made

    def encrypt(self, key: Path) -> Path:
        """Return a copy of a private key that PASSWORD opens."""
        encrypted = key.with_suffix(".encrypted")
        openssl("pkcs8", "-topk8", "-in", str(key), "-out", str(encrypted), "-passout", f"pass:{PASSWORD}")
        return encrypted

    def revoke(self, *certified: Certified, expired: bool = False) -> Path:
        """Return a new revocation list with these certificates; all that were revoked before are on it too."""
        settings, revoked = self._folder / "ca.cnf", self._folder / "ca.crl"
        (self._folder / "index.txt").touch()
        settings.write_text(
            f"[ca]\ndefault_ca = own\n[own]\ndatabase = {self._folder}/index.txt\ndefault_md = sha256\n"
        )
        own = ("-config", str(settings), "-keyfile", str(self._own.key), "-cert", str(self._own.certificate))
        for each in certified:
            openssl("ca", *own, "-revoke", str(each.certificate))
        long_ago = ("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z")
        openssl("ca", *own, "-gencrl", *(long_ago if expired else ("-crldays", "30")), "-out", str(revoked))
        return revoked


def openssl(*arguments: str) -> None:
    """Run the command; without it the test ends here (see `missing`)."""
    path = shutil.which("openssl")
    if path is None:
        missing("openssl is not installed")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
