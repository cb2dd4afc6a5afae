"""`deploy/backup.py` by itself; that containers start from what it has copied, the containers' tests prove."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interop.test_failing_disk import assert_kept_exactly, instance, store
from pacsd.dataset.checksums import new_checksum
from support.constructed import encode, simple_dataset
from support.peers import missing
from support.scu import CALLING_AE_TITLE
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCRIPT = Path(__file__).parents[2] / "deploy" / "backup.py"
COMPLETE, FAULTY, UNFINISHED, ANOTHER_DUMP = range(4)
PATH = "2026/01/02/1.2/1.3/1.4.dcm"
COPY = f"store/{PATH}"
RENAME = "?rename,?renameat,?renameat2"
MKDIR = "?mkdir,?mkdirat"


class Archive:
    """A store and an index as the script sees them."""

    def __init__(self, folder: Path) -> None:
        self.store, self.index, self.target = folder / "store", folder / "index.db", folder / "backup"
        for each in (self.store / "incoming", self.target):
            each.mkdir(parents=True)
        with closing(sqlite3.connect(self.index)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(
                "CREATE TABLE instances (path TEXT UNIQUE, size INTEGER, dataset_offset INTEGER, checksum TEXT)"
            )

    def add(self, path: str, *, number: int = 1, algorithm: str = "xxh3_128") -> None:
        """Store an instance whose content follows from `number`."""
        self.put(path, number)
        sample = encode(simple_dataset(number), "sample")
        checksum = new_checksum(algorithm)
        checksum.update(sample.dataset)
        size = (self.store / path).stat().st_size
        with closing(sqlite3.connect(self.index)) as database, database:
            database.execute(
                "INSERT OR REPLACE INTO instances VALUES (?, ?, ?, ?)",
                (path, size, size - len(sample.dataset), f"{algorithm}:{checksum.hexdigest()}"),
            )

    def put(self, path: str, number: int) -> None:
        """Write a file that the index does not name yet."""
        sample = encode(simple_dataset(number), "sample")
        (self.store / path).parent.mkdir(parents=True, exist_ok=True)
        sample.write_file(self.store / path)

    def rows(self) -> list[tuple[str, int, int, str]]:
        with closing(sqlite3.connect(self.index)) as database:
            return database.execute("SELECT path, size, dataset_offset, checksum FROM instances").fetchall()

    def run(
        self, *arguments: str | Path, launcher: Sequence[str] = (), standard_input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*launcher, sys.executable, SCRIPT, *arguments, self.target],
            input=standard_input,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def save(self, **options: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return self.run("save", "--store", self.store, "--index", self.index, **options)

    def verify(self) -> subprocess.CompletedProcess[str]:
        return self.run("verify")

    def files(self) -> set[str]:
        """The copied files, relative to the backup."""
        found = {str(path.relative_to(self.target)) for path in self.target.rglob("*") if path.is_file()}
        return found - {"manifest.db", "manifest.db-journal"}

    def is_copied(self, path: str) -> bool:
        return (self.target / "store" / path).read_bytes() == (self.store / path).read_bytes()


def flip(path: Path, *, at: int = -1) -> None:
    """Change a single bit, and neither length nor time."""
    content, status = bytearray(path.read_bytes()), path.stat()
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


@pytest.fixture
def saved(archive: Archive) -> Archive:
    """One instance, in a backup that is complete."""
    archive.add(PATH)
    assert archive.save().returncode == COMPLETE
    return archive


def test_all_files_and_the_index_are_copied_but_not_what_is_being_received(archive: Archive) -> None:
    archive.add(PATH)
    (archive.store / "incoming" / "half.part").write_bytes(b"half")
    (archive.store / "lock").touch()
    (archive.store / "archive.json").write_text("{}")
    (archive.store / "quarantine").mkdir()
    (archive.store / "quarantine" / "1.9.dcm").write_bytes(b"put aside")
    result = archive.save()
    assert result.stdout == "3 files copied; the backup has 1 instances, each with its file.\n"
    assert archive.files() == {"index.db", COPY, "store/archive.json", "store/quarantine/1.9.dcm"}
    result = archive.verify()
    assert result.stdout == "4 files and 1 instances compared: no faults.\n"
    assert (result.returncode, result.stderr) == (COMPLETE, "")


def test_the_next_time_only_what_is_new_is_copied(saved: Archive) -> None:
    before = (saved.target / COPY).stat().st_ino
    saved.add("2026/01/02/1.2/1.3/1.5.dcm", number=2)
    assert saved.save().stdout == "1 files copied; the backup has 2 instances, each with its file.\n"
    assert (saved.target / COPY).stat().st_ino == before


def test_nobody_else_may_read_a_backup_or_what_a_former_version_has_left_open(archive: Archive) -> None:
    archive.add(PATH)
    archive.add("2026/01/02/1.2/1.3/1.5.dcm", number=2)
    open_to_all = archive.target / COPY
    open_to_all.parent.mkdir(parents=True)
    shutil.copy2(archive.store / PATH, open_to_all)
    open_to_all.chmod(0o644)
    old = os.umask(0)
    try:
        assert archive.save().returncode == COMPLETE
    finally:
        os.umask(old)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in archive.target.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


@pytest.mark.parametrize("algorithm", ["xxh3_128", "sha256"])
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (flip, "another checksum than when it was copied"),
        (lambda path: flip(path, at=5), "another checksum than when it was copied"),
        (cut, "bytes instead of"),
        (Path.unlink, "missing"),
    ],
    ids=["bit", "bit-of-the-preamble", "cut", "gone"],
)
def test_a_damaged_copy_is_found_and_copied_anew(
    archive: Archive, damage: Callable[[Path], None], told: str, algorithm: str
) -> None:
    archive.add(PATH, algorithm=algorithm)
    assert archive.save().returncode == COMPLETE
    damage(archive.target / COPY)
    result = archive.verify()
    assert result.returncode == FAULTY
    assert result.stderr.startswith(f"{COPY}: ")
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == "2 files and 1 instances compared: 1 fault.\n"
    result = archive.save()
    assert result.stdout == "1 files copied; the backup has 1 instances, each with its file.\n"
    assert result.returncode == COMPLETE
    assert archive.is_copied(PATH)
    assert archive.verify().returncode == COMPLETE


def test_a_copy_that_was_cut_short_is_copied_anew_without_being_verified(saved: Archive) -> None:
    cut(saved.target / COPY)
    assert saved.save().returncode == COMPLETE
    assert saved.is_copied(PATH)


def test_a_damaged_copy_that_the_store_no_longer_has_is_told_each_time(saved: Archive) -> None:
    flip(saved.target / COPY)
    assert saved.verify().returncode == FAULTY
    (saved.store / PATH).unlink()
    for _ in range(2):
        result = saved.save()
        assert result.returncode == FAULTY
        assert f"{COPY}: neither the store nor the backup has it good" in result.stderr


def test_a_damaged_copy_of_what_nobody_names_any_more_is_told_until_it_is_removed(saved: Archive) -> None:
    flip(saved.target / COPY)
    assert saved.verify().returncode == FAULTY
    (saved.store / PATH).unlink()
    with closing(sqlite3.connect(saved.index)) as database, database:
        database.execute("DELETE FROM instances")
    result = saved.save()
    assert result.returncode == FAULTY
    assert result.stderr == f"{COPY}: damaged in the backup, and the store has no good one\n"
    (saved.target / COPY).unlink()
    assert saved.save().returncode == COMPLETE
    assert saved.verify().returncode == COMPLETE


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_file_of_the_store_never_replaces_a_good_copy(
    saved: Archive, damage: Callable[[Path], None]
) -> None:
    """The manifest lost, as with a backup of a former version: the index alone says which of the two is good."""
    good = (saved.store / PATH).read_bytes()
    damage(saved.store / PATH)
    (saved.target / "manifest.db").unlink()
    for arguments in (
        ["save", "--store", saved.store],
        ["save", "--store", saved.store, "--index", saved.index],
    ):
        result = saved.run(*arguments)
        assert (saved.target / COPY).read_bytes() == good
    assert result.returncode == FAULTY
    assert result.stderr.startswith(f"{COPY}: damaged in the store: ")
    assert "the backup has a good copy" in result.stderr
    assert saved.verify().returncode == COMPLETE


def test_a_file_of_the_store_that_was_cut_short_is_noticed(saved: Archive) -> None:
    good = (saved.store / PATH).read_bytes()
    cut(saved.store / PATH)
    result = saved.save()
    assert (result.returncode, (saved.target / COPY).read_bytes()) == (FAULTY, good)
    assert f"{COPY}: damaged in the store: {len(good) - 3} bytes instead of {len(good)}" in result.stderr


@pytest.mark.parametrize("algorithm", ["xxh3_128", "sha256"])
def test_a_new_file_that_is_damaged_is_told_and_all_else_is_saved(archive: Archive, algorithm: str) -> None:
    """A damaged image is more than none; once the store has it good again, so has the backup."""
    good, other = PATH, "2026/01/02/1.2/1.3/1.5.dcm"
    archive.add(good, algorithm=algorithm)
    archive.add(other, number=2, algorithm=algorithm)
    flip(archive.store / good)
    result = archive.save()
    assert result.returncode == FAULTY
    assert (
        "neither the store nor the backup has it good: another checksum than the index says" in result.stderr
    )
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == "2 files copied; the backup has 2 instances, 1 fault.\n"
    assert archive.is_copied(other)
    assert archive.is_copied(good)
    result = archive.verify()
    assert (result.returncode, result.stderr) == (
        FAULTY,
        f"{COPY}: another checksum than the index says\n",
    )
    flip(archive.store / good)
    assert archive.save().returncode == COMPLETE
    assert archive.is_copied(good)


def test_a_file_that_another_one_has_replaced_under_its_name_is_copied(saved: Archive) -> None:
    saved.add(PATH, number=2)
    assert saved.save().returncode == COMPLETE
    assert saved.is_copied(PATH)


def test_a_file_that_cannot_be_read_is_told_and_all_else_is_saved(archive: Archive) -> None:
    archive.add(PATH)
    archive.add("2026/01/02/1.2/1.3/1.5.dcm", number=2)
    result = archive.save(launcher=_injecting("read", "error=EIO", on=archive.store / PATH))
    assert result.returncode == FAULTY
    assert f"{COPY}: in the store: cannot be read: Input/output error" in result.stderr
    assert archive.files() == {"index.db", "store/2026/01/02/1.2/1.3/1.5.dcm"}


def test_a_disk_that_does_not_keep_what_is_written_ends_the_run(archive: Archive) -> None:
    """What reads back otherwise gets no name."""
    archive.add(PATH)
    # What was written to is the file under this name still, when it is read again.
    part = archive.target / "copy.part"
    result = archive.save(launcher=_injecting("read", "error=EIO", on=part))
    assert result.returncode == UNFINISHED
    assert "copy.part on the backup's disk: cannot be read: Input/output error" in result.stderr
    assert not (archive.target / COPY).exists()


def test_what_changes_is_copied_each_time(saved: Archive) -> None:
    """`archive.json` is compared by its content: another one may have the same length and time."""
    names = saved.store / "archive.json", saved.store / "quarantine" / "note"
    names[1].parent.mkdir()
    for generation in (b"1", b"2"):
        for name in names:
            name.write_bytes(generation)
        os.utime(names[0], (1000, 1000))
        assert saved.save().returncode == COMPLETE
        assert [(saved.target / "store" / name.relative_to(saved.store)).read_bytes() for name in names] == [
            generation,
            generation,
        ]
        assert saved.verify().returncode == COMPLETE


class Meanwhile:
    """Has something happen in the archive just after the script has copied the index, for the first time only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, happen: Callable[[], None]) -> None:
        self.script = runpy.run_path(str(SCRIPT))
        copy_index = self.script["copy_index"]
        self.index_copies = 0

        def copy(*arguments: object) -> None:
            copy_index(*arguments)
            self.index_copies += 1
            if self.index_copies == 1:
                happen()

        monkeypatch.setitem(self.script["main"].__globals__, "copy_index", copy)
        self._monkeypatch = monkeypatch

    def save(self, archive: Archive) -> int:
        command = ["backup.py", "save", "--store", archive.store, "--index", archive.index, archive.target]
        self._monkeypatch.setattr(sys, "argv", list(map(str, command)))
        status: int = self.script["main"]()
        return status


