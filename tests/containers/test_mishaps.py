"""What an administrator reads when something is wrong: what it is, and what to do about it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from containers.project import Project, docker
from support import dcmtk
from support.bundled import bundled_file
from support.deadline import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

MISSPELT = "unknown key dicom.ae_titel; did you mean dicom.ae_title?"
NO_DATABASE = "is PostgreSQL running and reachable, and are index.url and its password right?"


def _misspell(project: Project) -> None:
    text = project.configuration.read_text()
    assert "\nae_title = " in text
    project.configuration.write_text(text.replace("\nae_title = ", "\nae_titel = ", 1))


def _wait_for_log(project: Project, message: str) -> None:
    wait_until(lambda: message in project.log(), within=60, what=f"the log says: {message}")


def _answer_to_store(project: Project) -> str:
    return dcmtk.run_unchecked("storescu", project, "-v", bundled_file("CT_small.dcm")).stdout


def test_a_misspelt_key_is_named_and_nothing_starts(install: Callable[..., Project]) -> None:
    project = install()
    _misspell(project)
    project.compose("up", "--detach", "--no-build")
    _wait_for_log(project, MISSPELT)
    assert not project.readiness()["ok"]


def test_a_misspelt_key_does_not_stop_what_runs(install: Callable[..., Project]) -> None:
    project = install()
    project.up()
    _misspell(project)
    project.compose("kill", "-s", "HUP", "pacsd")
    _wait_for_log(project, MISSPELT)
    assert "configuration-refused" in project.log()
    assert "(Success)" in _answer_to_store(project)


def test_a_file_that_only_root_may_read_says_who_must(install: Callable[..., Project]) -> None:
    project = install()
    project.configuration.chmod(0o600)
    project.compose("up", "--detach", "--no-build")
    _wait_for_log(
        project, "/etc/pacsd/pacsd.toml: Permission denied; let the server's user (id 10001) read it"
    )


def test_a_port_that_is_taken_is_named(install: Callable[..., Project]) -> None:
    project = install()
    taken = pytest.raises(AssertionError, match=rf"{project.port}.*address already in use")
    with socket.create_server((project.host, project.port)), taken:
        project.compose("up", "--detach", "--no-build")
    project.up()


@pytest.mark.parametrize("folder", [".", "store"])
def test_a_folder_of_somebody_else_says_who_must_be_able_to_write(
    folder: str, install: Callable[..., Project]
) -> None:
    project = install()
    project.up()
    project.compose("stop", "pacsd")
    project.give_archive(f"{project.name}_pacsd-data", to="root", folder=folder)
    project.compose("start", "pacsd")
    _wait_for_log(project, "let the server's user (id 10001) write to the storage root")
    project.give_archive(f"{project.name}_pacsd-data", to="10001", folder=folder)
    wait_until(lambda: project.readiness()["ok"], within=90, what="pacsd is ready, started again by Docker")


def test_a_database_that_goes_down_is_named_and_taken_up_again(install: Callable[..., Project]) -> None:
    project = install(database="postgresql")
    text = project.configuration.read_text()
    assert "commit_timeout = 60" in text
    # So long a store waits for the database, and so long nobody wants to wait here.
    project.configuration.write_text(text.replace("commit_timeout = 60", "commit_timeout = 5"))
    project.up()
    project.compose("stop", "db")
    assert "Refused: OutOfResources" in _answer_to_store(project)
    _wait_for_log(project, NO_DATABASE)
    assert NO_DATABASE in project.readiness()["checks"]["database"]["reason"]
    project.compose("start", "db")
    wait_until(lambda: project.readiness()["ok"], within=60, what="pacsd is ready again")
    assert "(Success)" in _answer_to_store(project)


def test_a_database_that_is_down_at_the_start_is_waited_for(install: Callable[..., Project]) -> None:
    project = install(database="postgresql")
    project.up()
    project.compose("stop", "pacsd", "db")
    # Not by Compose, whose newer versions start the database as well.
    docker("start", project.container())
    _wait_for_log(project, NO_DATABASE)
    project.compose("start", "db")
    wait_until(lambda: project.readiness()["ok"], within=90, what="pacsd is ready, started again by Docker")
