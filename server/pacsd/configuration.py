"""The settings as the administrator gives them: one TOML file, and the environment over it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_settings import SettingsError

from pacsd.configuration_errors import explain, misnamed_variables
from pacsd.errors import ConfigurationError
from pacsd.index_password import with_password
from pacsd.permissions import reason
from pacsd.settings import ENVIRONMENT_DELIMITER, ENVIRONMENT_PREFIX, Settings

__all__ = ["configuration_path", "load_settings"]

CONFIGURATION_VARIABLE: Final = "PACSD_CONFIG"
DEFAULT_CONFIGURATION: Final = Path("config/pacsd.toml")


def configuration_path(path: Path | None = None) -> Path | None:
    """The file to read: `path`, else what PACSD_CONFIG names, else config/pacsd.toml if it is there."""
    if path is not None:
        return path
    named = os.environ.get(CONFIGURATION_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_CONFIGURATION if DEFAULT_CONFIGURATION.exists() else None


def load_settings(path: Path | None = None) -> Settings:
    """The settings from `configuration_path(path)` and the environment.

    Raises ConfigurationError with all that is wrong, one problem a line.
    """
    file = configuration_path(path)
    text = "" if file is None else _read(file)
    problems = misnamed_variables(Settings, prefix=ENVIRONMENT_PREFIX, delimiter=ENVIRONMENT_DELIMITER)
    try:
        settings = Settings(**tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from error
    except SettingsError as error:
        raise ConfigurationError(
            f"environment: {error}: {error.__cause__}; lists are written as JSON"
        ) from error
    except ValidationError as error:
        source = None if file is None else (file, text)
        problems += explain(
            error, Settings, prefix=ENVIRONMENT_PREFIX, delimiter=ENVIRONMENT_DELIMITER, source=source
        )
        # Without the cause: a traceback would show pydantic's own text, which repeats all values.
        raise ConfigurationError("\n".join(problems)) from None
    if problems:
        raise ConfigurationError("\n".join(problems))
    return with_password(settings)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the configuration file {file}: {reason(error, 'read it')}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8: {error}") from error
