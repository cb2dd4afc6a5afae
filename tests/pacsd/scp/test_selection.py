"""Retrieve identifiers as selections, and the list of what failed as an identifier."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier
from pacsd.dataset.transfer_syntaxes import NATIVE_TRANSFER_SYNTAXES
from pacsd.errors import IdentifierInvalid
from pacsd.model import InstanceSelection, QueryLevel, QueryModel
from pacsd.scp.selection import failed_list, read_selection

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def selection(transfer_syntax: str = EXPLICIT, **keys: str) -> InstanceSelection:
    data = write_identifier(elements_of(keys), transfer_syntax)
    return read_selection(data, transfer_syntax, QueryModel.PATIENT_ROOT)


@pytest.mark.parametrize("transfer_syntax", NATIVE_TRANSFER_SYNTAXES)
def test_the_unique_keys_of_all_levels_select(transfer_syntax: str) -> None:
    assert selection(
        transfer_syntax,
        QueryRetrieveLevel="IMAGE",
        PatientID="P1",
        StudyInstanceUID="1.2",
        SeriesInstanceUID="1.3",
        SOPInstanceUID="1.4\\1.5",
    ) == InstanceSelection(
        model=QueryModel.PATIENT_ROOT,
        level=QueryLevel.IMAGE,
        patient_id="P1",
        study_instance_uids=("1.2",),
        series_instance_uids=("1.3",),
        sop_instance_uids=("1.4", "1.5"),
    )


def test_absent_and_empty_keys_select_nothing() -> None:
    expected = InstanceSelection(model=QueryModel.PATIENT_ROOT, level=QueryLevel.STUDY)
    assert selection(QueryRetrieveLevel="STUDY") == expected
    assert selection(QueryRetrieveLevel="STUDY", PatientID="", StudyInstanceUID="\\") == expected


@pytest.mark.parametrize("padding", [b" ", b"\0", b"  ", b" \0 "])
def test_padding_of_uids_is_none_of_them(padding: bytes) -> None:
    data = write_identifier(elements_of({"QueryRetrieveLevel": "STUDY"}), IMPLICIT)
    value = b"1.2" + padding + b"\\1.3" + padding
    data += b"\x20\0\x0d\0" + len(value).to_bytes(4, "little") + value
    assert read_selection(data, IMPLICIT, QueryModel.STUDY_ROOT).study_instance_uids == ("1.2", "1.3")


@pytest.mark.parametrize("level", ["", "study", "IMAGES"])
def test_a_level_that_is_none_is_refused(level: str) -> None:
    with pytest.raises(IdentifierInvalid) as refused:
        selection(QueryRetrieveLevel=level, StudyInstanceUID="1.2")
    assert refused.value.keywords == ("QueryRetrieveLevel",)


def test_no_failure_makes_no_identifier() -> None:
    assert failed_list([], EXPLICIT) is None


@given(
    numbers=st.lists(st.integers(0, 10**60), min_size=1, max_size=20),
    transfer_syntax=st.sampled_from(NATIVE_TRANSFER_SYNTAXES),
)
def test_failed_instances_are_listed(numbers: list[int], transfer_syntax: str) -> None:
    uids = [f"1.{number}" for number in numbers]
    data = failed_list(uids, transfer_syntax)
    assert data is not None
    assert read_identifier(data, transfer_syntax).keys == {"FailedSOPInstanceUIDList": "\\".join(uids)}


@pytest.mark.parametrize("length", [30, 31, 63, 64])
@pytest.mark.parametrize("transfer_syntax", NATIVE_TRANSFER_SYNTAXES)
def test_of_too_many_failed_instances_whole_uids_are_listed(length: int, transfer_syntax: str) -> None:
    """In an explicit VR, UI has a 16-bit length (PS3.5 §7.1.2)."""
    uids = [f"1.{number:0{length - 2}}" for number in range(1, 5000)]
    data = failed_list(uids, transfer_syntax)
    assert data is not None
    listed = read_identifier(data, transfer_syntax).value("FailedSOPInstanceUIDList").split("\\")
    assert listed == uids[: len(listed)]
    assert len(listed) == 0xFFFF // (length + 1)
