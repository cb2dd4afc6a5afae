"""The messages of the DIMSE-C services (PS3.7 §9.3), for `messages`' table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dicomnet.dimse.message import AffectedClassRequest, Message, Response

__all__ = [
    "CCancelRequest",
    "CEchoRequest",
    "CEchoResponse",
    "CFindRequest",
    "CFindResponse",
    "CGetRequest",
    "CGetResponse",
    "CMoveRequest",
    "CMoveResponse",
    "CStoreRequest",
    "CStoreResponse",
    "Priority",
    "SubOperationResponse",
]


class Priority:
    """Values of Priority (PS3.7 Table 9.3-1)."""

    MEDIUM: Final = 0
    HIGH: Final = 1
    LOW: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOperationResponse(Response):
    """An answer to C-GET or C-MOVE, counting the C-STOREs done for it; None = not stated."""

    number_of_remaining_suboperations: int | None = None
    number_of_completed_suboperations: int | None = None
    number_of_failed_suboperations: int | None = None
    number_of_warning_suboperations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreRequest(AffectedClassRequest):
    """C-STORE-RQ (PS3.7 §9.3.1.1); the move originator is named in sub-operations of a C-MOVE."""

    command_field = 0x0001
    affected_sop_instance_uid: str = ""
    priority: int = Priority.MEDIUM
    move_originator_application_entity_title: str = ""
    move_originator_message_id: int | None = None

    @property
    def sop_instance_uid(self) -> str:
        """Affected SOP Instance UID."""
        return self.affected_sop_instance_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreResponse(Response):
    """C-STORE-RSP (PS3.7 §9.3.1.2)."""

    command_field = 0x8001
    affected_sop_instance_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CGetRequest(AffectedClassRequest):
    """C-GET-RQ (PS3.7 §9.3.3.1)."""

    command_field = 0x0010
    priority: int = Priority.MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class CGetResponse(SubOperationResponse):
    """C-GET-RSP (PS3.7 §9.3.3.2)."""

    command_field = 0x8010


@dataclass(frozen=True, slots=True, kw_only=True)
class CFindRequest(AffectedClassRequest):
    """C-FIND-RQ (PS3.7 §9.3.2.1)."""

    command_field = 0x0020
    priority: int = Priority.MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class CFindResponse(Response):
    """C-FIND-RSP (PS3.7 §9.3.2.2)."""

    command_field = 0x8020


@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveRequest(AffectedClassRequest):
    """C-MOVE-RQ (PS3.7 §9.3.4.1)."""

    command_field = 0x0021
    move_destination: str = ""
    priority: int = Priority.MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveResponse(SubOperationResponse):
    """C-MOVE-RSP (PS3.7 §9.3.4.2)."""

    command_field = 0x8021


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoRequest(AffectedClassRequest):
    """C-ECHO-RQ (PS3.7 §9.3.5.1)."""

    command_field = 0x0030


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoResponse(Response):
    """C-ECHO-RSP (PS3.7 §9.3.5.2)."""

    command_field = 0x8030


@dataclass(frozen=True, slots=True, kw_only=True)
class CCancelRequest(Message):
    """C-CANCEL-RQ (PS3.7 §9.3.2.3, §9.3.3.3, §9.3.4.3); has no answer of its own."""

    command_field = 0x0FFF
    message_id_being_responded_to: int
