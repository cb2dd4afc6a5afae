"""A peer that takes only Explicit and Implicit VR Little Endian gets the same pictures, uncompressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import scp, scu
from support.bundled import bundled_instances
from support.constructed import constructed_instances
from support.equality import decompression_differences, same_pixels
from support.instance import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, Instance

if TYPE_CHECKING:
    from interop.conftest import Archive

CORPUS = bundled_instances() + constructed_instances()
TWELVE_BIT_JPEG = "1.2.840.10008.1.2.4.51"
"""pydicom has no decoder for it here, so its pixels have no reference; see the test of its own."""
TO_CONVERT = [
    instance
    for instance in CORPUS
    if instance.transfer_syntax_uid not in (EXPLICIT_LITTLE_ENDIAN, TWELVE_BIT_JPEG)
]
every_conversion = pytest.mark.parametrize("instance", TO_CONVERT, ids=[i.name for i in TO_CONVERT])


def assert_converted(instance: Instance, received: scu.Received, accepted: tuple[str, ...]) -> None:
    assert received.transfer_syntax_uid in accepted
    if received.transfer_syntax_uid == instance.transfer_syntax_uid:
        assert received.dataset == instance.dataset
    dataset = received.read()
    assert decompression_differences(instance.read(), dataset) == []
    if "PixelData" in dataset:
        assert same_pixels(instance, dataset)


@every_conversion
@pytest.mark.parametrize("accepted", [scp.NARROW, (IMPLICIT_LITTLE_ENDIAN,)], ids=["both", "implicit only"])
def test_c_get_through_uncompressed_contexts(
    archive: Archive, instance: Instance, accepted: tuple[str, ...]
) -> None:
    outcome, inbox = scu.get(archive.server, scu.image_keys(instance), [(instance.sop_class_uid, accepted)])
    assert outcome.status == 0x0000, outcome.error_comment
    assert_converted(instance, inbox.received[instance.sop_instance_uid], accepted)


def test_c_move_to_a_destination_that_takes_uncompressed_only(
    archive: Archive, narrow: scp.Destination
) -> None:
    with scu.association(archive.server, [(scu.STUDY_ROOT["move"], scp.NARROW)]) as peer:
        for instance in TO_CONVERT:
            moved = scu.collect(peer.send_c_move(scu.image_keys(instance), "NARROW", scu.STUDY_ROOT["move"]))
            assert moved.status == 0x0000, (instance.name, moved.error_comment)
    for instance in TO_CONVERT:
        assert_converted(instance, narrow.inbox.received[instance.sop_instance_uid], scp.NARROW)


def test_twelve_bit_jpeg_arrives_with_all_its_samples(archive: Archive) -> None:
    """JPEG Extended (PS3.5 §8.2.1): the decoded frames have the size that the header states."""
    instance = archive.named("JPGExtended.dcm")
    outcome, inbox = scu.get(archive.server, scu.image_keys(instance), [(instance.sop_class_uid, scp.NARROW)])
    assert outcome.status == 0x0000, outcome.error_comment
    received = inbox.received[instance.sop_instance_uid].read()
    assert decompression_differences(instance.read(), received) == []
    samples = received.Rows * received.Columns * int(received.get("NumberOfFrames", 1))
    assert len(received.PixelData) == samples * received.BitsAllocated // 8
    assert len(set(received.PixelData)) > 16, "a picture, not a blank"
