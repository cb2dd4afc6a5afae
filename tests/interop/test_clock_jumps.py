"""A wall clock that is set while instances are stored: the day on a file's path changes, and nothing else does."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import pytest

from pacsd import app
from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier
from pacsd.index.schema import migrations
from pacsd.services import ingest, sweep
from pacsd.settings import Settings
from support.app_worker import associated, worker
from support.archive_server import EXPLICIT, Client
from support.fake_archive import altered
from support.wire import WireAssociation, data_transfer, message, store_request

if TYPE_CHECKING:
    from pathlib import Path

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
STORAGE = "1.2.840.10008.5.1.4.1.1.7"
STUDY = "1.2.3.4"
DAY = timedelta(days=1)


class WallClock:
    """Stands in for `datetime` and `time.time`, as far ahead of them as it was set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta(0)
        self._time = time.time
        monkeypatch.setattr(ingest, "datetime", self)
        monkeypatch.setattr(sweep, "datetime", self)
        monkeypatch.setattr(time, "time", lambda: self._time() + self.ahead.total_seconds())

    def now(self, zone: tzinfo) -> datetime:
        return datetime.now(zone) + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    return WallClock(monkeypatch)


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Any]:
    """A configuration in which everybody may do everything, and nobody may be idle for long."""
    url = f"sqlite:///{tmp_path}/index.db"
    migrations.upgrade(url)
    return {
        "dicom": {"timeouts": {"dimse": 30, "idle": 30}},
        "storage": {"root": str(tmp_path / "store"), "min_free_mb": 0},
        "index": {"url": url},
        "access": {"unknown_peers": ["echo", "store", "find", "move", "get"]},
        "server": {"shutdown_timeout": 5},
    }


def assert_found(net: Client, expected: set[str]) -> None:
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY, "NumberOfStudyRelatedInstances": ""}
    identifier = write_identifier(elements_of(keys), EXPLICIT)
    (_, match), _ = net.c_find(net.context_for(FIND), identifier)
    assert match is not None
    assert read_identifier(match, EXPLICIT).value("NumberOfStudyRelatedInstances") == str(len(expected))
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY}
    *_, (got, _) = net.c_get(net.context_for(GET), write_identifier(elements_of(keys), EXPLICIT))
    assert got.status == 0x0000
    assert set(net.received) == expected


def test_a_clock_that_jumps_between_stores(tables: dict[str, Any], clock: WallClock, tmp_path: Path) -> None:
    """A day forwards, two backwards, then back; each also with an instance that is there already."""
    jumps = [timedelta(0), DAY, -DAY, timedelta(0)]
    sent = [altered(number, StudyInstanceUID=STUDY, PatientID="CLOCK") for number in range(1, len(jumps) + 1)]
    with worker(tables) as running, associated(running, FIND, GET, as_scp_of=(STORAGE,)) as net:
        for ahead, each in zip(jumps, sent, strict=True):
            clock.ahead = ahead
            for instance in (each, sent[0]):
                response = net.c_store(net.context_for(STORAGE), instance.sop_instance_uid, instance.dataset)
                assert response.status == 0x0000
        assert_found(net, {each.sop_instance_uid for each in sent})
    files = list((tmp_path / "store").glob("*/*/*/*/*/*.dcm"))
    assert len(files) == len(sent)
    assert len({path.relative_to(tmp_path / "store").parts[:3] for path in files}) == 3


@pytest.mark.parametrize("ahead", [DAY, -DAY], ids=["forwards", "backwards"])
def test_a_clock_that_jumps_within_a_store(
    tables: dict[str, Any], clock: WallClock, ahead: timedelta
) -> None:
    """No deadline is measured by it: the peer is neither given up early nor waited for over a day."""
    instance = altered(1, StudyInstanceUID=STUDY, PatientID="CLOCK")
    middle = len(instance.dataset) // 2
    command = store_request(1, STORAGE, instance.sop_instance_uid)
    with worker(tables) as running:
        with WireAssociation(("127.0.0.1", running.port), [(STORAGE, EXPLICIT)]) as peer:
            peer.send(message(1, command) + data_transfer(1, 0, instance.dataset[:middle]))
            clock.ahead = ahead
            peer.send(data_transfer(1, 2, instance.dataset[middle:]))
            assert peer.read_response().status == 0x0000
            peer.release()
        with associated(running, FIND, GET, as_scp_of=(STORAGE,)) as net:
            assert_found(net, {instance.sop_instance_uid})


def test_what_a_crash_left_is_found_after_the_clock_was_set_back(
    tables: dict[str, Any], clock: WallClock, tmp_path: Path
) -> None:
    """The last sweep was, by the clock of then, a day after the file without a row came."""
    clock.ahead = DAY
    with worker(tables) as running, associated(running, STORAGE) as net:
        kept = altered(1, StudyInstanceUID=STUDY, PatientID="CLOCK")
        assert net.c_store(net.context_for(STORAGE), kept.sop_instance_uid, kept.dataset).status == 0x0000
    app.prepare(Settings(**tables))
    clock.ahead = timedelta(0)
    [file] = (tmp_path / "store").glob("*/*/*/*/*/*.dcm")
    lost = altered(2, StudyInstanceUID=STUDY, PatientID="CLOCK")
    content = file.read_bytes().replace(kept.dataset, lost.dataset)
    content = content.replace(kept.sop_instance_uid.encode(), lost.sop_instance_uid.encode())
    today = (
        tmp_path / "store" / datetime.now(UTC).strftime("%Y/%m/%d") / file.parent.relative_to(file.parents[2])
    )
    today.mkdir(parents=True)
    (today / f"{lost.sop_instance_uid}.dcm").write_bytes(content)
    with worker(tables) as running, associated(running, FIND, GET, as_scp_of=(STORAGE,)) as net:
        assert_found(net, {kept.sop_instance_uid, lost.sop_instance_uid})
