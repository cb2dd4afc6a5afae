"""`deploy/backup.sh`: saved while images come in, and restored into an installation that never saw them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.project import Project, docker, run
from crash import kept, load

if TYPE_CHECKING:
    from collections.abc import Callable


def _script(project: Project, command: str, backup: Path) -> str:
    script = str(project.folder / "deploy" / "backup.sh")
    return run([script, command, str(backup)], environment=project.environment)


def _in_backup(project: Project, backup: Path, script: str) -> str:
    """Run a shell script in the backup's folder as root, as nobody else may look into it."""
    mount = f"--volume={backup}:/backup"
    options = ("--rm", "--user=0", mount, "--workdir=/backup", "--entrypoint=sh")
    return docker("run", *options, project.environment["PACSD_IMAGE"], "-euc", script)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_acknowledged_before_is_there_again(
    database: str, install: Callable[..., Project], tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    backup.mkdir()
    project = install(database=database)
    project.up()
    before, meanwhile = load.Load(project, first_series=100_000), load.Load(project, first_series=200_000)
    with before.running():
        before.wait_for(60, within=60)
    with meanwhile.running():
        meanwhile.wait_for(20, within=60)
        _script(project, "save", backup)
    assert "instances compared: no faults." in _script(project, "verify", backup)
    assert _in_backup(project, backup, "find . -mindepth 1 -perm /077") == ""
    project.down(with_volumes=True)

    project.up()
    _script(project, "restore", backup)
    project.up()
    kept.assert_kept(project, before)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_damage_in_a_backup_is_found_and_the_next_save_makes_it_good(
    database: str, install: Callable[..., Project], tmp_path: Path
) -> None:
    project = install(database=database)
    project.up()
    burden = load.Load(project, first_series=100_000)
    with burden.running():
        burden.wait_for(20, within=60)
    _script(project, "save", tmp_path)
    index = "index.dump" if database == "postgresql" else "index.db"
    damaged = _in_backup(
        project,
        tmp_path,
        "copy=$(find store -name '*.dcm' | sort | head -n 1); echo $copy; "
        f"printf X | dd of=$copy bs=1 seek=1500 conv=notrunc status=none; truncate --size=-3000 {index}",
    ).strip()
    with pytest.raises(AssertionError, match="ended with 1") as told:
        _script(project, "verify", tmp_path)
    assert f"{damaged}: another checksum than when it was copied" in str(told.value)
    assert f"{index}: " in str(told.value)
    assert "1 files copied" in _script(project, "save", tmp_path)
    assert "no faults" in _script(project, "verify", tmp_path)


def test_a_volume_with_images_is_not_overwritten(install: Callable[..., Project], tmp_path: Path) -> None:
    project = install()
    project.up()
    burden = load.Load(project, first_series=100_000)
    with burden.running():
        burden.wait_for(10, within=60)
    _script(project, "save", tmp_path)
    before = project.state()["StartedAt"]
    with pytest.raises(AssertionError, match="the volume holds images"):
        _script(project, "restore", tmp_path)
    # Whoever calls it by mistake does not even stop the server.
    assert project.state()["StartedAt"] == before
    kept.assert_kept(project, burden)


def test_an_archive_in_a_folder_is_there_and_is_saved(
    install: Callable[..., Project], tmp_path: Path
) -> None:
    archive, backup = tmp_path / "archive", tmp_path / "backup"
    for folder in (archive, backup):
        folder.mkdir()
    project = install()
    project.give_archive(str(archive), to="10001")
    project.environment["ARCHIVE"] = str(archive)
    project.up()
    burden = load.Load(project, first_series=100_000)
    with burden.running():
        burden.wait_for(10, within=60)
    _script(project, "save", backup)
    kept_files = {path.relative_to(archive) for path in archive.rglob("*.dcm")}
    assert len(kept_files) >= burden.total
    copied = _in_backup(project, backup, "find . -name '*.dcm'").splitlines()
    assert {Path(path) for path in copied} == kept_files
