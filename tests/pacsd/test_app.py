"""The composition root: settings become a store, an index and a worker that serves."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from dicomnet import AssociationRejected
from pacsd import app
from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier
from pacsd.errors import ArchiveMismatch, IndexUnavailable, StorageUnavailable
from pacsd.index.schema import migrations
from pacsd.model import ArchiveIdentity
from pacsd.settings import Settings
from pacsd.storage.filesystem import FileStore
from pacsd.supervision.shared_numbers import WorkerState
from support.app_worker import associated, worker
from support.archive_server import CLIENT, EXPLICIT, Client
from support.deadline import wait_until
from support.fake_archive import altered
from support.workstation import Received, Workstation

if TYPE_CHECKING:
    from pathlib import Path

    from support.instance import Instance

VERIFICATION = "1.2.840.10008.1.1"
STORAGE = "1.2.840.10008.5.1.4.1.1.7"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
IMPLICIT = "1.2.840.10008.1.2"


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app-index") / "index.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def tables(tmp_path: Path, migrated: Path) -> dict[str, Any]:
    """A configuration of folders that are the test's own; everybody may do everything."""
    shutil.copy(migrated, tmp_path / "index.db")
    return {
        "storage": {"root": str(tmp_path / "store"), "min_free_mb": 0},
        "index": {"url": f"sqlite:///{tmp_path}/index.db"},
        "access": {"unknown_peers": ["echo", "store", "find", "move", "get"]},
        "server": {"shutdown_timeout": 5},
    }


def identifier(**keys: str) -> bytes:
    return write_identifier(elements_of({"QueryRetrieveLevel": "STUDY", **keys}), EXPLICIT)


def store(net: Client, instance: Instance) -> int:
    return net.c_store(net.context_for(STORAGE), instance.sop_instance_uid, instance.dataset).status


def test_what_is_stored_is_found_got_and_moved(tables: dict[str, Any]) -> None:
    instance = altered(1, PatientName="Real^Parts")
    seen = Received()
    workstation = Workstation(seen)
    _, port = workstation.listen()
    tables["peer"] = [{"ae_title": "WORKSTATION", "host": "127.0.0.1", "port": port}]
    wanted = identifier(StudyInstanceUID=instance.study_instance_uid)
    with worker(tables) as running, associated(running, FIND, MOVE, GET, as_scp_of=(STORAGE,)) as net:
        assert store(net, instance) == 0x0000
        found = net.c_find(net.context_for(FIND), identifier(PatientName="real*", StudyInstanceUID=""))
        (_, match), (final, _) = found
        assert match is not None
        assert final.status == 0x0000
        assert read_identifier(match, EXPLICIT).value("PatientName") == "Real^Parts"
        *_, (got, _) = net.c_get(net.context_for(GET), wanted)
        assert (got.status, got.number_of_completed_suboperations) == (0x0000, 1)
        assert net.received == {instance.sop_instance_uid: (EXPLICIT, instance.dataset)}
        *_, (moved, _) = net.c_move(net.context_for(MOVE), wanted, move_destination="WORKSTATION")
        assert (moved.status, moved.number_of_completed_suboperations) == (0x0000, 1)
    workstation.close(timeout=5)
    assert seen.datasets == [instance.dataset]
    text = running.shared.metrics.render().decode()
    assert 'pacsd_instances_received_total{outcome="stored"} 1.0' in text
    assert 'pacsd_operations_total{peer="other",service="C-FIND",status="0000"} 1.0' in text


