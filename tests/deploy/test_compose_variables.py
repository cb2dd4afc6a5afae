"""`.env` names each variable of the compose files, once, and explains it; and no log of theirs fills the disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OF_COMPOSE_ITSELF = {"COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"}


def _used() -> set[str]:
    files = [ROOT / "docker-compose.yml", *(ROOT / "deploy").glob("compose.*.yml")]
    return {name for file in files for name in re.findall(r"\$\{([A-Z_]+)", file.read_text())}


def test_what_the_compose_files_ask_for_is_what_env_has() -> None:
    names = re.findall(r"^([A-Z_]+)=", (ROOT / ".env").read_text(), re.MULTILINE)
    assert len(names) == len(set(names))
    assert set(names) - OF_COMPOSE_ITSELF == _used()


def test_each_variable_is_explained() -> None:
    """A comment stands above it, or above its neighbours."""
    explained = False
    for line in (ROOT / ".env").read_text().splitlines():
        if not line:
            explained = False
        elif line.startswith("# ") and not line.startswith("# ---"):
            explained = True
        elif not line.startswith("#"):
            assert explained, line


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/compose.postgres.yml"])
def test_the_logs_of_all_services_are_rotated(file: str) -> None:
    """The service that `compose.postgres.yml` only adds to has it from the file before."""
    services = yaml.safe_load((ROOT / file).read_text())["services"]
    own = {name: service for name, service in services.items() if "image" in service}
    assert own
    for service in own.values():
        assert service["logging"]["driver"] == "json-file"
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}
