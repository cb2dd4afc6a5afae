"""Statuses in words."""

from __future__ import annotations

import pytest

from dicomnet import (
    CEchoResponse,
    CFindResponse,
    CGetResponse,
    CMoveResponse,
    CStoreResponse,
    Response,
    StatusClass,
)
from pacsd.scu.verdicts import meaning, verdict

SERVICES = (CEchoResponse, CStoreResponse, CFindResponse, CGetResponse, CMoveResponse)


@pytest.mark.parametrize("service", SERVICES)
def test_every_status_has_words_of_its_class(service: type[Response]) -> None:
    for status in range(0x10000):
        response = service(message_id_being_responded_to=1, status=status)
        words = meaning(response)
        assert words, f"{status:04X}"
        assert words.startswith("warning") == (response.status_class is StatusClass.WARNING), f"{status:04X}"
        assert (words == "success") == (response.status_class is StatusClass.SUCCESS), f"{status:04X}"


@pytest.mark.parametrize(
    ("service", "status", "words"),
    [
        (CStoreResponse, 0xA7FF, "A7FF refused: out of resources"),
        (CStoreResponse, 0xA900, "A900 error: data set does not match SOP class"),
        (CFindResponse, 0xA900, "A900 error: identifier does not match SOP class"),
        (CStoreResponse, 0xC0FE, "C0FE error: cannot understand"),
        (CFindResponse, 0xC0FE, "C0FE failed: unable to process"),
        (CStoreResponse, 0xB000, "B000 warning: coercion of data elements"),
        (CMoveResponse, 0xB000, "B000 warning: sub-operations complete, one or more failures or warnings"),
        (CMoveResponse, 0xA801, "A801 refused: move destination unknown"),
        (CEchoResponse, 0x1234, "1234 unknown status"),
    ],
)
def test_the_same_number_in_different_services(service: type[Response], status: int, words: str) -> None:
    assert verdict(service(message_id_being_responded_to=1, status=status)) == words


def test_the_peers_comment() -> None:
    response = CStoreResponse(message_id_being_responded_to=1, status=0xA700, error_comment="disk full")
    assert verdict(response) == "A700 refused: out of resources (disk full)"
