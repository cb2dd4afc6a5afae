"""The seven PDUs and their items as plain values (PS3.8 §9.3, PS3.7 Annex D.3.3).

Reading them from bytes is `reader`'s, writing them `writer`'s. UIDs and AE titles stand here without padding.
Codes keep whatever number the peer sent; the enums name the known ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from dicomnet import uids

__all__ = [
    "Abort",
    "AbortReason",
    "AbortSource",
    "AssociateAccept",
    "AssociateReject",
    "AssociateRequest",
    "AsynchronousOperationsWindow",
    "CommonExtendedNegotiation",
    "ContextResult",
    "DataTransfer",
    "ExtendedNegotiation",
    "ItemType",
    "Pdu",
    "PduType",
    "PresentationContextResult",
    "PresentationDataValue",
    "ProposedPresentationContext",
    "ReleaseRequest",
    "ReleaseResponse",
    "RoleSelection",
    "UserIdentity",
    "UserIdentityType",
    "UserInformation",
]

PDU_HEADER_LENGTH: Final = 6
PDV_HEADER_LENGTH: Final = 6
"""Item length, presentation context ID and message control header; the item length counts the last two."""

AE_TITLE_LENGTH: Final = 16
"""Of an AE title's field; shorter titles are padded with spaces (PS3.8 §9.3.2)."""
UID_MAXIMUM_LENGTH: Final = 64
"""PS3.5 §9.1."""


class PduType(IntEnum):
    """First byte of a PDU."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class ItemType(IntEnum):
    """First byte of an item or sub-item in the A-ASSOCIATE PDUs (PS3.8 §9.3.2, PS3.7 Annex D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PROPOSED_PRESENTATION_CONTEXT = 0x20
    PRESENTATION_CONTEXT_RESULT = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ASYNCHRONOUS_OPERATIONS_WINDOW = 0x53
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55
    EXTENDED_NEGOTIATION = 0x56
    COMMON_EXTENDED_NEGOTIATION = 0x57
    USER_IDENTITY = 0x58
    USER_IDENTITY_RESPONSE = 0x59


class ContextResult(IntEnum):
    """Result/Reason of one presentation context (PS3.8 Table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


class AbortSource(IntEnum):
    """Who aborts (PS3.8 Table 9-26)."""

    SERVICE_USER = 0
    SERVICE_PROVIDER = 2


class AbortReason(IntEnum):
    """Why a provider aborts (PS3.8 Table 9-26); a service user's reason is 0 and means nothing."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER_VALUE = 6


class UserIdentityType(IntEnum):
    """What proves a user's identity (PS3.7 Table D.3-14)."""

    USER_NAME = 1
    USER_NAME_AND_PASSCODE = 2
    KERBEROS = 3
    SAML = 4
    JSON_WEB_TOKEN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedPresentationContext:
    """Presentation context item of a request (20H, PS3.8 §9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentationContextResult:
    """Presentation context item of an answer (21H, PS3.8 §9.3.3.2)."""

    context_id: int
    result: int
    transfer_syntax: str
    """Means something only where `result` is ACCEPTANCE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsynchronousOperationsWindow:
    """Sub-item 53H (PS3.7 §D.3.3.3); 0 means no limit."""

    maximum_invoked: int
    maximum_performed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSelection:
    """Sub-item 54H (PS3.7 §D.3.3.4): the roles of the association requestor."""

    sop_class_uid: str
    scu_role: bool
    scp_role: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedNegotiation:
    """Sub-item 56H (PS3.7 §D.3.3.5); the information is the service class's to understand."""

    sop_class_uid: str
    information: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonExtendedNegotiation:
    """Sub-item 57H (PS3.7 §D.3.3.6), in requests only."""

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_class_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIdentity:
    """Sub-item 58H (PS3.7 §D.3.3.7.1). Never logged: `primary` and `secondary` are secrets."""

    identity_type: int
    """As the peer sent it; see `kind`."""
    positive_response_requested: bool
    primary: bytes
    secondary: bytes = b""

    @property
    def kind(self) -> UserIdentityType | None:
        """What the fields hold; None: a type that the Standard does not know, and so nobody can verify."""
        return UserIdentityType(self.identity_type) if self.identity_type in set(UserIdentityType) else None

    def __repr__(self) -> str:
        return f"UserIdentity(identity_type={self.identity_type}, ...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInformation:
    """User information item (50H, PS3.8 §9.3.2.3)."""

    maximum_length: int | None = None
    """Largest PDU-length value that the sender of this item will receive, bytes.

    0 = no limit, None = not sent.
    """
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    asynchronous_operations_window: AsynchronousOperationsWindow | None = None
    roles: tuple[RoleSelection, ...] = ()
    extended_negotiations: tuple[ExtendedNegotiation, ...] = ()
    common_extended_negotiations: tuple[CommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None
    """Requests only."""
    user_identity_response: bytes | None = field(default=None, repr=False)
    """Sub-item 59H (PS3.7 §D.3.3.7.2), answers only."""

    def common_extended_negotiation_of(self, sop_class_uid: str) -> CommonExtendedNegotiation | None:
        """Return what is said of a SOP class's nature (57H), such as its service class; None: nothing."""
        said = (each for each in self.common_extended_negotiations if each.sop_class_uid == sop_class_uid)
        return next(said, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ (PS3.8 §9.3.2)."""

    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: tuple[ProposedPresentationContext, ...]
    user_information: UserInformation
    application_context_name: str = uids.APPLICATION_CONTEXT_NAME
    protocol_version: int = 1
    """A bit field; only bit 0 (version 1) is tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateAccept:
    """A-ASSOCIATE-AC (PS3.8 §9.3.3); the AE titles echo the request and are not to be tested."""

    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: tuple[PresentationContextResult, ...]
    user_information: UserInformation
    application_context_name: str = uids.APPLICATION_CONTEXT_NAME
    protocol_version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateReject:
    """A-ASSOCIATE-RJ (PS3.8 §9.3.4, Table 9-21)."""

    result: int
    source: int
    reason: int


@dataclass(slots=True, kw_only=True)
class PresentationDataValue:
    """One PDV item of a P-DATA-TF (PS3.8 §9.3.5.1 and Annex E.2).

    Not to be changed; it is not frozen only because that doubles the time to make one,
    and every fragment of a data set is one.
    """

    context_id: int
    is_command: bool
    is_last: bool
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class DataTransfer:
    """P-DATA-TF (PS3.8 §9.3.5)."""

    values: tuple[PresentationDataValue, ...]


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A-RELEASE-RQ (PS3.8 §9.3.6)."""


@dataclass(frozen=True, slots=True)
class ReleaseResponse:
    """A-RELEASE-RP (PS3.8 §9.3.7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """A-ABORT (PS3.8 §9.3.8)."""

    source: int
    reason: int = 0


Pdu = (
    AssociateRequest
    | AssociateAccept
    | AssociateReject
    | DataTransfer
    | ReleaseRequest
    | ReleaseResponse
    | Abort
)
