"""Files out of service: never without a note, wherever a process is killed, and never lost."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pacsd.errors import StorageUnavailable
from pacsd.model import StoredInstance
from pacsd.storage.filesystem import FileStore
from pacsd.storage.layout import path_of_receipt, path_without_receipt
from pacsd.storage.quarantine import QUARANTINE, Quarantine

PATH = "2026/01/02/1.2/1.3/1.4.dcm"
CONTENT = b"content"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    put(tmp_path, PATH)
    return Quarantine(tmp_path, now=lambda: AT)


def put(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(CONTENT)


def taken(quarantine: Quarantine, path: str = PATH) -> str:
    name = quarantine.take(path, "damaged")
    assert name is not None
    return name


def test_a_file_is_moved_with_a_note(quarantine: Quarantine, tmp_path: Path) -> None:
    name = taken(quarantine)
    assert not (tmp_path / PATH).exists()
    assert (tmp_path / quarantine.path_of(name)).read_bytes() == CONTENT
    (found,) = quarantine.list()
    assert (found.name, found.path, found.at) == (name, PATH, AT.isoformat())
    assert (found.reason, found.size) == ("damaged", len(CONTENT))
    assert quarantine.count() == 1
    assert quarantine.find(name) == found


RECORDED = StoredInstance(
    sop_instance_uid="1.4",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    path=PATH,
    size=len(CONTENT),
    dataset_offset=0,
    checksum="xxh3_128:0",
)


@pytest.mark.parametrize("recorded", [None, {"size": "no"}, []])
def test_a_note_that_records_nothing_is_as_it_ever_was(
    quarantine: Quarantine, tmp_path: Path, recorded: object
) -> None:
    name = quarantine.announce(PATH, "by command", RECORDED)
    assert quarantine.complete(name, PATH) == name
    assert quarantine.recorded_of(name) == replace(RECORDED, path=quarantine.path_of(name))
    note = tmp_path / QUARANTINE / f"{name}.json"
    content = json.loads(note.read_text())
    assert content.pop("recorded")["checksum"] == RECORDED.checksum
    note.write_text(json.dumps(content if recorded is None else {**content, "recorded": recorded}))
    assert quarantine.recorded_of(name) is None
    assert quarantine.find(name).path == PATH


def test_there_is_no_folder_until_it_is_needed(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    assert quarantine.list() == []
    assert quarantine.count() == 0
    assert quarantine.take(PATH, "damaged") is None
    assert list(tmp_path.iterdir()) == []


def test_files_of_one_moment_and_one_name_are_kept_apart(quarantine: Quarantine, tmp_path: Path) -> None:
    names = [taken(quarantine)]
    for _ in range(3):
        put(tmp_path, PATH)
        names.append(taken(quarantine))
    assert sorted(each.name for each in quarantine.list()) == sorted(set(names))
    assert quarantine.count() == 4


class KilledError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("step", ["note", "rename", "sync"])
def test_a_kill_leaves_no_file_without_a_note(
    quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The file is where it was, or here with its note; and it can be taken again."""

    def die(*_: object) -> None:
        raise KilledError

    rename = Path.rename

    def rename_and_die(path: Path, target: Path) -> None:
        rename(path, target)
        raise KilledError

    with monkeypatch.context() as patched:
        if step == "note":
            patched.setattr(os, "fsync", die)
        else:
            patched.setattr(Path, "rename", die if step == "rename" else rename_and_die)
        with pytest.raises(KilledError):
            quarantine.take(PATH, "damaged")
    if step == "sync":
        (found,) = quarantine.list()
        assert (found.path, found.reason) == (PATH, "damaged")
        assert not (tmp_path / PATH).exists()
    else:
        assert (tmp_path / PATH).read_bytes() == CONTENT
        assert quarantine.list() == []
        assert quarantine.count() == 0
        assert taken(quarantine)
    assert quarantine.count() == 1


