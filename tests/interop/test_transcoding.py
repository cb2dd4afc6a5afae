"""A peer that takes only Explicit and Implicit VR Little Endian gets the same pictures, uncompressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import scp, scu
from support.bundled import bundled_instances
from support.constructed import constructed_instances
from support.equality import decompression_differences
from support.instance import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, Instance
from support.pixels import assert_same_picture

if TYPE_CHECKING:
    from pathlib import Path

    from interop.conftest import Archive

CORPUS = bundled_instances() + constructed_instances()
UNCONVERTIBLE = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "holds no JPEG 2000 codestream that any decoder reads",
}
"""No picture is better than a wrong one: these are kept and sent as they are, and to nobody else."""
UNREADABLE_ELSEWHERE = "SC_rgb_jpeg.dcm"
"""Encoded as Implicit VR, though JPEG Baseline calls for Explicit VR: no decoder to compare with reads it."""
TO_CONVERT = [
    instance
    for instance in CORPUS
    if instance.transfer_syntax_uid != EXPLICIT_LITTLE_ENDIAN
    and instance.name not in (*UNCONVERTIBLE, UNREADABLE_ELSEWHERE)
]
every_conversion = pytest.mark.parametrize("instance", TO_CONVERT, ids=[i.name for i in TO_CONVERT])


def assert_converted(
    instance: Instance, received: scu.Received, accepted: tuple[str, ...], folder: Path
) -> None:
    assert received.transfer_syntax_uid in accepted
    if received.transfer_syntax_uid == instance.transfer_syntax_uid:
        assert received.dataset == instance.dataset
    dataset = received.read()
    assert decompression_differences(instance.read(), dataset) == []
    if "PixelData" in dataset:
        assert_same_picture(instance, dataset, folder)


@every_conversion
@pytest.mark.parametrize("accepted", [scp.NARROW, (IMPLICIT_LITTLE_ENDIAN,)], ids=["both", "implicit only"])
def test_c_get_through_uncompressed_contexts(
    archive: Archive, instance: Instance, accepted: tuple[str, ...], tmp_path: Path
) -> None:
    outcome, inbox = scu.get(archive.server, scu.image_keys(instance), [(instance.sop_class_uid, accepted)])
    assert outcome.status == 0x0000, outcome.error_comment
    assert_converted(instance, inbox.received[instance.sop_instance_uid], accepted, tmp_path)


def test_c_move_to_a_destination_that_takes_uncompressed_only(
    archive: Archive, narrow: scp.Destination, tmp_path: Path
) -> None:
    with scu.association(archive.server, [(scu.STUDY_ROOT["move"], scp.NARROW)]) as peer:
        for instance in TO_CONVERT:
            moved = scu.collect(peer.send_c_move(scu.image_keys(instance), "NARROW", scu.STUDY_ROOT["move"]))
            assert moved.status == 0x0000, (instance.name, moved.error_comment)
    for instance in TO_CONVERT:
        received = narrow.inbox.received[instance.sop_instance_uid]
        assert_converted(instance, received, scp.NARROW, tmp_path)


@pytest.mark.parametrize("name", UNCONVERTIBLE)
def test_what_cannot_be_converted_is_a_failed_sub_operation(archive: Archive, name: str) -> None:
    """A702, the UID in the list, and a log line with the reason."""
    instance = archive.named(name)
    mark = archive.server.log_size()
    outcome, inbox = scu.get(archive.server, scu.image_keys(instance), [(instance.sop_class_uid, scp.NARROW)])
    assert outcome.status == 0xA702
    assert outcome.failed_uids == {instance.sop_instance_uid}
    assert inbox.received == {}
    archive.server.wait_for_log(instance.sop_instance_uid, after=mark)
