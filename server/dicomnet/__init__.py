"""DicomNet: a DICOM network engine for both roles, on the standard library alone.

The public names are here; everything else may move.
"""

from dicomnet.dimse.fragments import Dataset, fragment_length
from dicomnet.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    Priority,
    Request,
    Response,
    ResponseFields,
    SubOperationFields,
    SubOperationResponse,
)
from dicomnet.dimse.status import Status, StatusClass, status_class
from dicomnet.errors import (
    AssociationAborted,
    AssociationEnded,
    AssociationRejected,
    AssociationReleased,
    AssociationTimedOut,
    ConnectionLost,
    DatasetTooLong,
    DicomNetError,
    LocalProtocolError,
    RemoteProtocolError,
)
from dicomnet.limits import Limits
from dicomnet.net.configuration import NetConfiguration, Timeouts
from dicomnet.net.dicom_net import DicomNet
from dicomnet.net.received_dataset import ReceivedDataset
from dicomnet.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomnet.upper_layer.negotiation import (
    NegotiatedAssociation,
    PresentationContext,
    SupportedAbstractSyntax,
    own_user_information,
)
from dicomnet.upper_layer.pdu import (
    AssociateRequest,
    ContextResult,
    ProposedPresentationContext,
    RoleSelection,
)

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "AssociateRequest",
    "AssociationAborted",
    "AssociationEnded",
    "AssociationRejected",
    "AssociationReleased",
    "AssociationTimedOut",
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
    "ConnectionLost",
    "ContextResult",
    "Dataset",
    "DatasetTooLong",
    "DicomNet",
    "DicomNetError",
    "Limits",
    "LocalProtocolError",
    "NegotiatedAssociation",
    "NetConfiguration",
    "PresentationContext",
    "Priority",
    "ProposedPresentationContext",
    "ReceivedDataset",
    "RemoteProtocolError",
    "Request",
    "Response",
    "ResponseFields",
    "RoleSelection",
    "Status",
    "StatusClass",
    "SubOperationFields",
    "SubOperationResponse",
    "SupportedAbstractSyntax",
    "Timeouts",
    "fragment_length",
    "own_user_information",
    "status_class",
]