def test_a_file_that_goes_meanwhile_leaves_no_note(
    quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def lose(path: Path, target: Path) -> Path:
        path.unlink()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", lose)
    assert quarantine.take(PATH, "damaged") is None
    assert list((tmp_path / QUARANTINE).iterdir()) == []


def test_what_a_sweep_has_completed_first_keeps_its_note(quarantine: Quarantine, tmp_path: Path) -> None:
    name = quarantine.announce(PATH, "damaged")
    assert Quarantine(tmp_path).complete(name, PATH) == name
    assert quarantine.complete(name, PATH) == name
    (listed,) = quarantine.list()
    assert (listed.name, listed.path, listed.reason) == (name, PATH, "damaged")


@pytest.mark.parametrize("note", [None, "", "{", "[]", '{"path": "x"}'])
def test_a_lost_note_does_not_hide_the_file(quarantine: Quarantine, tmp_path: Path, note: str | None) -> None:
    name = taken(quarantine)
    file = tmp_path / QUARANTINE / f"{name}.json"
    file.unlink()
    if note is not None:
        file.write_text(note)
    (found,) = quarantine.list()
    assert (found.path, found.size) == ("", len(CONTENT))
    assert "note" in found.reason
    with pytest.raises(StorageUnavailable, match="does not say where it was"):
        FileStore(tmp_path).copy_from_quarantine(name)
    assert quarantine.count() == 1


@pytest.mark.parametrize("name", ["a/b", "/etc/passwd", "../store", ".hidden", "..", f"../{PATH}"])
def test_a_name_leads_nowhere_else(quarantine: Quarantine, tmp_path: Path, name: str) -> None:
    taken(quarantine)
    for use in (quarantine.find, quarantine.path_of, quarantine.purge):
        with pytest.raises(StorageUnavailable, match="is no name of a file in quarantine"):
            use(name)
    assert quarantine.count() == 1


def test_an_unknown_name_is_told(quarantine: Quarantine) -> None:
    with pytest.raises(StorageUnavailable, match="there is no 20260102T030405-aa in quarantine"):
        quarantine.find("20260102T030405-aa")


def test_what_is_purged_is_gone_with_its_note(quarantine: Quarantine, tmp_path: Path) -> None:
    name = taken(quarantine)
    put(tmp_path, PATH)
    kept = taken(quarantine)
    quarantine.purge(name)
    assert [each.name for each in quarantine.list()] == [kept]
    assert len(list((tmp_path / QUARANTINE).iterdir())) == 2
    with pytest.raises(StorageUnavailable, match="there is no"):
        quarantine.purge(name)


def test_the_list_is_in_the_order_of_time(tmp_path: Path) -> None:
    moments = iter([AT + timedelta(days=2), AT, AT + timedelta(days=1)])
    quarantine = Quarantine(tmp_path, now=lambda: next(moments))
    for number in range(3):
        put(tmp_path, f"2026/01/02/1.2/1.3/{number}.dcm")
        taken(quarantine, f"2026/01/02/1.2/1.3/{number}.dcm")
    assert [each.path[-5] for each in quarantine.list()] == ["1", "2", "0"]


@pytest.mark.parametrize("path", [PATH, path_of_receipt(PATH, "0123abcd-9"), PATH.replace(".dcm", "-2.dcm")])
def test_a_copy_is_published_where_it_was_under_a_name_of_its_own(tmp_path: Path, path: str) -> None:
    """A sweep or a removal may still be about to touch what had the name before."""
    store = FileStore(tmp_path)
    store.open()
    put(tmp_path, path)
    name = store.quarantine(path, "damaged")
    assert name is not None
    copies = [store.copy_from_quarantine(name) for _ in range(2)]
    assert store.quarantined.count() == 1, "it leaves only when it is in service again"
    assert len({path, *copies}) == 3
    for copy in copies:
        assert path_without_receipt(copy) == PATH
        assert (tmp_path / copy).read_bytes() == CONTENT
    assert "2026/01/02" in (store.received_days(0) or ["2026/01/02"])


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is listed from now on."""
    folders: list[Path] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (folders.append(folder), scandir(folder))[1])
    return folders


def test_announcements_are_looked_for_once_as_long_as_nothing_changes(
    tmp_path: Path, listed: list[Path]
) -> None:
    put(tmp_path, PATH)
    quarantine = Quarantine(tmp_path)
    first = quarantine.announce(PATH, "damaged")
    folder = tmp_path / QUARANTINE
    os.utime(folder, (AT.timestamp(), AT.timestamp()))
    for _ in range(3):
        assert quarantine.withdrawn() == {PATH: first}
    assert listed == [folder]
    # A command, in a process of its own.
    second = Quarantine(tmp_path).announce(f"{PATH}-2", "damaged")
    for _ in range(2):
        assert quarantine.withdrawn() == {PATH: first, f"{PATH}-2": second}
    quarantine.withdraw(first)
    assert quarantine.withdrawn() == {f"{PATH}-2": second}


def test_what_is_listed_while_it_changes_is_listed_again(tmp_path: Path, listed: list[Path]) -> None:
    """The next change may have the same time, and a note that is being written none any more."""
    put(tmp_path, PATH)
    quarantine = Quarantine(tmp_path)
    name = quarantine.announce(PATH, "damaged")
    folder = tmp_path / QUARANTINE
    note = folder / f"{name}.json"
    quarantine.withdrawn()
    content = note.read_text()
    note.write_text(content[:10])
    os.utime(folder, (AT.timestamp(), AT.timestamp()))
    assert quarantine.withdrawn() == {}
    note.write_text(content)
    assert quarantine.withdrawn() == {PATH: name}
    assert listed == [folder] * 3


@pytest.mark.parametrize(
    ("path", "is_by_command", "expected"),
    [
        (path_of_receipt(PATH, "0123abcd-9"), True, {path_of_receipt(PATH, "0123abcd-9"): None}),
        (path_of_receipt(PATH, "0123abcd-9"), False, {}),
        (PATH, True, {}),
    ],
    ids=["by-command", "damaged", "name-of-an-earlier-version"],
)
def test_what_is_here_by_command_must_not_come_back(
    tmp_path: Path, path: str, is_by_command: bool, expected: dict[str, str | None]
) -> None:
    """Unless its name may be another file's; and a damaged one may come back whole."""
    put(tmp_path, path)
    quarantine = Quarantine(tmp_path)
    if is_by_command:
        name = quarantine.announce(path, "wrong patient")
        assert quarantine.withdrawn() == {path: name}
        assert quarantine.complete(name, path) == name
    else:
        name = taken(quarantine, path)
    assert quarantine.withdrawn() == expected
    quarantine.purge(name)
    assert quarantine.withdrawn() == {}
