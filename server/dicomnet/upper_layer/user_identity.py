"""Who the user behind an association is (58H and 59H, PS3.7 §D.3.3.7): what an authenticator decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dicomnet.upper_layer.pdu import AssociateAccept, AssociateRequest, UserIdentity, UserIdentityType

__all__ = [
    "IdentityAccepted",
    "IdentityDecision",
    "IdentityRefused",
    "answered_identity",
    "identity_response",
]

_WITHOUT_SERVER_RESPONSE: Final = frozenset(
    {UserIdentityType.USER_NAME, UserIdentityType.USER_NAME_AND_PASSCODE}
)


@dataclass(frozen=True, slots=True)
class IdentityAccepted:
    """The identity is verified, or none is needed."""

    server_response: bytes = field(default=b"", repr=False)
    """A Kerberos server ticket, a SAML response or a JSON Web Token; for names and passcodes none is sent."""


@dataclass(frozen=True, slots=True)
class IdentityRefused:
    """The identity is not verified, or one is missing: the association is rejected."""


IdentityDecision = IdentityAccepted | IdentityRefused | None
"""None: identities are not checked, which a requestor sees by the answer that is missing."""


def identity_response(identity: UserIdentity | None, decision: IdentityAccepted | None) -> bytes | None:
    """Return what 59H says; None: it is not sent, because nobody has checked or the peer does not want to know."""
    if identity is None or decision is None or not identity.positive_response_requested:
        return None
    return b"" if identity.kind in _WITHOUT_SERVER_RESPONSE else decision.server_response


def answered_identity(request: AssociateRequest, accept: AssociateAccept) -> bytes | None:
    """Return the response of an accept; one that nobody has asked for means nothing."""
    identity = request.user_information.user_identity
    if identity is None or not identity.positive_response_requested:
        return None
    return accept.user_information.user_identity_response
