"""The database's password from the file that `index.password_file` names, as secrets reach a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pacsd.errors import ConfigurationError
from pacsd.permissions import reason

if TYPE_CHECKING:
    from pathlib import Path

    from pacsd.settings import Settings

__all__ = ["with_password"]


def with_password(settings: Settings) -> Settings:
    """Return the settings with the file's first line as the password in `index.url`; the same ones without a file.

    Raises ConfigurationError, naming the key.
    """
    file = settings.index.password_file
    if file is None:
        return settings
    # Here and not above: no command without a database should have to wait for it.
    from pacsd.index.database.engines import database_url  # noqa: PLC0415

    url = database_url(settings.index.url)
    if url.get_backend_name() == "sqlite":
        raise ConfigurationError("index.password_file: SQLite has no password; remove it, or name PostgreSQL")
    if url.password is not None:
        raise ConfigurationError("index.password_file: index.url has a password already; keep one of them")
    with_it = url.set(password=_first_line(file)).render_as_string(hide_password=False)
    return settings.model_copy(update={"index": settings.index.model_copy(update={"url": with_it})})


def _first_line(file: Path) -> str:
    try:
        password = file.read_text(encoding="utf-8-sig").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise ConfigurationError(
            f"index.password_file: cannot read {file}: {reason(error, 'read it')}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"index.password_file: {file} is not UTF-8") from error
    if not password:
        raise ConfigurationError(f"index.password_file: the first line of {file} is empty")
    return password
