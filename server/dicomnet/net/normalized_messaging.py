"""The `send_n_*` half of a DicomNet (PS3.7 §10.3): typed signatures over the gate that writes messages.

N-EVENT-REPORT is called report here, as in the names of the original DicomNet.
"""

from __future__ import annotations

from typing import Unpack

from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import (
    NActionRequest,
    NCreateRequest,
    NDeleteRequest,
    NEventReportRequest,
    NGetRequest,
    NormalizedFields,
    NSetRequest,
)
from dicomnet.net.messaging import Messaging
from dicomnet.upper_layer.negotiation import PresentationContext

__all__ = ["NormalizedMessaging"]


class NormalizedMessaging(Messaging):
    """Requests and responses of the N-services; `Messaging` says what they raise.

    `sop_class_uid` is the context's abstract syntax where it is not said; Meta SOP Classes need it.
    """

    # Responses; `dataset` is the reply, or the attributes.

    def send_n_report_response(
        self,
        context: PresentationContext,
        request: NEventReportRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-EVENT-REPORT (PS3.7 §10.3.1.2); the event type goes with a reply alone."""
        event = None if dataset is None else request.event_type_id
        self._respond(context, request, status, dataset, event_type_id=event, **fields)

    def send_n_get_response(
        self,
        context: PresentationContext,
        request: NGetRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-GET with the attributes asked for (PS3.7 §10.3.2.2)."""
        self._respond(context, request, status, dataset, **fields)

    def send_n_set_response(
        self,
        context: PresentationContext,
        request: NSetRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        attribute_identifier_list: tuple[int, ...] = (),
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-SET (PS3.7 §10.3.3.2); the list names, after a warning, what was not set."""
        self._respond(
            context, request, status, dataset, attribute_identifier_list=attribute_identifier_list, **fields
        )

    def send_n_action_response(
        self,
        context: PresentationContext,
        request: NActionRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-ACTION (PS3.7 §10.3.4.2); the action type goes with a reply alone."""
        action = None if dataset is None else request.action_type_id
        self._respond(context, request, status, dataset, action_type_id=action, **fields)

    def send_n_create_response(
        self,
        context: PresentationContext,
        request: NCreateRequest,
        *,
        status: int,
        dataset: Dataset | None = None,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-CREATE (PS3.7 §10.3.5.2); a request without an instance UID needs one in `fields`."""
        self._respond(context, request, status, dataset, **fields)

    def send_n_delete_response(
        self,
        context: PresentationContext,
        request: NDeleteRequest,
        *,
        status: int,
        **fields: Unpack[NormalizedFields],
    ) -> None:
        """Answer an N-DELETE (PS3.7 §10.3.6.2)."""
        self._respond(context, request, status, **fields)

    # Requests; the helpers of `NormalizedRequests` send them and wait for the answer.

    def send_n_report_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        event_type_id: int,
        dataset: Dataset | None = None,
        sop_class_uid: str = "",
    ) -> None:
        """Report an event to the SCU of the SOP class (PS3.7 §10.3.1.1)."""
        request = NEventReportRequest(
            message_id=message_id,
            affected_sop_class_uid=sop_class_uid or context.abstract_syntax,
            affected_sop_instance_uid=sop_instance_uid,
            event_type_id=event_type_id,
        )
        self.send_message(context, request, dataset)

    def send_n_get_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        attribute_identifier_list: tuple[int, ...] = (),
        sop_class_uid: str = "",
    ) -> None:
        """Ask for attributes by their tags, for all without any (PS3.7 §10.3.2.1)."""
        request = NGetRequest(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid or context.abstract_syntax,
            requested_sop_instance_uid=sop_instance_uid,
            attribute_identifier_list=attribute_identifier_list,
        )
        self.send_message(context, request)

    def send_n_set_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        dataset: Dataset,
        sop_class_uid: str = "",
    ) -> None:
        """Ask for attributes to be changed to those of `dataset` (PS3.7 §10.3.3.1)."""
        request = NSetRequest(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid or context.abstract_syntax,
            requested_sop_instance_uid=sop_instance_uid,
        )
        self.send_message(context, request, dataset)

    def send_n_action_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        action_type_id: int,
        dataset: Dataset | None = None,
        sop_class_uid: str = "",
    ) -> None:
        """Ask for an action on an instance (PS3.7 §10.3.4.1)."""
        request = NActionRequest(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid or context.abstract_syntax,
            requested_sop_instance_uid=sop_instance_uid,
            action_type_id=action_type_id,
        )
        self.send_message(context, request, dataset)

    def send_n_create_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str = "",
        dataset: Dataset | None = None,
        sop_class_uid: str = "",
    ) -> None:
        """Ask for an instance to be made; without a UID its maker draws one (PS3.7 §10.3.5.1)."""
        request = NCreateRequest(
            message_id=message_id,
            affected_sop_class_uid=sop_class_uid or context.abstract_syntax,
            affected_sop_instance_uid=sop_instance_uid,
        )
        self.send_message(context, request, dataset)

    def send_n_delete_request(
        self,
        context: PresentationContext,
        *,
        message_id: int,
        sop_instance_uid: str,
        sop_class_uid: str = "",
    ) -> None:
        """Ask for an instance to be deleted (PS3.7 §10.3.6.1)."""
        request = NDeleteRequest(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid or context.abstract_syntax,
            requested_sop_instance_uid=sop_instance_uid,
        )
        self.send_message(context, request)
