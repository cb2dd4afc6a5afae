"""What a server has kept of what it acknowledged: asked over the network, and looked up in its files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from crash import load
from support import scp, scu
from support.instance import dataset_offset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.server import PacsdServer


def assert_kept(server: PacsdServer, burden: load.Load) -> None:
    """Found are all acknowledged instances, perhaps some more, and each found one is fetched and whole."""
    found = assert_found(server, burden)
    study_uid, _ = load.series_uids(burden.series[0])
    sample = load.instance(burden.series[0], 1)
    outcome, inbox = scu.get(
        server, scu.keys("STUDY", StudyInstanceUID=study_uid), [(sample.sop_class_uid, scp.NARROW[:1])]
    )
    # More than was found a moment ago: what a dead worker left without a row is indexed meanwhile.
    assert outcome.status == 0x0000
    assert set(inbox.received) >= found
    for uid, received in inbox.received.items():
        assert received.dataset == load.instance(*load.numbers_of(uid)).dataset, uid


def assert_found(server: PacsdServer, burden: load.Load) -> set[str]:
    """Ask for all instances of the load's series; returns the SOP Instance UIDs found."""
    found: set[str] = set()
    model = scu.STUDY_ROOT["find"]
    with scu.association(server, [(model, ["1.2.840.10008.1.2.1"])]) as peer:
        for series in burden.series:
            study_uid, series_uid = load.series_uids(series)
            query = scu.keys(
                "IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID=None
            )
            matches = scu.collect(peer.send_c_find(query, model)).matches
            uids = {str(match.SOPInstanceUID) for match in matches}
            wanted = {load.sop_instance_uid(series, number) for number in burden.acknowledged[series]}
            assert wanted <= uids, f"lost: {sorted(wanted - uids)}"
            assert len(matches) == len(uids), "an instance is found twice"
            found |= uids
    return found


def assert_files_whole(server: PacsdServer, study_uids: Iterable[str]) -> int:
    """Every row has its whole file and every file its row; returns how many. For after a restart only.

    A killed worker may leave a file without a row, which the next start indexes.
    """
    known = indexed_files(server)
    count = 0
    for study_uid in study_uids:
        files = set(server.root.glob(f"*/*/*/{study_uid}/*/*"))
        rows = {path: uid for path, uid in known.items() if path.parent.parent.name == study_uid}
        assert set(rows) == files, f"{len(set(rows) ^ files)} files or rows without the other"
        for path, uid in rows.items():
            content = path.read_bytes()
            assert content[dataset_offset(content) :] == load.instance(*load.numbers_of(uid)).dataset, uid
        count += len(rows)
    return count


def indexed_files(server: PacsdServer) -> dict[Path, str]:
    """The files that the index names, with their SOP Instance UIDs."""
    with closing(sqlite3.connect(server.index_path)) as database:
        rows = database.execute("SELECT path, sop_instance_uid FROM instances").fetchall()
    return {server.root / path: uid for path, uid in rows}
