"""The image, built once, and installations of it that leave nothing behind."""

from __future__ import annotations

import secrets
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.project import ROOT, Project, docker, require_docker
from support.peers import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
IMAGE, PREVIOUS_IMAGE = "pacsd-test", "pacsd-test-previous"
VERSION, REVISION = "0.0-test", "of-the-test"
"""What the image of this checkout is told that it was built from."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder; images take their time."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session", autouse=True)
def _daemon() -> None:
    """Without a daemon nothing here can be tested."""
    require_docker()


@pytest.fixture(scope="session")
def image(_daemon: None) -> str:
    """The image of this checkout."""
    # The host's network: where packages come through a proxy, it may be one that only the host reaches.
    source = [f"--build-arg={name}" for name in (f"VERSION={VERSION}", f"REVISION={REVISION}")]
    docker("build", "--network=host", *source, "--tag", IMAGE, ROOT)
    return IMAGE


@pytest.fixture(scope="session")
def previous_image(_daemon: None) -> str:
    """The image as it was before the newest migration of the index."""

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout

    newest = git("rev-list", "--max-count=1", "HEAD", "--", "migrations/versions").decode().strip()
    try:
        source = git("archive", f"{newest}^")
    except subprocess.CalledProcessError:
        missing("the history does not reach back behind the newest migration")
    docker("build", "--network=host", "--tag", PREVIOUS_IMAGE, "-", standard_input=source)
    return PREVIOUS_IMAGE


@pytest.fixture
def install(tmp_path: Path, image: str) -> Iterator[Callable[..., Project]]:
    """Make installations, each with containers and volumes of its own; all are removed at the end."""
    with ExitStack() as stack:

        def make(**options: str) -> Project:
            name = f"pacsd-test-{secrets.token_hex(4)}"
            folder = tmp_path / name
            folder.mkdir()
            project = Project(folder, name=name, **{"image": image, **options})
            stack.callback(project.down, with_volumes=True)
            return project

        yield make
