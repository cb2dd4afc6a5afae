"""What the mutator starts from: recorded associations, their parts, and the data sets of the other tiers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dicomnet.limits import Limits
from dicomnet.upper_layer.framing import PduFramer
from dicomnet.upper_layer.pdu import PresentationDataValue
from support.compressed import small_images
from support.constructed import constructed_instances
from support.instance import Instance, part10_header

CORPUS = Path(__file__).parent / "corpus"
LONGEST_SEED = 1 << 15

TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
"""A data set's seed begins with the place of its transfer syntax in here, one byte."""
COMPRESSED = tuple(image.transfer_syntax_uid for image in small_images())
"""So does that of a compressed image, in here."""


def recorded(suffix: str) -> list[bytes]:
    """What requestors ("rq") or acceptors ("ac") sent, one association each."""
    streams = [path.read_bytes() for path in sorted(CORPUS.glob(f"*.{suffix}"))]
    assert len(streams) > 4, "the recorded associations are missing"
    return streams


def pdus() -> list[bytes]:
    """All recorded PDUs as their type and body, without the lengths between."""
    found = set()
    for stream in recorded("rq") + recorded("ac"):
        while stream:
            end = 6 + int.from_bytes(stream[2:6], "big")
            found.add(stream[:1] + stream[6:end])
            stream = stream[end:]
    return sorted(found)


@cache
def _messages() -> tuple[list[bytes], list[bytes]]:
    """All recorded command sets and all data sets."""
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for stream in recorded("rq") + recorded("ac"):
        collected = b""
        for item in PduFramer(Limits()).receive(stream):
            if isinstance(item, PresentationDataValue):
                collected += item.data
                if item.is_last:
                    parts[0 if item.is_command else 1].append(collected)
                    collected = b""
    return parts


def command_sets() -> list[bytes]:
    """All recorded command sets."""
    return _messages()[0]


def identifiers() -> list[bytes]:
    """Recorded data sets, in each encoding whether it is theirs or not."""
    return [bytes([number]) + each for number in range(3) for each in _messages()[1]]


def datasets() -> list[bytes]:
    """The constructed instances' data sets."""
    return [
        bytes([TRANSFER_SYNTAXES.index(instance.transfer_syntax_uid)]) + instance.dataset
        for instance in _instances()
    ]


def images() -> list[bytes]:
    """The data sets of compressed images."""
    return [bytes([place]) + image.dataset for place, image in enumerate(small_images())]


def files() -> list[bytes]:
    """Files with the beginnings of data sets in them."""
    return [
        part10_header(each.sop_class_uid, each.sop_instance_uid, each.transfer_syntax_uid)
        + each.dataset[:100]
        for each in _instances()
    ]


def _instances() -> list[Instance]:
    return [
        instance
        for instance in constructed_instances()
        if instance.transfer_syntax_uid in TRANSFER_SYNTAXES and len(instance.dataset) < LONGEST_SEED
    ]
