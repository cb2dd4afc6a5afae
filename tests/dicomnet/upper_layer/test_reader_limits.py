"""The reader's limits: what a peer can make it hold."""

from __future__ import annotations

import tracemalloc

import pytest
from tests.dicomnet.upper_layer.builders import (
    APPLICATION_CONTEXT,
    associate,
    item,
    proposed,
)

from dicomnet.errors import RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer.pdu import (
    AbortReason,
    AssociateRequest,
    PduType,
)
from dicomnet.upper_layer.reader import read_pdu

LIMITS = Limits()


def read_request(body: bytes, limits: Limits = LIMITS) -> AssociateRequest:
    pdu = read_pdu(PduType.ASSOCIATE_RQ, body, limits)
    assert isinstance(pdu, AssociateRequest)
    return pdu


def assert_refused(pdu_type: int, body: bytes, limits: Limits = LIMITS) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_pdu(pdu_type, body, limits)
    assert caught.value.reason == AbortReason.INVALID_PDU_PARAMETER_VALUE


def test_all_128_contexts_are_taken() -> None:
    pdu = read_request(associate(*(proposed(number) for number in range(1, 256, 2))))
    assert [context.context_id for context in pdu.presentation_contexts] == list(range(1, 256, 2))


def test_a_limit_on_contexts_holds() -> None:
    body = associate(proposed(1), proposed(3), proposed(5))
    assert len(read_request(body, Limits(presentation_contexts=3)).presentation_contexts) == 3
    assert_refused(PduType.ASSOCIATE_RQ, body, Limits(presentation_contexts=2))


def test_the_limit_on_items_counts_all_depths() -> None:
    # 10H, 20H with 30H and 40H, 50H with 51H.
    body = associate(APPLICATION_CONTEXT, proposed(), item(0x50, item(0x51, bytes(4))))
    assert read_request(body, Limits(items=6)).user_information.maximum_length == 0
    assert_refused(PduType.ASSOCIATE_RQ, body, Limits(items=5))


def test_the_limit_on_the_length_holds_for_a_whole_pdu() -> None:
    body = associate(proposed())
    assert_refused(PduType.ASSOCIATE_RQ, body, Limits(associate_pdu_length=len(body) - 1))


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(proposed() * 10_000, id="contexts"),
        pytest.param(item(0xEE, b"") * 200_000, id="unknown items"),
        pytest.param(proposed(1, *[item(0x40, b"")] * 16_000) * 12, id="transfer syntaxes"),
        pytest.param(item(0x50, item(0x54, b"\0\x011\0\0") * 7000) * 12, id="roles"),
    ],
)
def test_a_flood_of_items_costs_little_more_than_its_bytes(items: bytes) -> None:
    body = associate(items)
    assert len(body) <= LIMITS.associate_pdu_length
    tracemalloc.start()
    try:
        read_request(body)
    except RemoteProtocolError as error:
        assert error.reason == AbortReason.INVALID_PDU_PARAMETER_VALUE  # noqa: PT017 - a flood may be legal
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 6 << 20
