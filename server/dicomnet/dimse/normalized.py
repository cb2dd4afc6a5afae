"""The messages of the DIMSE-N services (PS3.7 §10.3), for `messages`' table."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnet.dimse.message import AffectedClassRequest, RequestedInstanceRequest, Response

__all__ = [
    "NActionRequest",
    "NActionResponse",
    "NCreateRequest",
    "NCreateResponse",
    "NDeleteRequest",
    "NDeleteResponse",
    "NEventReportRequest",
    "NEventReportResponse",
    "NGetRequest",
    "NGetResponse",
    "NSetRequest",
    "NSetResponse",
    "NormalizedResponse",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalizedResponse(Response):
    """An answer to an N-service; `error_id` is the performer's own number for what went wrong (PS3.7 §C)."""

    affected_sop_instance_uid: str = ""
    error_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NEventReportRequest(AffectedClassRequest):
    """N-EVENT-REPORT-RQ (PS3.7 §10.3.1.1), from the SCP of the SOP class to its SCU."""

    command_field = 0x0100
    affected_sop_instance_uid: str = ""
    event_type_id: int

    @property
    def sop_instance_uid(self) -> str:
        """Affected SOP Instance UID."""
        return self.affected_sop_instance_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class NEventReportResponse(NormalizedResponse):
    """N-EVENT-REPORT-RSP (PS3.7 §10.3.1.2); the event type is repeated together with an event reply."""

    command_field = 0x8100
    event_type_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NGetRequest(RequestedInstanceRequest):
    """N-GET-RQ (PS3.7 §10.3.2.1); without a list of tags it asks for all attributes."""

    command_field = 0x0110
    attribute_identifier_list: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NGetResponse(NormalizedResponse):
    """N-GET-RSP (PS3.7 §10.3.2.2)."""

    command_field = 0x8110


@dataclass(frozen=True, slots=True, kw_only=True)
class NSetRequest(RequestedInstanceRequest):
    """N-SET-RQ (PS3.7 §10.3.3.1)."""

    command_field = 0x0120


@dataclass(frozen=True, slots=True, kw_only=True)
class NSetResponse(NormalizedResponse):
    """N-SET-RSP (PS3.7 §10.3.3.2); after a warning, the list names the attributes that were not set."""

    command_field = 0x8120
    attribute_identifier_list: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NActionRequest(RequestedInstanceRequest):
    """N-ACTION-RQ (PS3.7 §10.3.4.1)."""

    command_field = 0x0130
    action_type_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NActionResponse(NormalizedResponse):
    """N-ACTION-RSP (PS3.7 §10.3.4.2); the action type is repeated together with an action reply."""

    command_field = 0x8130
    action_type_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NCreateRequest(AffectedClassRequest):
    """N-CREATE-RQ (PS3.7 §10.3.5.1); without an instance UID the performer draws one and says it."""

    command_field = 0x0140
    affected_sop_instance_uid: str = ""

    @property
    def sop_instance_uid(self) -> str:
        """Affected SOP Instance UID; may be empty."""
        return self.affected_sop_instance_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class NCreateResponse(NormalizedResponse):
    """N-CREATE-RSP (PS3.7 §10.3.5.2)."""

    command_field = 0x8140


@dataclass(frozen=True, slots=True, kw_only=True)
class NDeleteRequest(RequestedInstanceRequest):
    """N-DELETE-RQ (PS3.7 §10.3.6.1)."""

    command_field = 0x0150


@dataclass(frozen=True, slots=True, kw_only=True)
class NDeleteResponse(NormalizedResponse):
    """N-DELETE-RSP (PS3.7 §10.3.6.2)."""

    command_field = 0x8150
