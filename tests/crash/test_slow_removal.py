"""A worker that takes its time to remove what was replaced, while another one dies and others go on."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from crash.intact import assert_intact, rows
from crash.kill_points import answered_by
from crash.versions import connect, fetch, send, version
from support import scu
from support.deadline import wait_until
from support.injection import injected
from support.server import SENDER, PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERIES = 950_000
DELAY_SECONDS = 8


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PacsdServer]:
    running = PacsdServer(
        tmp_path,
        peers=[SENDER, Peer(ae_title=scu.CALLING_AE_TITLE, port=104)],
        settings={"storage": {"duplicates": "replace"}, "server": {"workers": 3}},
    )
    running.start()
    yield running
    running.stop()


def test_a_late_removal_takes_no_later_version(server: PacsdServer) -> None:
    """Were the next version given the name of the replaced file, it would be removed instead."""
    url = f"sqlite:///{server.index_path}"
    first, second, third = (version(SERIES, 1, content) for content in (1, 2, 3))
    uid = first.sop_instance_uid
    assert send(server, first) == 0x0000
    replaced = server.root / rows(url)[uid]
    slow, dying, _ = server.storing_workers()
    with answered_by(server, slow):
        peer = connect(server)
    statuses: list[int] = []
    sender = threading.Thread(target=lambda: statuses.append(peer.store(second).status))
    mark = server.log_size()
    with injected(server, "unlink", f"delay_enter={DELAY_SECONDS}s", on=replaced, processes=[slow]):
        sender.start()
        wait_until(lambda: server.root / rows(url)[uid] != replaced, within=5, what="version 2 is kept")
        orphan = version(SERIES, 2, 1).write_file(replaced.with_name("orphan.dcm"))
        os.kill(dying, signal.SIGKILL)
        server.wait_for_log("files-of-dead-worker-indexed", after=mark)
        assert server.root / rows(url)[version(SERIES, 2, 1).sop_instance_uid] == orphan
        assert send(server, third) == 0x0000
        assert statuses == [], "the removal was over before"
        sender.join(30)
        assert statuses == [0x0000]
        peer.close()
    assert fetch(server, third) == 3
    assert assert_intact(server, url)[uid] == 3
