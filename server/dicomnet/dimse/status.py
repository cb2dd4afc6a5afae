"""Status codes of DIMSE responses (PS3.7 Annex C) that the engine itself uses, and their classes."""

from __future__ import annotations

from enum import Enum, IntEnum

__all__ = ["Status", "StatusClass", "status_class"]


class Status(IntEnum):
    """General status codes (PS3.7 Annex C); those of a service class belong to who serves it."""

    SUCCESS = 0x0000
    NO_SUCH_ATTRIBUTE = 0x0105
    INVALID_ATTRIBUTE_VALUE = 0x0106
    ATTRIBUTE_LIST_ERROR = 0x0107
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    NO_SUCH_SOP_INSTANCE = 0x0112
    NO_SUCH_EVENT_TYPE = 0x0113
    NO_SUCH_ARGUMENT = 0x0114
    INVALID_ARGUMENT_VALUE = 0x0115
    ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116
    INVALID_SOP_INSTANCE = 0x0117
    NO_SUCH_SOP_CLASS = 0x0118
    CLASS_INSTANCE_CONFLICT = 0x0119
    MISSING_ATTRIBUTE = 0x0120
    MISSING_ATTRIBUTE_VALUE = 0x0121
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION_TYPE = 0x0123
    NOT_AUTHORIZED = 0x0124
    DUPLICATE_INVOCATION = 0x0210
    UNRECOGNIZED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212
    RESOURCE_LIMITATION = 0x0213
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_WITH_UNSUPPORTED_KEYS = 0xFF01


class StatusClass(Enum):
    """What kind of answer a status is (PS3.7 §C)."""

    SUCCESS = "success"
    PENDING = "pending"
    CANCEL = "cancel"
    WARNING = "warning"
    FAILURE = "failure"


def status_class(status: int) -> StatusClass:
    """Return the class of a status code by its range; codes that nobody defined count as failures."""
    if status == Status.SUCCESS:
        return StatusClass.SUCCESS
    if status in (Status.PENDING, Status.PENDING_WITH_UNSUPPORTED_KEYS):
        return StatusClass.PENDING
    if status == Status.CANCEL:
        return StatusClass.CANCEL
    if status in (0x0001, 0x0107, 0x0116) or status & 0xF000 == 0xB000:
        return StatusClass.WARNING
    return StatusClass.FAILURE
