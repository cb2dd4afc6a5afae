"""`docker compose up` from outside: modalities, workstations, Prometheus, kills and stops, on both databases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from containers.project import PEERS, WORKSTATION_PORT, Project, docker
from crash import kept, load
from support import dcmtk
from support.bundled import bundled_instances
from support.deadline import wait_until
from support.instance import dataset_offset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.instance import Instance

CALLING = "TESTSCU"
DATABASES = ["sqlite", "postgresql"]


def _store(project: Project, folder: Path) -> list[Instance]:
    """Send real files with DCMTK."""
    instances = [each for each in bundled_instances() if each.transfer_syntax_uid == "1.2.840.10008.1.2.1"]
    files = folder / "to-store"
    files.mkdir(exist_ok=True)
    for number, instance in enumerate(instances):
        instance.write_file(files / f"{number}.dcm")
    dcmtk.run("dcmsend", project, "--scan-directories", files, calling="MODALITY")
    return instances


def _datasets(folder: Path) -> dict[str, bytes]:
    """The data sets of the files in a folder, by the SOP Instance UIDs in the names that DCMTK gives them."""
    contents = {path.name.partition(".")[2]: path.read_bytes() for path in folder.iterdir()}
    return {name: content[dataset_offset(content) :] for name, content in contents.items()}


def _found(project: Project, folder: Path, *, calling: str = CALLING) -> int:
    """How many studies a query answers."""
    folder.mkdir()
    options = ["-S", "-X", "-od", folder, "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID"]
    dcmtk.run("findscu", project, *options, calling=calling)
    return len(list(folder.iterdir()))


@pytest.mark.parametrize("database", DATABASES)
def test_images_go_in_are_found_and_come_out(
    database: str, install: Callable[..., Project], tmp_path: Path
) -> None:
    project = install(database=database)
    project.up()
    stored = _store(project, tmp_path)
    # Docker asks every ten seconds only.
    wait_until(lambda: project.health() == "healthy", within=60, what="Docker calls pacsd healthy")
    studies = {each.study_instance_uid for each in stored}
    assert _found(project, tmp_path / "found") == len(studies)

    study = stored[0].study_instance_uid
    expected = {each.dataset for each in stored if each.study_instance_uid == study}
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    (tmp_path / "got").mkdir()
    dcmtk.run("getscu", project, "-S", "+B", "-od", tmp_path / "got", *keys)
    assert set(_datasets(tmp_path / "got").values()) == expected

    with dcmtk.storescp(CALLING, tmp_path / "moved", port=WORKSTATION_PORT):
        dcmtk.run("movescu", project, "-S", "-aem", CALLING, *keys)
    assert set(_datasets(tmp_path / "moved").values()) == expected

    total = 'sum(pacsd_instances_received_total{outcome="stored"})'
    wait_until(
        lambda: project.ask_prometheus(total) == [len(stored)], within=60, what="Prometheus has counted them"
    )


def test_unknown_peers_may_store_but_not_ask(install: Callable[..., Project], tmp_path: Path) -> None:
    project = install()
    project.up()
    stored = _store(project, tmp_path)
    refused = dcmtk.run_unchecked(
        "findscu",
        project,
        "-S",
        "-k",
        "QueryRetrieveLevel=STUDY",
        "-k",
        "StudyInstanceUID",
        calling="UNKNOWN",
    )
    assert "No Acceptable Presentation Contexts" in refused.stdout
    assert _found(project, tmp_path / "found") == len({each.study_instance_uid for each in stored})


@pytest.mark.parametrize("database", DATABASES)
def test_what_was_acknowledged_survives_a_kill(database: str, install: Callable[..., Project]) -> None:
    project = install(database=database)
    project.up()
    burden = load.Load(project, first_series=100_000)
    with burden.running():
        burden.wait_for(150, within=60)
        docker("kill", project.container())
    project.up()
    assert not burden.refused
    kept.assert_kept(project, burden)


def test_it_stops_within_the_grace_period(install: Callable[..., Project]) -> None:
    project = install()
    project.up()
    burden = load.Load(project, first_series=100_000)
    with burden.running():
        burden.wait_for(50, within=60)
        project.compose("stop", "pacsd")
    # 137 would be a kill when stop_grace_period was over.
    assert project.state()["ExitCode"] == 0
    assert "server-stopped" in project.log()


def test_an_older_version_is_updated_with_its_archive(
    install: Callable[..., Project], image: str, previous_image: str, tmp_path: Path
) -> None:
    project = install()
    # The older version does not know all of today's settings.
    project.configuration.write_text(PEERS)
    project.up(previous_image)
    stored = _store(project, tmp_path)
    project.up(image)
    assert docker("inspect", "--format", "{{.Config.Image}}", project.container()).strip() == image
    assert _found(project, tmp_path / "found") == len({each.study_instance_uid for each in stored})


def test_it_runs_without_privileges_on_a_read_only_file_system(install: Callable[..., Project]) -> None:
    project = install()
    project.up()
    status = docker("exec", project.container(), "python", "-c", "print(open('/proc/1/status').read())")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["10001"] * 4
    assert int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2", "a filter of system calls is in force"
    probe = "import errno\ntry: open('/opt/probe', 'w')\nexcept OSError as error: print(errno.errorcode[error.errno])"
    assert docker("exec", project.container(), "python", "-c", probe).strip() == "EROFS"


def test_each_container_has_limits_and_only_pacsd_reaches_the_database(
    install: Callable[..., Project],
) -> None:
    project = install(database="postgresql")
    project.up()
    for service in ("pacsd", "prometheus", "db"):
        limits = json.loads(docker("inspect", "--format", "{{json .HostConfig}}", project.container(service)))
        assert limits["Memory"] > 0, service
        assert limits["PidsLimit"] > 0, service
        assert "no-new-privileges:true" in limits["SecurityOpt"], service
        assert limits["CapDrop"] == ["ALL"], service

    networks = json.loads(
        docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", project.container("db"))
    )
    assert list(networks) == [f"{project.name}_database"]
    address = networks[f"{project.name}_database"]["IPAddress"]
    probe = (
        "import socket\n"
        f"try: socket.create_connection(({address!r}, 5432), timeout=5); print('reached')\n"
        "except OSError as error: print('not reached')"
    )
    assert docker("exec", project.container(), "python", "-c", probe).strip() == "reached"
    where = ("--rm", f"--network={project.name}_monitoring", "--entrypoint=python")
    beside_prometheus = docker("run", *where, project.environment["PACSD_IMAGE"], "-c", probe)
    assert beside_prometheus.strip() == "not reached"
