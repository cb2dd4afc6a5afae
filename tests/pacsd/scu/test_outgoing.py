"""Which contexts are proposed for what is to be sent, and how it is split over associations."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomnet import DicomNet, NetConfiguration
from pacsd.errors import DestinationUnreachable
from pacsd.model import StoredInstance
from pacsd.scu.outgoing import MAX_CONTEXTS, associate, in_associations, storage_syntaxes
from pacsd.scu.peer import Peer
from support.peers import free_port

EXPLICIT, IMPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.50"


def instances_of(pairs: Sequence[tuple[int, int]]) -> list[StoredInstance]:
    """One instance for each pair of numbers that stand for its class and transfer syntax."""
    return [
        StoredInstance(
            sop_instance_uid=f"1.2.{number}",
            sop_class_uid=f"1.3.{sop_class}",
            transfer_syntax_uid=f"1.4.{syntax}",
            path=f"{number}.dcm",
            size=1000,
            dataset_offset=400,
        )
        for number, (sop_class, syntax) in enumerate(pairs)
    ]


def test_each_stored_syntax_has_its_own_context_and_each_class_an_uncompressed_one() -> None:
    stored = [("CT", JPEG), ("MR", EXPLICIT), ("CT", EXPLICIT), ("CT", JPEG)]
    assert storage_syntaxes(stored) == [
        ("CT", (JPEG,)),
        ("MR", (EXPLICIT,)),
        ("CT", (EXPLICIT,)),
        ("CT", (EXPLICIT, IMPLICIT)),
        ("MR", (EXPLICIT, IMPLICIT)),
    ]


def test_nothing_needs_no_association() -> None:
    assert list(in_associations([])) == []


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 3)), min_size=1, max_size=300))
def test_every_instance_goes_once_in_order_with_a_context_for_it(pairs: list[tuple[int, int]]) -> None:
    instances = instances_of(pairs)
    parts = list(in_associations(instances))
    assert [each for _, part in parts for each in part] == instances
    for proposals, part in parts:
        assert part
        assert len(proposals) <= MAX_CONTEXTS
        for each in part:
            assert (each.sop_class_uid, (each.transfer_syntax_uid,)) in proposals
            assert (each.sop_class_uid, (EXPLICIT, IMPLICIT)) in proposals


def test_an_association_is_filled_before_another_begins() -> None:
    instances = instances_of([(number, 0) for number in range(65)] + [(number, 0) for number in range(64)])
    sizes = [(len(proposals), len(part)) for proposals, part in in_associations(instances)]
    assert sizes == [(128, 64), (128, 64), (2, 1)]


def test_many_syntaxes_of_one_class_share_the_uncompressed_context() -> None:
    instances = instances_of([(1, number) for number in range(127)])
    ((proposals, part),) = in_associations(instances)
    assert (len(proposals), len(part)) == (128, 127)


def test_why_nobody_is_reached_fits_into_an_error_comment() -> None:
    """PS3.7 E.1: (0000,0902) is LO, of 64 characters; the address is said once, and whole."""
    peer = Peer("SIXTEEN_LETTERS_", "127.0.0.1", free_port())
    with pytest.raises(DestinationUnreachable) as unreachable:
        associate(DicomNet(NetConfiguration()), peer, [], calling_ae_title="PACSD")
    assert str(unreachable.value) == f"Connection refused: SIXTEEN_LETTERS_ at 127.0.0.1:{peer.port}"
    assert len(str(unreachable.value)) <= 64
