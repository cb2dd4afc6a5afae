"""Asking the authenticator of a DicomNet, so that none of its failures lets anybody in or tells a secret."""

from __future__ import annotations

import logging
from typing import Final

from dicomnet.net.callbacks import Callbacks
from dicomnet.upper_layer.pdu import AssociateRequest
from dicomnet.upper_layer.user_identity import IdentityDecision, IdentityRefused

__all__ = ["decide_identity"]

_LOG: Final = logging.getLogger("dicomnet")


def decide_identity(net: Callbacks, request: AssociateRequest) -> IdentityDecision:
    """Return what `authenticate` decides about a request's user; where it fails, that is a refusal."""
    try:
        return net.authenticate(request.user_information.user_identity, request)
    except Exception as error:
        # Neither text nor traceback: a failed look-up likes to name what it did not find.
        _LOG.error("the authenticator failed with %s; the user is refused", type(error).__name__)
        return IdentityRefused()
