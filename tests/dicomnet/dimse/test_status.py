"""Status codes and their classes (PS3.7 Annex C, PS3.4 service classes)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.status import (
    GENERAL_STATUS,
    QR_FIND_SERVICE_CLASS_STATUS,
    QR_GET_SERVICE_CLASS_STATUS,
    QR_MOVE_SERVICE_CLASS_STATUS,
    STORAGE_SERVICE_CLASS_STATUS,
)

from dicomnet.dimse.messages import CFindResponse
from dicomnet.dimse.status import Status, StatusClass, status_class

CLASSES = {
    "Success": StatusClass.SUCCESS,
    "Warning": StatusClass.WARNING,
    "Failure": StatusClass.FAILURE,
    "Cancel": StatusClass.CANCEL,
    "Pending": StatusClass.PENDING,
}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0x0000, StatusClass.SUCCESS),
        (0x0001, StatusClass.WARNING),
        (0x0107, StatusClass.WARNING),
        (0x0116, StatusClass.WARNING),
        (0xB000, StatusClass.WARNING),
        (0xBFFF, StatusClass.WARNING),
        (0xFE00, StatusClass.CANCEL),
        (0xFF00, StatusClass.PENDING),
        (0xFF01, StatusClass.PENDING),
        (0xFF02, StatusClass.FAILURE),
        (0x0110, StatusClass.FAILURE),
        (0x0122, StatusClass.FAILURE),
        (0xA700, StatusClass.FAILURE),
        (0xA801, StatusClass.FAILURE),
        (0xC000, StatusClass.FAILURE),
        (0xCFFF, StatusClass.FAILURE),
        (0x4242, StatusClass.FAILURE),
    ],
)
def test_class_of_a_code(code: int, expected: StatusClass) -> None:
    assert status_class(code) is expected
    assert CFindResponse(message_id_being_responded_to=1, status=code).status_class is expected


@pytest.mark.parametrize(
    "table",
    [
        GENERAL_STATUS,
        STORAGE_SERVICE_CLASS_STATUS,
        QR_FIND_SERVICE_CLASS_STATUS,
        QR_MOVE_SERVICE_CLASS_STATUS,
        QR_GET_SERVICE_CLASS_STATUS,
    ],
)
def test_classes_agree_with_pynetdicom(table: dict[int, tuple[str, str]]) -> None:
    ours = {code: status_class(code) for code in table}
    assert ours == {code: CLASSES[name] for code, (name, _) in table.items()}


@given(st.integers(0, 0xFFFF))
def test_every_code_has_a_class(code: int) -> None:
    assert isinstance(status_class(code), StatusClass)


def test_named_codes_are_the_standards() -> None:
    assert {status.name: status.value for status in Status} == {
        "SUCCESS": 0x0000,
        "NO_SUCH_ATTRIBUTE": 0x0105,
        "INVALID_ATTRIBUTE_VALUE": 0x0106,
        "ATTRIBUTE_LIST_ERROR": 0x0107,
        "PROCESSING_FAILURE": 0x0110,
        "DUPLICATE_SOP_INSTANCE": 0x0111,
        "NO_SUCH_SOP_INSTANCE": 0x0112,
        "NO_SUCH_EVENT_TYPE": 0x0113,
        "NO_SUCH_ARGUMENT": 0x0114,
        "INVALID_ARGUMENT_VALUE": 0x0115,
        "ATTRIBUTE_VALUE_OUT_OF_RANGE": 0x0116,
        "INVALID_SOP_INSTANCE": 0x0117,
        "NO_SUCH_SOP_CLASS": 0x0118,
        "CLASS_INSTANCE_CONFLICT": 0x0119,
        "MISSING_ATTRIBUTE": 0x0120,
        "MISSING_ATTRIBUTE_VALUE": 0x0121,
        "SOP_CLASS_NOT_SUPPORTED": 0x0122,
        "NO_SUCH_ACTION_TYPE": 0x0123,
        "NOT_AUTHORIZED": 0x0124,
        "DUPLICATE_INVOCATION": 0x0210,
        "UNRECOGNIZED_OPERATION": 0x0211,
        "MISTYPED_ARGUMENT": 0x0212,
        "RESOURCE_LIMITATION": 0x0213,
        "CANCEL": 0xFE00,
        "PENDING": 0xFF00,
        "PENDING_WITH_UNSUPPORTED_KEYS": 0xFF01,
    }
