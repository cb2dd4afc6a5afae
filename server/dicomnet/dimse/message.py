"""What kinds of messages have in common (PS3.7 §9.3, §10.3); a field's name is its command element's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dicomnet.dimse.status import StatusClass, status_class

__all__ = ["AffectedClassRequest", "Message", "Request", "RequestedInstanceRequest", "Response"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What all messages share: the number of their kind in Command Field."""

    command_field: ClassVar[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Message):
    """A request that is answered under its message ID."""

    message_id: int

    @property
    def sop_class_uid(self) -> str:
        """The SOP class that it is about, whichever element names it."""
        return ""

    @property
    def sop_instance_uid(self) -> str:
        """The SOP instance that it is about, whichever element names it; empty where it is about none."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedClassRequest(Request):
    """A request that names its SOP class as the affected one."""

    affected_sop_class_uid: str = ""

    @property
    def sop_class_uid(self) -> str:
        """Affected SOP Class UID."""
        return self.affected_sop_class_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedInstanceRequest(Request):
    """A request about one instance that the performer holds already."""

    requested_sop_class_uid: str = ""
    requested_sop_instance_uid: str = ""

    @property
    def sop_class_uid(self) -> str:
        """Requested SOP Class UID."""
        return self.requested_sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        """Requested SOP Instance UID."""
        return self.requested_sop_instance_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Message):
    """An answer; `status` says how the operation went, or that more answers follow."""

    message_id_being_responded_to: int
    status: int
    affected_sop_class_uid: str = ""
    offending_element: tuple[int, ...] = ()
    error_comment: str = ""

    @property
    def status_class(self) -> StatusClass:
        """The class of `status`."""
        return status_class(self.status)
