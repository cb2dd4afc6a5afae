"""Files that the server's user may not read: who is to be let in is said, by number."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NoReturn

import pytest

from pacsd.configuration import load_settings
from pacsd.errors import ConfigurationError
from pacsd.permissions import reason
from pacsd.tls import load_tls

ADVICE = re.escape(f"Permission denied; let the server's user (id {os.geteuid()}) read it")


@pytest.fixture
def _closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for somebody else than root, who may read everything."""

    def refuse(path: Path, *arguments: object, **options: object) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)


def test_only_want_of_permission_is_mended_by_it() -> None:
    assert reason(FileNotFoundError(2, "No such file or directory"), "read it") == "No such file or directory"
    read_only = OSError(30, "Read-only file system")
    assert reason(read_only, "write to it") == "Read-only file system; mount the file system read-write"


@pytest.mark.usefixtures("_closed")
def test_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot read the configuration file .*: {ADVICE}$"):
        load_settings(tmp_path / "pacsd.toml")


@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize(
    ("variables", "key"),
    [
        (
            {
                "PACSD_INDEX__URL": "postgresql+psycopg://pacsd@db/pacsd",
                "PACSD_INDEX__PASSWORD_FILE": "password",
            },
            "index.password_file",
        ),
        (
            {
                "PACSD_DICOM__TLS__ENABLED": "true",
                "PACSD_DICOM__TLS__CERTIFICATE": "certificate",
                "PACSD_DICOM__TLS__PRIVATE_KEY": "key",
            },
            "dicom.tls.certificate",
        ),
    ],
)
def test_what_it_names(
    variables: dict[str, str], key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{key}: cannot read .*: {ADVICE}$"):
        load_tls(load_settings())
