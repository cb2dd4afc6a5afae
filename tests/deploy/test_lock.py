"""What the image is made of, `deploy/lock/`, is what `pyproject.toml` asks for; `make lock` brings it up to date."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PINNED = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", re.MULTILINE
)


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _server_requirements() -> list[str]:
    project = _project()["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["postgresql"]]


def _build_requirements() -> list[str]:
    return list(_project()["build-system"]["requires"])


@pytest.mark.parametrize(
    ("lock", "requirements"), [("server.txt", _server_requirements()), ("build.txt", _build_requirements())]
)
def test_each_requirement_is_met_by_a_locked_version(lock: str, requirements: list[str]) -> None:
    text = (ROOT / "deploy" / "lock" / lock).read_text()
    locked = {match["name"]: match["version"] for match in PINNED.finditer(text)}
    for requirement in map(Requirement, requirements):
        version = locked.get(requirement.name)
        assert version is not None, f"{requirement.name} is not in {lock}: run `make lock`"
        assert version in requirement.specifier, f"{requirement} is not met by {version}: run `make lock`"


@pytest.mark.parametrize("lock", ["server.txt", "build.txt"])
def test_everything_locked_has_its_hashes(lock: str) -> None:
    text = (ROOT / "deploy" / "lock" / lock).read_text()
    named = re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)
    assert named
    assert len(PINNED.findall(text)) == len(named)
