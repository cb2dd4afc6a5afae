"""DCMTK's clients and its destination: what they store, fetch and are sent (bit-preserving where they can)."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread

from support import dcmtk, scp, scu
from support.bundled import bundled_instances
from support.equality import decompression_differences, differences
from support.instance import UNCOMPRESSED, Instance, dataset_offset
from support.pixels import assert_same_picture
from support.server import PacsdServer, Peer
from support.wire import WireAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from interop.conftest import Archive

PROPOSALS = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}
"""storescu's option for each transfer syntax."""
BIG_ENDIAN = "1.2.840.10008.1.2.2"
SAMPLES = ("CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "test-SR.dcm", "JPEG2000.dcm")
UNREADABLE = {
    "SC_rgb_jpeg.dcm": "encoded as Implicit VR, though JPEG Baseline calls for Explicit VR",
    "rtdose_rle.dcm": "compressed frames of odd length",
    "rtdose_rle_1frame.dcm": "compressed frames of odd length",
}
"""Files that pydicom reads and DCMTK does not, so its clients cannot send them."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacsdServer]:
    """An empty server: what DCMTK stores must not meet what others have stored before."""
    running = PacsdServer(
        tmp_path_factory.mktemp("dcmtk"), peers=[Peer(ae_title=scu.CALLING_AE_TITLE, port=104)]
    )
    running.start()
    yield running
    running.stop()


@pytest.mark.parametrize("transfer_syntax", PROPOSALS)
def test_storescu_stores_in_the_files_transfer_syntax(
    server: PacsdServer, transfer_syntax: str, tmp_path: Path
) -> None:
    """DCMTK decodes and encodes every data set that it sends, so the elements are compared, not the bytes."""
    instances = [i for i in bundled_instances() if i.transfer_syntax_uid == transfer_syntax]
    instances = [i for i in instances if i.name not in UNREADABLE]
    files = [i.write_file(tmp_path / f"{number}.dcm") for number, i in enumerate(instances)]
    dcmtk.run("storescu", server, "-R", PROPOSALS[transfer_syntax], *files)
    assert_kept(server, instances)


def test_dcmsend_stores_a_folder_of_mixed_transfer_syntaxes(server: PacsdServer, tmp_path: Path) -> None:
    instances = [i for i in bundled_instances() if "/" in i.name or i.name.startswith(("MR_small", "J2K_"))]
    for number, instance in enumerate(instances):
        instance.write_file(tmp_path / f"{number}.dcm")
    dcmtk.run("dcmsend", server, "-dn", "+sd", tmp_path)
    assert_kept(server, instances, converted=UNCOMPRESSED)


def test_what_another_toolkit_has_stored_is_no_other_content(tmp_path: Path) -> None:
    """DCMTK writes every data set anew, and no stranger may replace what is there: it has to be seen as the same."""
    first = {each.sop_instance_uid: each for each in bundled_instances() if each.name not in UNREADABLE}
    server = PacsdServer(tmp_path / "server", settings={"storage": {"duplicates": "keep-first"}})
    server.start()
    try:
        for transfer_syntax, proposal in PROPOSALS.items():
            instances = [each for each in first.values() if each.transfer_syntax_uid == transfer_syntax]
            files = [each.write_file(tmp_path / f"{each.sop_instance_uid}.dcm") for each in instances]
            for instance in instances:
                contexts = [(instance.sop_class_uid, transfer_syntax)]
                with WireAssociation((server.host, server.port), contexts) as peer:
                    assert peer.store(instance).status == 0x0000
                    peer.release()
            dcmtk.run("storescu", server, "-R", proposal, *files)
    finally:
        server.stop()


def assert_kept(server: PacsdServer, instances: list[Instance], converted: Sequence[str] = ()) -> None:
    """All are there and are fetched; their elements are those that were sent.

    The transfer syntax is the file's, unless that is one of `converted`, which the client may exchange.
    """
    plain = {(i.sop_class_uid, uid) for i in instances for uid in converted}
    own = plain | {(i.sop_class_uid, i.transfer_syntax_uid) for i in instances}
    contexts = [(scu.STUDY_ROOT["get"], scp.NARROW), *((abstract, [uid]) for abstract, uid in sorted(own))]
    inbox = scu.Inbox()
    with scu.association(server, contexts, on_store=inbox.keep) as peer:
        for instance in instances:
            outcome = scu.collect(peer.send_c_get(scu.image_keys(instance), scu.STUDY_ROOT["get"]))
            assert outcome.status == 0x0000, (instance.name, outcome.error_comment)
    for instance in instances:
        received = inbox.received[instance.sop_instance_uid]
        if instance.transfer_syntax_uid not in converted:
            assert received.transfer_syntax_uid == instance.transfer_syntax_uid, instance.name
        sent = instance.read()
        if BIG_ENDIAN == instance.transfer_syntax_uid != received.transfer_syntax_uid:
            # pydicom leaves the words of an OW as they are in the file.
            pixels = array.array("H", sent.PixelData)
            pixels.byteswap()
            sent.PixelData = pixels.tobytes()
        assert differences(sent, received.read()) == [], instance.name


@pytest.mark.parametrize("name", SAMPLES)
def test_getscu_fetches_uncompressed(archive: Archive, name: str, tmp_path: Path) -> None:
    """getscu offers uncompressed transfer syntaxes only; one that is stored comes back as it is."""
    instance = archive.named(name)
    dcmtk.run("getscu", archive.server, "-S", "+B", "-od", tmp_path, *image_keys(instance))
    assert_file_equals(single_file(tmp_path), instance, tmp_path)


@pytest.mark.parametrize("name", SAMPLES)
def test_movescu_sends_to_storescp(archive: Archive, name: str, storescp: Path) -> None:
    """storescp here takes every transfer syntax, so the data set arrives bit by bit."""
    instance = archive.named(name)
    dcmtk.run("movescu", archive.server, "-S", "-aem", "STORESCP", *image_keys(instance))
    path = single_file(storescp)
    content = path.read_bytes()
    assert dcmread(path).file_meta.TransferSyntaxUID == instance.transfer_syntax_uid
    assert content[dataset_offset(content) :] == instance.dataset


def test_movescu_sends_a_whole_patient(archive: Archive, storescp: Path) -> None:
    instance = archive.named("CT_small.dcm")
    patient = str(instance.read().PatientID)
    dcmtk.run(
        "movescu", archive.server, "-P", "-aem", "STORESCP",
        "-k", "QueryRetrieveLevel=PATIENT", "-k", f"PatientID={patient}",
    )  # fmt: skip
    expected = {i.sop_instance_uid for i in archive.instances if i.read().get("PatientID") == patient}
    assert {str(dcmread(path).SOPInstanceUID) for path in storescp.iterdir()} == expected


def test_echoscu_is_answered(archive: Archive) -> None:
    dcmtk.run("echoscu", archive.server)


def image_keys(instance: Instance) -> list[str]:
    keys = (
        "QueryRetrieveLevel=IMAGE",
        f"StudyInstanceUID={instance.study_instance_uid}",
        f"SeriesInstanceUID={instance.series_instance_uid}",
        f"SOPInstanceUID={instance.sop_instance_uid}",
    )
    return [part for key in keys for part in ("-k", key)]


def single_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def assert_file_equals(path: Path, instance: Instance, folder: Path) -> None:
    received = dcmread(path)
    syntax = received.file_meta.TransferSyntaxUID
    assert syntax in UNCOMPRESSED
    if syntax == instance.transfer_syntax_uid:
        content = path.read_bytes()
        assert content[dataset_offset(content) :] == instance.dataset
    assert decompression_differences(instance.read(), received) == []
    if "PixelData" in received:
        assert_same_picture(instance, received, folder)
