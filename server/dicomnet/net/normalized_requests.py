"""The `n_*` helpers of a DicomNet: an N-service's request and its response as one call (PS3.7 §10.1)."""

from __future__ import annotations

from dicomnet.dimse.fragments import Dataset
from dicomnet.dimse.messages import (
    NActionResponse,
    NCreateResponse,
    NDeleteResponse,
    NEventReportResponse,
    NGetResponse,
    NSetResponse,
)
from dicomnet.net.invocation import Requests, SomeResponse
from dicomnet.upper_layer.negotiation import PresentationContext

__all__ = ["NormalizedRequests"]


class NormalizedRequests(Requests):
    """Each returns the response, matched by its message ID, and its data set or None.

    They raise as the `c_*` helpers do, and DatasetTooLong for a data set past the limit of an identifier.
    """

    def n_event_report(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        event_type_id: int,
        dataset: Dataset | None = None,
        *,
        sop_class_uid: str = "",
    ) -> tuple[NEventReportResponse, bytes | None]:
        """Report an event, as the SCP of the SOP class (PS3.7 §10.1.1)."""
        message_id = self.next_message_id()
        self.send_n_report_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            event_type_id=event_type_id,
            dataset=dataset,
            sop_class_uid=sop_class_uid,
        )
        return self._await_whole(message_id, NEventReportResponse)

    def n_get(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        attribute_identifier_list: tuple[int, ...] = (),
        *,
        sop_class_uid: str = "",
    ) -> tuple[NGetResponse, bytes | None]:
        """Get attributes by their tags, all without any (PS3.7 §10.1.2)."""
        message_id = self.next_message_id()
        self.send_n_get_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            attribute_identifier_list=attribute_identifier_list,
            sop_class_uid=sop_class_uid,
        )
        return self._await_whole(message_id, NGetResponse)

    def n_set(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        dataset: Dataset,
        *,
        sop_class_uid: str = "",
    ) -> tuple[NSetResponse, bytes | None]:
        """Change attributes to those of `dataset` (PS3.7 §10.1.3)."""
        message_id = self.next_message_id()
        self.send_n_set_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            dataset=dataset,
            sop_class_uid=sop_class_uid,
        )
        return self._await_whole(message_id, NSetResponse)

    def n_action(
        self,
        context: PresentationContext,
        sop_instance_uid: str,
        action_type_id: int,
        dataset: Dataset | None = None,
        *,
        sop_class_uid: str = "",
    ) -> tuple[NActionResponse, bytes | None]:
        """Have an action done on an instance (PS3.7 §10.1.4)."""
        message_id = self.next_message_id()
        self.send_n_action_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            action_type_id=action_type_id,
            dataset=dataset,
            sop_class_uid=sop_class_uid,
        )
        return self._await_whole(message_id, NActionResponse)

    def n_create(
        self,
        context: PresentationContext,
        sop_instance_uid: str = "",
        dataset: Dataset | None = None,
        *,
        sop_class_uid: str = "",
    ) -> tuple[NCreateResponse, bytes | None]:
        """Have an instance made; the response names it (PS3.7 §10.1.5)."""
        message_id = self.next_message_id()
        self.send_n_create_request(
            context,
            message_id=message_id,
            sop_instance_uid=sop_instance_uid,
            dataset=dataset,
            sop_class_uid=sop_class_uid,
        )
        return self._await_whole(message_id, NCreateResponse)

    def n_delete(
        self, context: PresentationContext, sop_instance_uid: str, *, sop_class_uid: str = ""
    ) -> NDeleteResponse:
        """Have an instance deleted (PS3.7 §10.1.6)."""
        message_id = self.next_message_id()
        self.send_n_delete_request(
            context, message_id=message_id, sop_instance_uid=sop_instance_uid, sop_class_uid=sop_class_uid
        )
        response, _ = self._await(NDeleteResponse, message_id)
        return response

    def _await_whole(
        self, message_id: int, response_type: type[SomeResponse]
    ) -> tuple[SomeResponse, bytes | None]:
        response, dataset = self._await(response_type, message_id)
        limit = self.configuration.limits.identifier_length
        return response, dataset.read(limit) if dataset else None