def test_the_store_of_a_backup_is_never_older_than_its_index(
    saved: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server has noted before the index was copied, and what it notes then, is in the backup's store."""
    names = ("archive.json", "received-days")

    def start_again() -> None:
        for name in names:
            (saved.store / name).write_text("2")

    for name in names:
        (saved.store / name).write_text("1")
    assert Meanwhile(monkeypatch, start_again).save(saved) == COMPLETE
    assert [(saved.target / "store" / name).read_text() for name in names] == ["2", "2"]


@pytest.mark.parametrize("name", ["1.4-1.dcm", "1.4.dcm"], ids=["another-name", "the-same-name"])
def test_a_file_that_gives_way_between_the_copies_is_no_fault(
    name: str, archive: Archive, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With storage.duplicates = "replace": the index is copied once more, and names the file that is there."""
    archive.add(PATH)
    other = f"2026/01/02/1.2/1.3/{name}"

    def replace() -> None:
        with closing(sqlite3.connect(archive.index)) as database, database:
            database.execute("DELETE FROM instances")
        (archive.store / PATH).unlink()
        archive.add(other, number=2)

    meanwhile = Meanwhile(monkeypatch, replace)
    assert meanwhile.save(archive) == COMPLETE
    assert capsys.readouterr().err == ""
    assert meanwhile.index_copies == 2
    assert archive.files() == {"index.db", f"store/{other}"}


def test_each_directory_with_something_new_is_synced(archive: Archive, tmp_path: Path) -> None:
    archive.add(PATH)
    (archive.store / "archive.json").write_text("1")
    log = tmp_path / "calls"
    recording = _strace("-y", "-s", "4096", "-e", f"trace=fsync,{RENAME},{MKDIR}", "-o", str(log))
    assert archive.save(launcher=recording).returncode == COMPLETE
    changed: set[Path] = set()
    new = []
    for line in log.read_text().splitlines():
        if synced := re.fullmatch(r"fsync\(\d+<(.*)>\) += 0", line):
            changed.discard(Path(synced[1]))
        elif made := re.fullmatch(r'(?:rename|mkdir).*"(.*?)"(?:, \w+)?\) += 0', line):
            changed.add(Path(made[1]).parent)
            new.append(made[1])
    assert changed == set()
    names = [
        "store",
        "store/archive.json",
        "store/2026",
        "store/2026/01",
        "store/2026/01/02",
        "store/2026/01/02/1.2",
    ]
    names += ["store/2026/01/02/1.2/1.3", COPY, "index.db"]
    assert [str(Path(path).relative_to(archive.target)) for path in new] == names


def test_a_row_without_its_file_is_told_by_name(saved: Archive) -> None:
    other = "2026/01/02/1.2/1.3/1.5.dcm"
    saved.add(other, number=2)
    (saved.store / other).unlink()
    result = saved.save()
    assert result.returncode == FAULTY
    assert result.stderr == (
        f"store/{other}: lost: the index names it, and neither the store nor the backup has it\n"
    )
    result = saved.verify()
    assert (result.returncode, result.stderr) == (FAULTY, f"store/{other}: missing\n")


def test_a_wrong_folder_is_told_and_the_former_index_stays(saved: Archive) -> None:
    before = (saved.target / "index.db").read_bytes()
    saved.index.unlink()
    result = saved.save()
    assert result.returncode == UNFINISHED
    assert "The backup is not complete: unable to open database file" in result.stderr
    assert not saved.index.exists()
    saved.store.rename(saved.store.with_name("elsewhere"))
    assert f"No such file or directory: '{saved.store}'" in saved.save().stderr
    assert (saved.target / "index.db").read_bytes() == before
    assert saved.verify().returncode == COMPLETE


def test_a_folder_without_a_backup_is_not_verified(archive: Archive) -> None:
    result = archive.verify()
    assert (result.returncode, archive.files()) == (UNFINISHED, set())
    assert "holds no backup" in result.stderr


def _damage_page(database: Path) -> None:
    """Overwrite the last page, which holds rows or what finds them."""
    content = bytearray(database.read_bytes())
    content[-4096:] = b"\xaa" * 4096
    database.write_bytes(content)


def test_a_damaged_index_is_neither_taken_nor_kept_unnoticed(saved: Archive) -> None:
    before = (saved.target / "index.db").read_bytes()
    with closing(sqlite3.connect(saved.index)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    whole = saved.index.read_bytes()
    _damage_page(saved.index)
    result = saved.save()
    assert result.returncode == UNFINISHED
    assert "The backup is not complete: " in result.stderr
    assert (saved.target / "index.db").read_bytes() == before
    saved.index.write_bytes(whole)

    _damage_page(saved.target / "index.db")
    result = saved.verify()
    assert result.returncode == FAULTY
    assert result.stderr.startswith("index.db: ")
    assert saved.save().returncode == COMPLETE
    assert saved.verify().returncode == COMPLETE


def test_a_damaged_manifest_is_told_and_made_anew(saved: Archive) -> None:
    (saved.target / "manifest.db").write_bytes(b"no database" * 1000)
    result = saved.verify()
    assert result.returncode == FAULTY
    assert result.stderr.startswith("manifest.db: file is not a database; it is manifest.db.damaged now")
    flip(saved.target / COPY)
    assert saved.save().returncode == COMPLETE
    assert saved.is_copied(PATH)
    assert saved.verify().stdout == "2 files and 1 instances compared: no faults.\n"


def test_two_runs_are_never_at_work_on_one_backup(saved: Archive) -> None:
    with closing(sqlite3.connect(saved.target / "manifest.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        for result in (saved.save(), saved.verify()):
            assert result.returncode == UNFINISHED
            assert "another run is at work on it" in result.stderr


def _script_of_dump(
    rows: list[tuple[str, int, int, str]], *, end: str = "-- PostgreSQL database dump complete\n"
) -> str:
    lines = ["COPY public.alembic_version (version_num) FROM stdin;", "0004", "\\."]
    lines += ["COPY public.instances (id, path, size, dataset_offset, checksum, header) FROM stdin;"]
    lines += [
        "\t".join(map(str, (number, *row, '{"PatientComments":"COPY x FROM stdin;\\\\n"}')))
        for number, row in enumerate(rows, 1)
    ]
    return "\n".join((*lines, "\\.", "", end))


def test_a_dump_names_its_files_as_an_index_does(archive: Archive) -> None:
    archive.add(PATH)
    lost = "2026/01/02/1.2/1.3/1.5.dcm"
    archive.add(lost, number=2)
    (archive.store / lost).unlink()
    part = archive.target / "index.dump.part"
    script = _script_of_dump(archive.rows())
    arguments = ("save", "--store", archive.store, "--dump")

    part.write_bytes(b"a dump")
    result = archive.run(*arguments, standard_input=_script_of_dump(archive.rows(), end=""))
    assert (result.returncode, part.exists()) == (UNFINISHED, True)
    assert "the dump cannot be read to its end" in result.stderr
    result = archive.run(*arguments, standard_input=script[: script.index("xxh3_128") + 20])
    assert (result.returncode, part.exists()) == (UNFINISHED, True)
    assert "the dump ends within its table of instances" in result.stderr
    assert archive.run(*arguments, standard_input=script).returncode == ANOTHER_DUMP
    assert not (archive.target / "index.dump").exists()

    result = archive.run(*arguments, "--last-attempt", standard_input=script)
    assert result.returncode == FAULTY
    assert f"store/{lost}: lost: " in result.stderr
    assert result.stdout == "0 files copied; the backup has 2 instances, 1 fault.\n"
    assert (archive.target / "index.dump").read_bytes() == b"a dump"
    assert stat.S_IMODE((archive.target / "index.dump").stat().st_mode) == 0o600

    archive.put(lost, 2)
    part.write_bytes(b"another dump")
    assert archive.run(*arguments, standard_input=script).returncode == COMPLETE
    assert archive.run("verify", "--dump", standard_input=script).returncode == COMPLETE
    flip(archive.target / "index.dump")
    result = archive.run("verify", "--dump", standard_input=_script_of_dump([]))
    assert (result.returncode, result.stderr) == (
        FAULTY,
        "index.dump: another checksum than when it was copied\n",
    )


def _strace(*options: str) -> list[str]:
    strace = shutil.which("strace")
    if strace is None:
        missing("strace is not installed (Debian package strace)")
    return [strace, *options]


def _injecting(calls: str, fault: str, *, on: Path | None = None) -> list[str]:
    only = ["-P", str(on)] if on is not None else []
    return _strace("-o", "/dev/null", *only, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}")


@pytest.mark.parametrize(
    ("calls", "number"),
    [(MKDIR, 1), (MKDIR, 4)]
    + [("fsync", number) for number in (2, 7, 12)]
    + [("fdatasync", number) for number in (1, 4, 8)]
    + [(RENAME, number) for number in range(1, 7)],
)
def test_a_run_that_is_killed_leaves_a_whole_backup_and_the_next_one_goes_on(
    saved: Archive, calls: str, number: int
) -> None:
    """Killed instead of that system call: the backup of before is there, and nothing of the new one is in the way."""
    (saved.store / "archive.json").write_text("1")
    assert saved.save().returncode == COMPLETE
    index = (saved.target / "index.db").read_bytes()
    (saved.store / "archive.json").write_text("2")
    flip(saved.target / COPY)
    assert saved.verify().returncode == FAULTY
    for each in range(3):
        saved.add(f"2026/01/0{each + 3}/1.2/1.{each}/1.4.dcm", number=each + 2)

    killed = saved.save(launcher=_injecting(calls, f"signal=KILL:when={number}"))
    assert killed.returncode == -9, killed.stdout
    after = saved.verify()
    assert set(after.stderr.splitlines()) <= {f"{COPY}: another checksum than when it was copied"}
    assert (saved.target / "index.db").read_bytes() == index
    assert saved.save().returncode == COMPLETE
    files = {path.relative_to(saved.store) for path in saved.store.rglob("*") if path.is_file()}
    assert len(files) == 5
    assert all(saved.is_copied(str(path)) for path in files)
    assert saved.verify().returncode == COMPLETE


def test_a_server_starts_from_the_backup_of_one_that_ran(tmp_path: Path) -> None:
    peers = [Peer(ae_title=CALLING_AE_TITLE, port=104)]
    server = PacsdServer(tmp_path / "first", peers=peers)
    archive = Archive(tmp_path / "copied")
    archive.store, archive.index = server.root, server.index_path
    server.start()
    try:
        for number in (1, 2):
            assert store(server, instance(number)).status == 0x0000
        result = archive.save()
        assert (result.returncode, result.stderr) == (COMPLETE, "")
    finally:
        server.stop()
    result = archive.verify()
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    restored = PacsdServer(tmp_path / "second", peers=peers)
    shutil.copytree(archive.target / "store", restored.root)
    shutil.copy(archive.target / "index.db", restored.index_path)
    restored.start()
    try:
        assert_kept_exactly(restored, [instance(1), instance(2)])
    finally:
        restored.stop()
