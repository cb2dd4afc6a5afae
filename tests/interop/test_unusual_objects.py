"""Objects as some devices make them: UIDs that are none, unknown transfer syntaxes, text in no declared set."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from pydicom.dataset import Dataset

from interop.conftest import serving_with
from support import scp, scu
from support.constructed import ROOT, encode, simple_dataset
from support.fake_archive import altered, with_raw_uid
from support.instance import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from support.server import PacsdServer, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.instance import Instance

PRIVATE_SYNTAX = "1.2.3.4.5.6.7"
GE_SYNTAX = "1.2.840.113619.5.2"
INVALID_UIDS = (
    f"LOCALIZER{ROOT}",
    f"{ROOT}.A1-b_2",
    f"{ROOT}..5",
    f"{ROOT}.6.",
    f"{ROOT}.{'7' * 40}",
    f"{ROOT}.{'8' * 95}",
)
CHINESE, RUSSIAN = "GBKDEVICE", "CYRILLIC"
EVERYTHING = ["echo", "store", "find", "move", "get"]


NUMBERS = count(7000)
"""Each instance has UIDs of its own."""


@pytest.fixture(scope="module")
def sink() -> Iterator[scp.Destination]:
    with scp.destination("SINK") as running:
        yield running


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, sink: scp.Destination, index_settings: dict[str, Any]
) -> Iterator[PacsdServer]:
    peers = [
        Peer(ae_title="SINK", port=sink.port),
        Peer(ae_title=CHINESE, port=1, answers={"default_character_set": "GBK"}),
        Peer(ae_title=RUSSIAN, port=1, answers={"default_character_set": "windows-1251"}),
    ]
    with serving_with(
        index_settings,
        tmp_path_factory.mktemp("unusual"),
        peers,
        dicom={"accept_unknown_transfer_syntaxes": True},
        access={"unknown_peers": EVERYTHING},
    ) as running:
        yield running


def store(server: PacsdServer, instance: Instance, folder: Path, **options: str) -> int:
    contexts = [(instance.sop_class_uid, [instance.transfer_syntax_uid])]
    with scu.association(server, contexts, **options) as peer:
        return int(peer.send_c_store(instance.write_file(folder / "sent.dcm")).Status)


def with_uids(study: str, series: str, sop_instance: str) -> Instance:
    instance = with_raw_uid(
        with_raw_uid(altered(next(NUMBERS)), "StudyInstanceUID", study), "SeriesInstanceUID", series
    )
    return replace(
        with_raw_uid(instance, "SOPInstanceUID", sop_instance),
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop_instance,
    )


@pytest.mark.parametrize("uid", INVALID_UIDS)
def test_an_invalid_uid_is_stored_found_fetched_and_moved_as_it_is(
    server: PacsdServer, sink: scp.Destination, uid: str, tmp_path: Path
) -> None:
    series, own = uid.replace(ROOT, f"{ROOT}.1"), uid.replace(ROOT, f"{ROOT}.2")
    if len(own) > 64:
        own = f"{ROOT}.{next(NUMBERS)}.A"  # pynetdicom sends and takes no longer ones
    instance = with_uids(uid, series, own)
    before = server.kept_files()
    assert store(server, instance, tmp_path) == 0x0000
    keys = scu.keys("IMAGE", StudyInstanceUID=uid, SeriesInstanceUID=series, SOPInstanceUID=None)
    assert [match.SOPInstanceUID for match in scu.find(server, keys).matches] == [own]
    sink.reset()
    moved = scu.move(server, scu.image_keys(instance), "SINK")
    assert moved.counts == (1, 0, 0)
    assert sink.inbox.received[own].dataset == instance.dataset
    outcome, inbox = scu.get(server, scu.image_keys(instance), scu.own_contexts([instance]))
    assert outcome.counts == (1, 0, 0)
    assert inbox.received[own].dataset == instance.dataset
    (kept,) = server.kept_files() - before
    assert [part.startswith("sha256-") for part in kept.parts[-3:]] == [True] * 3


def test_one_association_with_invalid_uids_is_warned_of_once(server: PacsdServer, tmp_path: Path) -> None:
    mark = server.log_size()
    with scu.association(server, [(altered().sop_class_uid, [EXPLICIT_LITTLE_ENDIAN])]) as peer:
        for number in range(3):
            instance = with_uids(f"{ROOT}.A", f"{ROOT}.B", f"{ROOT}.{number}.C")
            assert peer.send_c_store(instance.write_file(tmp_path / "sent.dcm")).Status == 0x0000
    assert [event["event"] for event in server.log_events(after=mark)].count("uid-not-valid") == 1


def test_invalid_uids_are_refused_where_that_is_wanted(tmp_path: Path) -> None:
    server = PacsdServer(tmp_path / "strict", settings={"dicom": {"strict_uids": True}})
    server.start()
    for uid in INVALID_UIDS:
        assert store(server, with_uids(uid, f"{ROOT}.1", f"{ROOT}.1.1"), tmp_path) == 0xC000
    assert store(server, with_uids(f"{ROOT}.007", f"{ROOT}.1", f"{ROOT}.1.1"), tmp_path) == 0x0000
    server.stop()


@pytest.mark.parametrize("transfer_syntax_uid", [PRIVATE_SYNTAX, GE_SYNTAX])
def test_a_makers_transfer_syntax_is_kept_and_given_back(
    server: PacsdServer, transfer_syntax_uid: str, tmp_path: Path
) -> None:
    encoded_as = IMPLICIT_LITTLE_ENDIAN if transfer_syntax_uid == GE_SYNTAX else EXPLICIT_LITTLE_ENDIAN
    dataset = simple_dataset(next(NUMBERS))
    instance = replace(encode(dataset, "private", encoded_as), transfer_syntax_uid=transfer_syntax_uid)
    assert store(server, instance, tmp_path) == 0x0000
    keys = scu.keys("STUDY", StudyInstanceUID=instance.study_instance_uid, PatientID=None)
    (match,) = scu.find(server, keys).matches
    assert match.PatientID == dataset.PatientID
    outcome, inbox = scu.get(server, scu.image_keys(instance), scu.own_contexts([instance]))
    assert outcome.counts == (1, 0, 0)
    assert inbox.received[instance.sop_instance_uid].dataset == instance.dataset


@pytest.mark.parametrize("is_readable", [False, True], ids=["nothing", "the beginning"])
def test_what_cannot_be_read_is_found_by_what_its_sender_calls_it(
    server: PacsdServer, is_readable: bool, tmp_path: Path
) -> None:
    plain = altered(next(NUMBERS))
    until = plain.dataset.index(b"\x28\0\x02\0US") if is_readable else 0
    study = plain.study_instance_uid if is_readable else plain.sop_instance_uid
    unreadable = plain.dataset[:until] + b"\xfe\xed" * 500
    instance = replace(plain, transfer_syntax_uid=PRIVATE_SYNTAX, dataset=unreadable)
    assert store(server, instance, tmp_path) == 0x0000
    (match,) = scu.find(server, scu.keys("STUDY", StudyInstanceUID=study)).matches
    assert match.StudyInstanceUID == study
    outcome, inbox = scu.get(server, scu.keys("STUDY", StudyInstanceUID=study), scu.own_contexts([instance]))
    assert outcome.counts == (1, 0, 0)
    assert inbox.received[instance.sop_instance_uid].dataset == unreadable
    # Nobody else can be given it, and what is known of it is the same when it is read again.
    outcome, _ = scu.get(
        server,
        scu.keys("STUDY", StudyInstanceUID=study),
        [(instance.sop_class_uid, [EXPLICIT_LITTLE_ENDIAN])],
    )
    assert outcome.counts == (0, 1, 0)
    assert server.run("reindex", "--files").returncode == 0
    assert len(scu.find(server, scu.keys("STUDY", StudyInstanceUID=study)).matches) == 1


def test_a_known_transfer_syntax_is_preferred_to_an_unknown_one(server: PacsdServer) -> None:
    sop_class = altered().sop_class_uid
    contexts = [(sop_class, [PRIVATE_SYNTAX, IMPLICIT_LITTLE_ENDIAN])]
    with scu.association(server, contexts) as peer:
        (context,) = peer.accepted_contexts
        assert context.transfer_syntax == [IMPLICIT_LITTLE_ENDIAN]


@pytest.mark.parametrize(
    ("calling", "codec", "name", "key"),
    [
        (CHINESE, "gbk", "王^小东", "王*"),
        (RUSSIAN, "cp1251", "Иванов^Пётр", "иванов*"),
        ("STRANGER", "utf-8", "Łuk^山", "łuk*"),
        ("STRANGER", "latin-1", "Müller^Jörg", "müller*"),
        ("STRANGER", "cp1252", "Œuvre^Zoë", "œuvre*"),
    ],
)
def test_an_undeclared_character_set_is_understood(
    server: PacsdServer, calling: str, codec: str, name: str, key: str, tmp_path: Path
) -> None:
    encoded = name.encode(codec)
    placeholder = "N" * len(encoded)
    instance = altered(next(NUMBERS), PatientName=placeholder)
    instance = replace(instance, dataset=instance.dataset.replace(placeholder.encode(), encoded))
    assert store(server, instance, tmp_path, calling=calling) == 0x0000
    keys = scu.keys("STUDY", StudyInstanceUID=instance.study_instance_uid, PatientName=key)
    keys.SpecificCharacterSet = "ISO_IR 192"
    (match,) = scu.find(server, keys).matches
    assert str(match.PatientName) == name
    assert server.run("reindex", "--files").returncode == 0
    (match,) = scu.find(server, keys).matches
    assert str(match.PatientName) == name


@pytest.mark.parametrize(
    "asked", ["ISO IR 100", "ISO_IR100", "latin1", "utf-8", "ISO_IR 192\\ISO_IR 100", "ISO_IR 999", ""]
)
def test_an_answer_has_defined_terms_only(server: PacsdServer, asked: str, tmp_path: Path) -> None:
    instance = altered(
        next(NUMBERS),
        PatientName="Müller^Jörg",
        SpecificCharacterSet="ISO_IR 100",
        BodyPartExamined="SCHÄDEL",
    )
    assert store(server, instance, tmp_path) == 0x0000
    keys = scu.keys(
        "SERIES",
        StudyInstanceUID=instance.study_instance_uid,
        SeriesInstanceUID=None,
        PatientName=None,
        BodyPartExamined=None,
    )
    keys.add_new("SpecificCharacterSet", "CS", asked)
    (match,) = scu.find(server, keys).matches
    assert match.SpecificCharacterSet in ("ISO_IR 100", "ISO_IR 192")
    assert str(match.PatientName) == "Müller^Jörg"
    codec = {"ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8"}[match.SpecificCharacterSet]
    # Which pydicom reads as Latin-1.
    assert match.BodyPartExamined.encode("latin-1") == "SCHÄDEL".encode(codec)


def test_long_text_is_answered(server: PacsdServer, tmp_path: Path) -> None:
    comments = "The quick brown fox. " * 480
    instance = altered(next(NUMBERS), ImageComments=comments.strip())
    assert store(server, instance, tmp_path) == 0x0000
    keys = scu.image_keys(instance)
    keys.ImageComments = ""
    (match,) = scu.find(server, keys).matches
    assert match.ImageComments == comments.strip()


@pytest.mark.parametrize(
    "syntax",
    [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"],
)
def test_what_is_too_long_for_the_index_is_answered_from_the_file(
    server: PacsdServer, tmp_path: Path, syntax: str
) -> None:
    """Text of more than 1 MiB, and sequences of more than 4 KiB, at the level that they belong to."""
    code = Dataset()
    code.CodeMeaning = "Schädel, links"
    dataset = simple_dataset(next(NUMBERS))
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.TextValue = "Größe. " * 200_000
    dataset.ReasonForVisit = "Müde. " * 200_000
    dataset.RequestAttributesSequence = [code] * 400
    instance = encode(dataset, "long values", syntax)
    assert store(server, instance, tmp_path) == 0x0000
    keys = scu.image_keys(instance)
    keys.TextValue = ""
    (match,) = scu.find(server, keys).matches
    assert match.TextValue == dataset.TextValue.rstrip()
    keys = scu.keys("STUDY", StudyInstanceUID=instance.study_instance_uid, ReasonForVisit="")
    (match,) = scu.find(server, keys).matches
    assert match.ReasonForVisit == dataset.ReasonForVisit.rstrip()
    keys = scu.keys("SERIES", StudyInstanceUID=instance.study_instance_uid, RequestAttributesSequence=[])
    (match,) = scu.find(server, keys).matches
    assert [item.CodeMeaning for item in match.RequestAttributesSequence] == [code.CodeMeaning] * 400


@pytest.mark.parametrize("asked", [IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, "1.2.840.10008.1.2.2"])
def test_long_text_of_more_than_16_bits_of_length(server: PacsdServer, tmp_path: Path, asked: str) -> None:
    """PS3.5 Table 6.2-1 has 10240 characters at most, and devices send what they like in implicit VR.

    In explicit VR it is UN (§6.2.2), which pydicom has as bytes.
    """
    dataset = simple_dataset(next(NUMBERS))
    dataset.ImageComments = "The quick brown fox. " * 4000
    instance = encode(dataset, "long comments", IMPLICIT_LITTLE_ENDIAN)
    assert store(server, instance, tmp_path) == 0x0000
    keys = scu.image_keys(instance)
    keys.ImageComments = ""
    with scu.association(server, [(scu.STUDY_ROOT["find"], [asked])]) as peer:
        (match,) = scu.collect(peer.send_c_find(keys, scu.STUDY_ROOT["find"])).matches
    value = match.ImageComments
    text = value if asked == IMPLICIT_LITTLE_ENDIAN else value.decode("ascii").rstrip()
    assert text == dataset.ImageComments.strip()


def test_a_nul_within_a_key_makes_it_no_other_key(server: PacsdServer, tmp_path: Path) -> None:
    instance = altered(next(NUMBERS))
    assert store(server, instance, tmp_path) == 0x0000
    study = instance.study_instance_uid
    keys = scu.keys("STUDY", StudyInstanceUID=f"{study[:-2]}\0{study[-2:]}", PatientID=None)
    assert scu.find(server, keys).matches == []
    keys = scu.keys("STUDY", StudyInstanceUID=f"{study}\0\0", PatientID=None)
    assert len(scu.find(server, keys).matches) == 1
