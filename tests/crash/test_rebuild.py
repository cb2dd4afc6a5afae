"""An index that lacks what the store has: made anew though it is interrupted, and put back though it is older."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crash import load
from crash.databases import empty_index
from crash.extent import DATABASES, chance, combinations
from crash.intact import assert_intact, rows
from crash.versions import fetch, send, version
from support import scu
from support.deadline import wait_until
from support.server import SENDER, PacsdServer, Peer

if TYPE_CHECKING:
    from pathlib import Path

    from crash.databases import Index

SERIES = 900_000
FILES = 2000
DAYS = ("2019/01/31", "2024/02/29", "2024/03/01")
INTERRUPTIONS = 5
FIRST, OTHER = 1, 2


def server_of(index: Index, folder: Path, **storage: str) -> PacsdServer:
    return PacsdServer(
        folder,
        peers=[SENDER, Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
        settings={"index": {"url": index.url}, "storage": storage, "integrity": {"scrub_days": 0}},
    )


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.timeout(240)
def test_an_interrupted_rebuild_is_completed(database: str, tmp_path: Path) -> None:
    """However often it is killed or stopped, and at whatever moment."""
    with empty_index(database, tmp_path) as index:
        rebuild(index, tmp_path)


def rebuild(index: Index, tmp_path: Path) -> None:
    server = server_of(index, tmp_path)
    choices = chance()
    server.start()
    server.stop()
    for number in range(FILES):
        # The large instances of a load, each eighth, would take more time and say nothing more.
        instance = load.instance(SERIES + number % 7, number * load.LARGE_EVERY + 1)
        folder = (
            server.root / choices.choice(DAYS) / instance.study_instance_uid / instance.series_instance_uid
        )
        folder.mkdir(parents=True, exist_ok=True)
        instance.write_file(folder / f"{instance.sop_instance_uid}.dcm")
    index.lose()
    assert server.run("adopt", "index").returncode == 0
    known = 0
    for _ in range(INTERRUPTIONS):
        server.launch()
        wait_for_rows(index, known + choices.randint(1, FILES // INTERRUPTIONS // 2))
        assert server.get("/readyz").status == 503
        if choices.random() < 0.6:
            server.kill()
        else:
            server.stop()
        known = len(rows(index.url))
        assert known < FILES, "nothing was interrupted"
    server.start()
    try:
        assert len(rows(index.url)) == FILES
        assert server.run("verify", "--anew").returncode == 0
    finally:
        server.stop()


def wait_for_rows(index: Index, number: int) -> None:
    wait_until(lambda: len(rows(index.url)) >= number, within=30, what=f"{number} files are indexed")


@pytest.mark.parametrize(
    ("policy", "database"),
    combinations(
        ("keep-first", "sqlite"), ("replace", "sqlite"), ("reject", "sqlite"), ("replace", "postgresql")
    ),
)
@pytest.mark.timeout(120)
def test_an_older_index_takes_what_came_since(policy: str, database: str, tmp_path: Path) -> None:
    """What was replaced meanwhile stays replaced, and no version that was acknowledged is lost."""
    with empty_index(database, tmp_path) as index:
        put_back(index, policy, tmp_path)


def put_back(index: Index, policy: str, tmp_path: Path) -> None:
    server = server_of(index, tmp_path, duplicates=policy)
    replaced, same, new = 1, 2, 3
    server.start()
    for number in (replaced, same):
        assert send(server, version(SERIES, number, FIRST)) == 0x0000
    server.stop()
    index.back_up()
    server.start()
    assert send(server, version(SERIES, replaced, OTHER)) == (0x0000 if policy == "replace" else 0x0111)
    assert send(server, version(SERIES, new, FIRST)) == 0x0000
    server.kill()
    index.put_back()
    mark = server.log_size()
    server.start()
    try:
        server.wait_for_log("index-older-than-store", after=mark)
        kept = OTHER if policy == "replace" else FIRST
        assert fetch(server, version(SERIES, replaced, FIRST)) == kept
        expected = {replaced: kept, same: FIRST, new: FIRST}
        assert assert_intact(server, index.url) == {
            version(SERIES, number, FIRST).sop_instance_uid: which for number, which in expected.items()
        }
    finally:
        server.stop()
