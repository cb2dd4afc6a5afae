"""Character sets end to end: stored by DCMTK in several, asked for and answered in the client's (PS3.5 §6.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread
from pynetdicom.dsutils import encode as encode_identifier

from interop.conftest import serving_with
from support import dcmtk, scu
from support.constructed import ROOT, encode, simple_dataset
from support.instance import EXPLICIT_LITTLE_ENDIAN, part10_header
from support.peers import free_port
from support.server import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

    from support.instance import Instance
    from support.server import PacsdServer

JAPANESE = "\\ISO 2022 IR 87"
STUDY = f"{ROOT}.900"
DESCRIPTIONS = {"ISO_IR 100": "Schädel", "ISO_IR 192": "Łuk 头部 머리", JAPANESE: "頭部 CT"}
"""Of the series of one study, each stored in its own set."""
NAMES = {
    JAPANESE: "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ｼﾞﾛｳ=山田^次郎",
    "ISO_IR 13": "ﾀﾅｶ^ﾊﾅｺ",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
    "ISO_IR 144": "Люксембург^Роза",
    "GB18030": "Wang^XiaoDong=王^小东",
    "GBK": "Li^XiaoMing=李^小明",
    "ISO_IR 100": "Müller^Jörg",
    "ISO_IR 192": "Łuk^𠮷",
}
"""Of patients, each found by a key in this set and stored in UTF-8."""
every_set = pytest.mark.parametrize("character_set", NAMES)


def part_of_the_mixed_study(number: int, character_set: str) -> Instance:
    dataset = simple_dataset(900)
    dataset.SpecificCharacterSet = character_set.split("\\")
    dataset.SeriesInstanceUID = f"{STUDY}.{number}"
    dataset.SOPInstanceUID = f"{STUDY}.{number}.1"
    dataset.SeriesDescription = DESCRIPTIONS[character_set]
    return encode(dataset, character_set)


def patient(number: int, name: str) -> Instance:
    dataset = simple_dataset(910 + number)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = name
    return encode(dataset, name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, index_settings: dict[str, Any]) -> Iterator[PacsdServer]:
    """A server to which storescu has sent everything."""
    folder = tmp_path_factory.mktemp("character_sets")
    peers = [
        Peer(ae_title=scu.CALLING_AE_TITLE, port=free_port()),
        Peer(ae_title="OLD", port=free_port(), answers={"character_set": "ISO_IR 100", "max_matches": 2}),
    ]
    instances = [part_of_the_mixed_study(number, each) for number, each in enumerate(DESCRIPTIONS, start=1)]
    instances += [patient(number, name) for number, name in enumerate(NAMES.values())]
    files = [instance.write_file(folder / f"{number}.dcm") for number, instance in enumerate(instances)]
    with serving_with(index_settings, folder, peers) as running:
        dcmtk.run("storescu", running, "-xe", *files)
        yield running


def keys(level: str, character_set: str, **values: str | None) -> Dataset:
    identifier = scu.keys(level, **values)  # type: ignore[arg-type]
    identifier.SpecificCharacterSet = character_set.split("\\")
    return identifier


def by_findscu(
    server: PacsdServer, folder: Path, identifier: Dataset, calling: str = scu.CALLING_AE_TITLE
) -> list[Dataset]:
    """The matches of an identifier that findscu sends as it is."""
    data = encode_identifier(identifier, is_implicit_vr=False, is_little_endian=True)
    assert data is not None
    asked = folder / "question.dcm"
    asked.write_bytes(part10_header(scu.STUDY_ROOT["find"], STUDY, EXPLICIT_LITTLE_ENDIAN) + data)
    dcmtk.run("findscu", server, "-S", "-X", "-od", folder, asked, calling=calling)
    return [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]


def declared(match: Dataset) -> str:
    value = match.get("SpecificCharacterSet", "")
    return value if isinstance(value, str) else "\\".join(value)


@pytest.mark.parametrize("asked", [*DESCRIPTIONS, "GB18030", "ISO_IR 126", "\\ISO 2022 IR 149"])
def test_a_study_in_several_sets_is_answered_in_any(server: PacsdServer, tmp_path: Path, asked: str) -> None:
    identifier = keys("SERIES", asked, StudyInstanceUID=STUDY, SeriesDescription=None)
    matches = by_findscu(server, tmp_path, identifier)
    assert {str(match.SeriesDescription) for match in matches} == set(DESCRIPTIONS.values())
    assert {declared(match) for match in matches} <= {asked, "ISO_IR 192"}
    if asked in DESCRIPTIONS:
        (own,) = [match for match in matches if match.SeriesDescription == DESCRIPTIONS[asked]]
        assert declared(own) == asked


@every_set
def test_findscus_key_is_understood_in_its_set(
    server: PacsdServer, tmp_path: Path, character_set: str
) -> None:
    name = NAMES[character_set]
    (match,) = by_findscu(server, tmp_path, keys("STUDY", character_set, PatientName=name))
    assert (str(match.PatientName), declared(match)) == (name, character_set)


@pytest.mark.parametrize(
    "character_set",
    [each for each in NAMES if each != "ISO_IR 13"],  # pydicom writes no kana there beside an asterisk
)
def test_pynetdicoms_wild_card_is_understood_in_its_set(server: PacsdServer, character_set: str) -> None:
    name = NAMES[character_set]
    beginning = name.split("=")[-1][:2]
    found = scu.find(server, keys("STUDY", character_set, PatientName=f"*{beginning}*"))
    assert name in {str(match.PatientName) for match in found.matches}
    assert all(beginning in str(match.PatientName) for match in found.matches)


def test_an_old_device_gets_its_own_set_and_no_more_than_it_may(server: PacsdServer, tmp_path: Path) -> None:
    umlauts = keys("STUDY", "ISO_IR 192", PatientName=NAMES["ISO_IR 100"])
    (match,) = by_findscu(server, tmp_path, umlauts, calling="OLD")
    assert (str(match.PatientName), declared(match)) == ("Müller^Jörg", "ISO_IR 100")
    hangul = keys("STUDY", "ISO_IR 192", PatientName=NAMES["\\ISO 2022 IR 149"])
    (match,) = by_findscu(server, tmp_path, hangul, calling="OLD")
    assert (str(match.PatientName), declared(match)) == ("Hong^Gildong", "")
    assert (
        len(by_findscu(server, tmp_path, keys("STUDY", "ISO_IR 100", PatientName=None), calling="OLD")) == 2
    )
    assert '"status": "B001"' in server.log_text()
