"""`index.password_file`: the database's password as a container is given it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from pacsd.configuration import load_settings
from pacsd.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

URL = "postgresql+psycopg://pacsd@db/pacsd"


def _configuration(folder: Path, url: str, password: bytes | None) -> Path:
    file = folder / "password"
    if password is not None:
        file.write_bytes(password)
    config = folder / "pacsd.toml"
    config.write_text(f'[index]\nurl = "{url}"\npassword_file = "{file}"\n')
    return config


@pytest.mark.parametrize(
    "password",
    [
        b"p@ss/w:rd %41",
        b"p@ss/w:rd %41\n",
        b"p@ss/w:rd %41\r\nnot this\n",
        b"\xef\xbb\xbfp@ss/w:rd %41\r\n",
    ],
)
def test_its_first_line_is_the_password_whatever_its_characters(tmp_path: Path, password: bytes) -> None:
    settings = load_settings(_configuration(tmp_path, URL, password))
    assert make_url(settings.index.url) == make_url(URL).set(password="p@ss/w:rd %41")


@pytest.mark.parametrize(
    ("url", "password", "reason"),
    [
        (URL, None, "cannot read"),
        (URL, b"", "is empty"),
        (URL, b"\nhidden\n", "is empty"),
        (URL, b"\xff\xfe", "is not UTF-8"),
        ("postgresql+psycopg://pacsd:hidden@db/pacsd", b"hidden", "index.url has a password already"),
        ("sqlite:///data/index.db", b"hidden", "SQLite has no password"),
    ],
)
def test_what_cannot_be_used_is_said_without_the_password(
    tmp_path: Path, url: str, password: bytes | None, reason: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(_configuration(tmp_path, url, password))
    assert str(caught.value).startswith("index.password_file: ")
    assert reason in str(caught.value)
    assert "hidden" not in str(caught.value)
