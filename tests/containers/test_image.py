"""What the image is made of, and what it says of itself."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from containers.conftest import REVISION, VERSION
from containers.project import ROOT, docker
from pacsd.index.schema.migrations import latest

COMPILERS = ("as", "c++", "cargo", "cc", "clang", "g++", "gcc", "gfortran", "ld", "make", "rustc")


@pytest.fixture(scope="module")
def configuration(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .Config}}", image))
    return found


def _inside(image: str, program: str, *arguments: str) -> str:
    options = ("--rm", "--network=none", "--read-only", f"--entrypoint={program}")
    return docker("run", *options, image, *arguments)


def test_a_fixed_user_runs_it_and_sigterm_stops_it(configuration: dict[str, Any]) -> None:
    assert configuration["User"] == "10001:10001"
    assert configuration["StopSignal"] == "SIGTERM"
    # As a list, so that no shell stands between and keeps the signal to itself.
    assert (configuration["Entrypoint"], configuration["Cmd"]) == (["pacsd"], ["serve"])


def test_its_health_is_asked_with_what_it_has(configuration: dict[str, Any]) -> None:
    assert configuration["Healthcheck"]["Test"][:2] == ["CMD", "python"]


def test_its_labels_say_what_it_is_and_what_it_was_built_from(configuration: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = {name.rpartition(".")[2]: value for name, value in configuration["Labels"].items()}
    assert labels["title"] == project["name"]
    assert labels["licenses"] == project["license"]
    assert labels["description"]
    assert (labels["version"], labels["revision"]) == (VERSION, REVISION)


def test_no_compiler_is_in_it(image: str) -> None:
    script = "import shutil, sys; print(*filter(shutil.which, sys.argv[1:]))"
    # That Python itself is found shows that the search works.
    assert _inside(image, "python", "-c", script, *COMPILERS, "python").split() == ["python"]


def test_the_newest_migration_is_in_it(image: str) -> None:
    script = "from pacsd.index.schema.migrations import latest; print(latest())"
    assert _inside(image, "python", "-c", script).strip() == latest()
