"""Preamble and file meta information, read by pydicom and by ourselves."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from pacsd.dataset.part10 import FileMetaInformation, meta_information_of, part10_header, read_part10
from pacsd.errors import DatasetInvalid
from support.memory_store import MemoryObject

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
VALUES = {
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
    "sop_instance_uid": "1.2.3.4",
    "transfer_syntax_uid": "1.2.840.10008.1.2.1",
    "implementation_class_uid": "2.25.1234",
    "implementation_version_name": "PACSD_0_1",
}


def test_pydicom_reads_the_header() -> None:
    header = part10_header(**VALUES, calling_ae_title="MODALITY1")
    meta = dcmread(io.BytesIO(header)).file_meta
    assert meta.FileMetaInformationGroupLength == len(header) - 132 - 12
    assert meta.FileMetaInformationVersion == b"\x00\x01"
    assert meta.MediaStorageSOPClassUID == VALUES["sop_class_uid"]
    assert meta.MediaStorageSOPInstanceUID == VALUES["sop_instance_uid"]
    assert meta.TransferSyntaxUID == VALUES["transfer_syntax_uid"]
    assert meta.ImplementationClassUID == VALUES["implementation_class_uid"]
    assert meta.ImplementationVersionName == VALUES["implementation_version_name"]
    assert meta.SourceApplicationEntityTitle == "MODALITY1"
    assert [element.tag.element for element in meta] == [0, 1, 2, 3, 0x10, 0x12, 0x13, 0x16]
    assert len(header) % 2 == 0


def test_pydicom_writes_the_same_bytes() -> None:
    header = part10_header(**VALUES, calling_ae_title="MODALITY1")
    rewritten = io.BytesIO()
    pydicom.dcmwrite(rewritten, dcmread(io.BytesIO(header)))
    assert rewritten.getvalue() == header


@pytest.mark.interop
def test_dcmdump_reads_the_header(tmp_path: Path) -> None:
    if shutil.which("dcmdump") is None:
        pytest.skip("DCMTK's dcmdump is not installed")
    path = tmp_path / "header.dcm"
    path.write_bytes(part10_header(**VALUES, calling_ae_title="MODALITY1") + b"\x10\0\x20\0LO\2\0ID")
    result = subprocess.run(["dcmdump", "-Un", path], capture_output=True, text=True, check=True)
    assert not result.stderr
    for value in (*VALUES.values(), "MODALITY1", "[ID]"):
        assert value in result.stdout


def test_reading_gives_what_was_written() -> None:
    header = part10_header(**VALUES)
    expected = FileMetaInformation(**VALUES, dataset_offset=len(header))
    assert read_part10(header + b"\x10\0") == expected
    assert meta_information_of(MemoryObject(header + bytes(100_000))) == expected


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.dcm")), ids=lambda path: path.name)
def test_reading_equals_pydicom_on_its_test_files(path: Path) -> None:
    meta = dcmread(path, force=True, stop_before_pixels=True).file_meta
    transfer_syntax_uid = meta.get("TransferSyntaxUID")
    if transfer_syntax_uid is None:
        with pytest.raises(DatasetInvalid):
            read_part10(path.read_bytes())
        assert (
            read_part10(path.read_bytes(), fallback_transfer_syntax_uid="1.2.840.10008.1.2").dataset_offset
            < 1000
        )
        return
    found = read_part10(path.read_bytes())
    assert found.transfer_syntax_uid == transfer_syntax_uid
    assert found.sop_class_uid == meta.get("MediaStorageSOPClassUID", "")
    assert found.sop_instance_uid == meta.get("MediaStorageSOPInstanceUID", "")
    assert found.source_ae_title == meta.get("SourceApplicationEntityTitle", "")


def test_a_value_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(DatasetInvalid, match="0002,0016"):
        part10_header(**VALUES, calling_ae_title="MODALITÉ")


def test_unreadable_meta_information_is_refused_even_with_a_fallback() -> None:
    header = part10_header(**VALUES)
    for end in (140, 150, len(header) - 1):
        with pytest.raises(DatasetInvalid, match="truncated or malformed"):
            read_part10(header[:end], fallback_transfer_syntax_uid="1.2.840.10008.1.2")


@given(st.binary(max_size=300), st.booleans())
def test_garbage_ends_in_a_documented_error(data: bytes, preamble: bool) -> None:
    try:
        meta = read_part10((bytes(128) + b"DICM\2\0" if preamble else b"") + data)
    except DatasetInvalid as error:
        assert "PS3.10" in str(error)  # noqa: PT017
    else:
        assert meta.transfer_syntax_uid
