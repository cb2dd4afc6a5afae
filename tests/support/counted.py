"""One of everything that a server counts: so that each metric has the series that it ever has."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from support import scu
from support.compressed import small_images
from support.constructed import encode, simple_dataset
from support.deadline import wait_until
from support.instance import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from support.server import SENDER, Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from support.instance import Instance
    from support.server import PacsdServer
    from support.wire import Response

MOST_ASSOCIATIONS = 10
LOST_DECODERS = "pacsd_decoders_replaced_total"
SETTINGS = {"dicom": {"max_associations": MOST_ASSOCIATIONS}}
"""Of a server for `count_everything`, as `PEERS`."""
PEERS = (SENDER, Peer(ae_title=scu.CALLING_AE_TITLE, port=104))
A_ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"
STRANGER = "STRANGER"
STUDY = 15_000
COMPRESSED = small_images()[1]


def instance(number: int, *, name: str = "", pixels: int = 0, **attributes: str) -> Instance:
    """One of a study that all of them are in."""
    dataset = simple_dataset(STUDY)
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
    if pixels:
        dataset.Rows, dataset.Columns = pixels // 1000, 500
        dataset.PixelData = bytes(pixels)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return encode(dataset, name or f"number {number}")


def associate(
    server: PacsdServer, *, calling: str = SENDER.ae_title, called: str = "PACSD"
) -> WireAssociation:
    """For `instance`s and C-ECHO."""
    sample = instance(1)
    contexts = [
        (sample.sop_class_uid, sample.transfer_syntax_uid),
        (COMPRESSED.sop_class_uid, COMPRESSED.transfer_syntax_uid),
        (scu.VERIFICATION, IMPLICIT_LITTLE_ENDIAN),
    ]
    return WireAssociation((server.host, server.port), contexts, calling=calling, called=called)


def store(server: PacsdServer, sent: Instance, *, calling: str = SENDER.ae_title) -> Response:
    """Store one, by an association of its own."""
    with associate(server, calling=calling) as peer:
        response = peer.store(sent)
        peer.release()
    return response


def abort(server: PacsdServer) -> None:
    """An association that its peer aborts."""
    with associate(server, calling=STRANGER) as peer:
        peer.send(A_ABORT)


def damage(server: PacsdServer, kept: Instance) -> None:
    """Change a bit of its file."""
    # On whichever day it came; not what is in quarantine.
    (file,) = server.visible_root().glob(f"[0-9]*/*/*/**/{kept.sop_instance_uid}-*.dcm")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)


def retrieve(server: PacsdServer, wanted: Instance) -> scu.Outcome:
    """C-GET one."""
    outcome, _ = scu.get(server, scu.image_keys(wanted), scu.own_contexts([wanted]))
    return outcome


def fetch_compressed(server: PacsdServer) -> int:
    """C-GET an image that has to be decompressed for it; returns the final status."""
    plain = [(COMPRESSED.sop_class_uid, (EXPLICIT_LITTLE_ENDIAN,))]
    outcome, _ = scu.get(server, scu.image_keys(COMPRESSED), plain)
    return outcome.status


def decoders(server: PacsdServer) -> list[int]:
    """The processes that the workers have started."""
    found = []
    for worker in server.storing_workers():
        for thread in Path(f"/proc/{worker}/task").iterdir():
            with suppress(FileNotFoundError):  # it has ended since
                found += [int(pid) for pid in (thread / "children").read_text().split()]
    return found


def lose_decoders(server: PacsdServer) -> None:
    """Kill those that there are, and have somebody need one, who may lose a frame by that.

    Each worker has its own, and who of them answers a fetch is chance.
    """
    fetch_compressed(server)
    before = server.metric(LOST_DECODERS)
    for pid in decoders(server):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def is_noticed() -> bool:
        fetch_compressed(server)
        return server.metric(LOST_DECODERS) > before

    wait_until(is_noticed, within=30, what="a worker misses its decoder")


def count_everything(server: PacsdServer) -> None:
    """Store, find, move, get and echo; disagree, be refused, be rejected, abort, and damage a file."""
    stored = [instance(number) for number in (1, 2, 3)]
    for each, calling in zip(stored, (SENDER.ae_title, STRANGER, STRANGER), strict=True):
        assert store(server, each, calling=calling).status == 0x0000
    with scu.association(server, [(scu.VERIFICATION, [IMPLICIT_LITTLE_ENDIAN])]) as peer:
        assert peer.send_c_echo().Status == 0x0000
    keys = scu.keys("STUDY", StudyInstanceUID=stored[0].study_instance_uid)
    assert len(scu.find(server, keys).matches) == 1
    assert retrieve(server, stored[0]).status == 0x0000
    assert scu.move(server, keys, "NOWHERE").status == 0xA801
    for number, attributes in enumerate(
        (
            {"PatientName": "Another^Name"},
            {"PatientID": "another patient"},
            {"StudyDescription": "one"},
            {"StudyDescription": "another"},
        ),
        start=10,
    ):
        assert store(server, instance(number, **attributes)).status == 0x0000
    abort(server)
    with associate(server, called="ELSEWHERE") as rejected:
        assert rejected.accept_or_reject.type == 3
    _exceed_a_limit(server)
    assert store(server, COMPRESSED).status == 0x0000
    assert fetch_compressed(server) == 0x0000
    lose_decoders(server)
    damage(server, stored[1])
    assert retrieve(server, stored[1]).counts == (0, 1, 0)


def _exceed_a_limit(server: PacsdServer) -> None:
    opened = [associate(server, calling=STRANGER) for _ in range(MOST_ASSOCIATIONS + 1)]
    assert any(peer.accept_or_reject.type == 3 for peer in opened), "dicom.max_associations"
    for peer in opened:
        peer.close()
    wait_until(
        lambda: server.metric("pacsd_associations_open") == 0, within=10, what="all places are free again"
    )
