"""The character set of answers: the query's if it holds them, the peer's own if one is configured (PS3.4 §C.4.1)."""

from __future__ import annotations

import pytest

from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier
from pacsd.model import Service
from pacsd.scp.access import AnswerRules, KnownPeer
from support.archive_server import EXPLICIT, archive_server, client
from support.fake_archive import altered

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
NAME = "Müller^Łucja=山田^太郎"


def answer(forced: str | None, requested: str | None, name: str) -> tuple[str | None, str]:
    """Character set and name of the answer to a query that asks in `requested`."""
    peers = {"OLD": KnownPeer(frozenset({Service.FIND}), answers=AnswerRules(character_set=forced))}
    keys = {"QueryRetrieveLevel": "STUDY", "PatientName": "", "SpecificCharacterSet": requested or ""}
    identifier = write_identifier(elements_of(keys), EXPLICIT)
    with archive_server(peers=peers) as server, client(server, FIND, calling="OLD") as net:
        server.keep(altered(1, SpecificCharacterSet="ISO_IR 192", PatientName=name))
        (_, data), _ = net.c_find(net.context_for(FIND), identifier)
    assert data is not None
    found = read_identifier(data, EXPLICIT)
    return found.specific_character_set, found.value("PatientName")


@pytest.mark.parametrize("requested", [None, "ISO_IR 192", "ISO_IR 101"])
@pytest.mark.parametrize(
    ("forced", "spelt"),
    [
        ("ISO_IR 100", "Müller^Lucja"),
        ("ISO_IR 101", "Müller^Łucja"),
        ("ISO_IR 192", NAME),
        ("\\ISO 2022 IR 87", "Muller^Lucja=山田^太郎"),
    ],
)
def test_a_peer_is_answered_in_its_own_set_whatever_it_asks_in(
    forced: str, spelt: str, requested: str | None
) -> None:
    assert answer(forced, requested, NAME) == (forced, spelt)


@pytest.mark.parametrize("name", ["Doe^Jane", "Łódź"])
def test_no_set_is_declared_for_ascii(name: str) -> None:
    character_set, _ = answer("ISO 2022 IR 6", None, name)
    assert character_set is None


def test_others_are_answered_without_loss() -> None:
    assert answer(None, "ISO_IR 100", NAME) == ("ISO_IR 192", NAME)
