"""How many matches a peer gets at most, and that it hears of it (PS3.4 §C.4.1.1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from pacsd.dataset.identifier import elements_of, write_identifier
from pacsd.model import Service
from pacsd.scp.access import AnswerRules, KnownPeer
from support.archive_server import EXPLICIT, ArchiveServer, archive_server, client
from support.fake_archive import altered

if TYPE_CHECKING:
    from collections.abc import Iterator

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDIES = 3


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """Keeps three studies; `TWO` gets two matches of a query, `THREE` three, strangers one."""
    peers = {
        name: KnownPeer(frozenset({Service.FIND}), answers=AnswerRules(max_matches=most))
        for name, most in (("TWO", 2), ("THREE", 3), ("ALL", 0))
    }
    with archive_server(peers=peers, unknown_peers_answers=AnswerRules(max_matches=1)) as running:
        running.keep(*(altered(number, PatientName=f"Name^{number}") for number in range(1, STUDIES + 1)))
        yield running


def ask(server: ArchiveServer, calling: str, **keys: str) -> list[tuple[int, str]]:
    """Status and Error Comment of each response."""
    identifier = write_identifier(elements_of({"QueryRetrieveLevel": "STUDY", **keys}), EXPLICIT)
    with client(server, FIND, calling=calling) as net:
        return [
            (response.status, response.error_comment)
            for response, _ in net.c_find(net.context_for(FIND), identifier)
        ]


@pytest.mark.parametrize(("calling", "most"), [("TWO", 2), ("STRANGER", 1)])
def test_as_many_as_allowed_come_and_a_warning_behind_them(
    server: ArchiveServer, calling: str, most: int
) -> None:
    comment = f"only the first {most} matches were sent, there are more"
    with capture_logs() as logs:
        assert ask(server, calling) == [(0xFF00, "")] * most + [(0xB001, comment)]
    assert [(line["event"], line["comment"]) for line in logs if line.get("service") == "find"] == [
        ("operation-incomplete", comment)
    ]
    assert ("find", "B001", calling) in server.metrics.calls


@pytest.mark.parametrize("calling", ["THREE", "ALL"])
def test_no_more_than_allowed_is_success(server: ArchiveServer, calling: str) -> None:
    assert ask(server, calling) == [(0xFF00, "")] * STUDIES + [(0x0000, "")]


def test_it_counts_for_each_query(server: ArchiveServer) -> None:
    assert ask(server, "TWO", PatientName="Name^2") == [(0xFF00, ""), (0x0000, "")]


def test_without_rules_all_come() -> None:
    with archive_server() as server:
        server.keep(*map(altered, range(1, STUDIES + 1)))
        assert ask(server, "STRANGER")[-1] == (0x0000, "")