@pytest.mark.parametrize(("settings_of", "most"), [("access", 1), ("peer", 2)])
def test_queries_are_answered_by_the_callers_rules(
    tables: dict[str, Any], settings_of: str, most: int
) -> None:
    tables["access"]["max_matches"] = 1
    if settings_of == "peer":
        tables["peer"] = [{"ae_title": CLIENT, "host": "127.0.0.1", "port": 104, "max_matches": most}]
        tables["peer"][0]["character_set"] = "ISO_IR 100"
    with worker(tables) as running, associated(running, STORAGE, FIND) as net:
        for number in (1, 2, 3):
            named = altered(number, SpecificCharacterSet="ISO_IR 192", PatientName="Čeněk^Müller")
            assert store(net, named) == 0x0000
        *found, (final, _) = net.c_find(net.context_for(FIND), identifier(PatientName=""))
    assert final.status == 0xB001
    assert len(found) == most
    names = {read_identifier(match, EXPLICIT).value("PatientName") for _, match in found if match}
    assert names == {"Cenek^Müller" if settings_of == "peer" else "Čeněk^Müller"}


def know_the_client(tables: dict[str, Any]) -> None:
    tables["peer"] = [{"ae_title": CLIENT, "host": "127.0.0.1", "port": 104}]


def test_a_second_patient_of_a_study_is_counted_and_logged_without_values(
    tables: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with worker(tables) as running, associated(running, STORAGE) as net:
        assert store(net, altered(1, PatientID="FIRST-ID", StudyInstanceUID="1.2.3")) == 0x0000
        assert store(net, altered(2, PatientID="SECOND-ID", StudyInstanceUID="1.2.3")) == 0x0000
    assert "pacsd_study_conflicts_total 1.0" in running.shared.metrics.render().decode()
    logged = "".join(capsys.readouterr())
    assert "study-of-several-patients" in logged
    assert "FIRST-ID" not in logged
    assert "SECOND-ID" not in logged


def test_objects_that_disagree_are_counted_and_logged_without_values(
    tables: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    same = {
        "PatientID": "P",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.4",
        "AccessionNumber": "A",
        "StudyID": "1",
    }
    with worker(tables) as running, associated(running, STORAGE) as net:
        for number, said in enumerate(("FIRST-TEXT", "OTHER-TEXT", "OTHER-TEXT"), start=1):
            says = {"StudyDescription": said, "SeriesDescription": said, "Modality": said[:5]}
            assert store(net, altered(number, **same, **says)) == 0x0000
    text = running.shared.metrics.render().decode()
    assert 'pacsd_attribute_conflicts_total{level="study"} 1.0' in text
    assert 'pacsd_attribute_conflicts_total{level="series"} 2.0' in text
    lines = "".join(capsys.readouterr()).splitlines()
    (of_study, of_series) = [line for line in lines if "attributes-disagree" in line]
    assert "StudyDescription" in of_study
    assert "Modality" in of_series
    assert "SeriesDescription" in of_series
    assert not any("-TEXT" in line for line in lines)


def test_other_demographics_are_counted_and_logged_without_values(
    tables: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    know_the_client(tables)
    with worker(tables) as running, associated(running, STORAGE) as net:
        assert store(net, altered(1, PatientID="P", PatientName="Kept^Before")) == 0x0000
        assert store(net, altered(2, PatientID="P", PatientName="Now^Another")) == 0x0000
    text = running.shared.metrics.render().decode()
    assert 'pacsd_demographics_differences_total{kept="latest"} 1.0' in text
    logged = "".join(capsys.readouterr())
    assert "demographics-differ" in logged
    assert "PatientName" in logged
    assert "Kept^Before" not in logged
    assert "Now^Another" not in logged


def test_a_requestor_of_another_encoding_gets_it_transcoded(tables: dict[str, Any]) -> None:
    instance = altered()
    with worker(tables) as running:
        with associated(running, STORAGE) as net:
            assert store(net, instance) == 0x0000
        with associated(running, GET, as_scp_of=(STORAGE,), syntaxes=(IMPLICIT,)) as net:
            keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": instance.study_instance_uid}
            *_, (got, _) = net.c_get(net.context_for(GET), write_identifier(elements_of(keys), IMPLICIT))
    assert got.status == 0x0000
    syntax, data = net.received[instance.sop_instance_uid]
    assert syntax == IMPLICIT
    assert read_identifier(data, IMPLICIT).value("SOPInstanceUID") == instance.sop_instance_uid


def test_a_worker_is_ready_when_it_accepts(tables: dict[str, Any]) -> None:
    with worker(tables) as running, associated(running, VERIFICATION) as net:
        workers = running.shared.workers
        wait_until(lambda: workers.count(WorkerState.READY) == 1, within=10, what="it says so")
        assert net.c_echo().status == 0x0000
        assert running.shared.associations.total == 1


def test_the_limit_of_associations_is_the_configurations(tables: dict[str, Any]) -> None:
    tables["dicom"] = {"max_associations": 1}
    with worker(tables) as running, associated(running, VERIFICATION):
        with pytest.raises(AssociationRejected) as rejected, associated(running, VERIFICATION):
            pass
        assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (2, 3, 2)


def test_permissions_and_names_are_the_configurations(tables: dict[str, Any]) -> None:
    tables["dicom"] = {"ae_title": "ARCHIVE", "check_called_ae_title": False}
    tables["access"] = {"unknown_peers": []}
    tables["peer"] = [
        {
            "ae_title": "TESTSCU",
            "host": "127.0.0.1",
            "port": 104,
            "allow": ["echo", "find"],
            "check_host": True,
        }
    ]
    with worker(tables) as running, associated(running, VERIFICATION, FIND, STORAGE, GET) as net:
        assert net.association is not None
        accepted = {each.abstract_syntax for each in net.association.presentation_contexts.values()}
        assert accepted == {VERIFICATION, FIND}
        assert [response.status for response, _ in net.c_find(net.context_for(FIND), identifier())] == [0]


@pytest.mark.parametrize(
    ("policy", "sender", "status", "kept"),
    [
        ("replace-own", "known", 0x0000, "second"),
        ("replace", "known", 0x0000, "second"),
        ("keep-first", "known", 0x0111, "first"),
        ("reject", "known", 0x0111, "first"),
        ("replace-own", "unknown", 0x0111, "first"),
        ("replace", "unknown", 0x0111, "first"),
    ],
)
def test_the_policy_of_duplicates_is_the_configurations(
    tables: dict[str, Any], policy: str, sender: str, status: int, kept: str
) -> None:
    tables["storage"]["duplicates"] = policy
    if sender == "known":
        know_the_client(tables)
    with worker(tables) as running, associated(running, STORAGE, FIND) as net:
        assert store(net, altered(StudyID="first")) == 0x0000
        assert store(net, altered(StudyID="second")) == status
        (_, match), _ = net.c_find(net.context_for(FIND), identifier(StudyID=""))
    assert match is not None
    assert read_identifier(match, EXPLICIT).value("StudyID") == kept


@pytest.mark.parametrize("damage", [None, "damaged", "missing"])
def test_a_stranger_adds_and_changes_nothing_that_is_there(
    tables: dict[str, Any], damage: str | None
) -> None:
    """Whatever a known peer's objects have given to patient, study, series and instance stays as it is."""
    know_the_client(tables)
    given = {
        "PatientID": "P1",
        "PatientName": "Given^Name",
        "PatientSex": "F",
        "StudyDescription": "Given study",
        "SeriesDescription": "Given series",
        "Modality": "MR",
    }
    other = dict.fromkeys(given, "OTHER") | {"PatientID": "P1", "PatientSex": "M", "Modality": "CT"}
    ours = altered(1, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", **given)
    theirs = [
        altered(1, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", **other),
        altered(2, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", **other),
        altered(3, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", **other),
    ]
    uids = {
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "SOPInstanceUID": ours.sop_instance_uid,
    }
    of_study = ("PatientName", "PatientSex", "StudyDescription")
    of_series = (*of_study, "SeriesDescription", "Modality")
    with worker(tables) as running, associated(running, STORAGE, FIND) as net:
        assert store(net, ours) == 0x0000
        (path,) = (
            running.settings.storage.root / p for p in FileStore(running.settings.storage.root).published()
        )
        if damage == "damaged":
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        elif damage == "missing":
            path.unlink()
        with associated(running, STORAGE, calling="STRANGER") as stranger:
            assert [store(stranger, each) for each in theirs] == [0x0111, 0x0000, 0x0000]
        for depth, (level, keywords) in enumerate(
            (("STUDY", of_study), ("SERIES", of_series), ("IMAGE", of_series)), start=1
        ):
            unique = dict(list(uids.items())[:depth])
            asked = identifier(**unique, **dict.fromkeys(keywords, ""), QueryRetrieveLevel=level)
            (_, match), _ = net.c_find(net.context_for(FIND), asked)
            assert match is not None
            found = read_identifier(match, EXPLICIT)
            assert {each: found.value(each) for each in keywords} == {each: given[each] for each in keywords}
        if damage is not None:
            # What is the same heals, whoever sends it.
            with associated(running, STORAGE, calling="STRANGER") as stranger:
                assert store(stranger, ours) == 0x0000
        with associated(running, GET, as_scp_of=(STORAGE,)) as getter:
            wanted = identifier(**uids, QueryRetrieveLevel="IMAGE")
            *_, (got, _) = getter.c_get(getter.context_for(GET), wanted)
        assert got.status == 0x0000
        assert getter.received[ours.sop_instance_uid] == (EXPLICIT, ours.dataset)


def test_below_the_watermark_stores_are_refused(tables: dict[str, Any]) -> None:
    tables["storage"]["min_free_mb"] = 1 << 40
    with worker(tables) as running, associated(running, STORAGE) as net:
        assert store(net, altered()) == 0xA700


def test_a_retired_worker_serves_its_associations_to_their_end(tables: dict[str, Any]) -> None:
    with worker(tables) as running:
        with associated(running, VERIFICATION) as net:
            running.retire()
            wait_until(lambda: refuses_connections(running.port), within=10, what="it accepts no more")
            assert net.c_echo().status == 0x0000
        running.thread.join(10)
        assert running.exit_status == [0]


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionError as error:
        # One that was queued when the socket closed is reset.
        return isinstance(error, ConnectionRefusedError)
    return False


def test_prepare_puts_right_what_a_crash_has_left(tables: dict[str, Any]) -> None:
    instance = altered(1, PatientName="Swept^Up")
    with worker(tables) as running, associated(running, STORAGE) as net:
        store(net, instance)
    settings = running.settings
    files = FileStore(settings.storage.root)
    (path,) = files.published()
    half = settings.storage.root / "incoming" / "1-1.part"
    half.write_bytes(b"half")
    lost = settings.storage.root / path.replace(".dcm", ".1.dcm")
    old_uid = instance.sop_instance_uid.encode()
    new_uid = old_uid[:-1] + b"7"
    lost.write_bytes((settings.storage.root / path).read_bytes().replace(old_uid, new_uid))
    with worker(tables) as running, associated(running, FIND) as net:
        keys = identifier(StudyInstanceUID="", NumberOfStudyRelatedInstances="")
        (_, match), _ = net.c_find(net.context_for(FIND), keys)
    assert match is not None
    assert read_identifier(match, EXPLICIT).value("NumberOfStudyRelatedInstances") == "2"
    assert not half.exists()


def test_prepare_leaves_no_thread_to_the_forks(tables: dict[str, Any]) -> None:
    with worker(tables) as running, associated(running, STORAGE) as net:
        assert store(net, altered(1)) == 0x0000
    before = set(threading.enumerate())
    app.prepare(running.settings)
    assert set(threading.enumerate()) <= before


def test_an_index_that_was_lost_stops_the_start_until_it_is_adopted(
    tables: dict[str, Any], migrated: Path
) -> None:
    with worker(tables) as running, associated(running, STORAGE) as net:
        assert store(net, altered(1)) == 0x0000
    shutil.copy(migrated, running.settings.storage.root.parent / "index.db")
    with pytest.raises(ArchiveMismatch, match="pacsd adopt index") as refused:
        app.prepare(running.settings)
    root = running.settings.storage.root
    assert f"(storage.root is {root}, the index is {root.parent}/index.db)" in str(refused.value)
    app.adopt(running.settings, "index")
    with worker(tables) as running, associated(running, FIND) as net:
        found = list(net.c_find(net.context_for(FIND), identifier(StudyInstanceUID="")))
    assert len(found) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
@pytest.mark.parametrize("command", ["adopt", "upgrade"])
def test_what_root_makes_of_an_index_belongs_to_the_stores_owner(tmp_path: Path, command: str) -> None:
    """The server, which is not root, could not open it."""
    root, owner = tmp_path / "store", 12345
    files = FileStore(root)
    root.mkdir()
    os.chown(root, owner, owner)
    files.identify(ArchiveIdentity("A", 1))
    os.chown(tmp_path, 0, 0)
    tables = {"storage": {"root": str(root)}, "index": {"url": f"sqlite:///{tmp_path}/new/index.db"}}
    if command == "adopt":
        app.adopt(Settings(**tables), "index")
    else:
        app.upgrade_database(Settings(**tables))
    made = {tmp_path / "new", *(tmp_path / "new").iterdir(), *root.rglob("*")}
    assert {"new", "index.db", "archive.json"} <= {path.name for path in made}
    assert {path.name: path.stat().st_uid for path in made if path.stat().st_uid != owner} == {}
    assert {path.stat().st_gid for path in made} == {owner}
    assert tmp_path.stat().st_uid == 0, "what was there stays whose it was"


def test_a_store_that_cannot_be_used_is_told_before_any_worker(
    tables: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    tables["storage"]["root"] = str(tmp_path / "file")
    with pytest.raises(StorageUnavailable, match="storage root"):
        app.prepare(Settings(**tables))


def test_an_index_that_cannot_be_used_is_told_before_any_worker(
    tables: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "index.db").write_bytes(b"no database" * 1000)
    with pytest.raises(IndexUnavailable):
        app.prepare(Settings(**tables))


def test_giving_up_durability_is_warned_of(tables: dict[str, Any]) -> None:
    tables["storage"]["sync"] = "off"
    with capture_logs() as logs:
        app.prepare(Settings(**tables))
    assert [line["log_level"] for line in logs if line["event"] == "storage-sync-off"] == ["warning"]


def test_a_killed_workers_half_files_go_and_no_others(tables: dict[str, Any]) -> None:
    settings = Settings(**tables)
    app.prepare(settings)
    incoming = settings.storage.root / "incoming"
    folders = [incoming, next(folder for folder in incoming.iterdir() if folder.is_dir())]
    for folder in folders:
        for pid in (123, 1234, os.getpid()):
            (folder / f"{pid}-aaaa.part").write_bytes(b"half")
    app.clear_up(settings, 123)
    assert sorted(path for path in incoming.rglob("*") if path.is_file()) == sorted(
        folder / f"{pid}-aaaa.part" for folder in folders for pid in (1234, os.getpid())
    )


def test_the_engine_is_told_limits_and_deadlines(tables: dict[str, Any]) -> None:
    tables["dicom"] = {"max_pdu_length": 65536, "timeouts": {"dimse": 7.5, "artim": 3}}
    configuration = app.net_configuration(Settings(**tables))
    assert configuration.maximum_length == 65536
    assert (configuration.timeouts.dimse, configuration.timeouts.artim) == (7.5, 3)
    defaults = Settings().dicom.timeouts
    assert configuration.timeouts.idle == defaults.idle
