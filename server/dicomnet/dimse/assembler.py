"""From PDVs to messages: command sets are assembled, data sets are passed through in pieces (PS3.8 Annex E)."""

from __future__ import annotations

from collections.abc import Mapping

from dicomnet.dimse.command_set import read_command_set
from dicomnet.dimse.events import DatasetFragment, MessageReceived
from dicomnet.dimse.messages import read_message
from dicomnet.errors import RemoteProtocolError
from dicomnet.limits import Limits
from dicomnet.upper_layer.negotiation import PresentationContext
from dicomnet.upper_layer.pdu import AbortReason, PresentationDataValue

__all__ = ["MessageAssembler"]


class MessageAssembler:
    """Puts the PDVs of one association together; only the command set, small and bounded, is held here."""

    def __init__(self, contexts: Mapping[int, PresentationContext], limits: Limits) -> None:
        self._contexts = contexts
        self._limits = limits
        self._command = bytearray()
        self._context_id: int | None = None
        """Of the message under way; None between two messages."""
        self._in_dataset = False
        self._empty_fragments = 0

    def receive(self, value: PresentationDataValue) -> MessageReceived | DatasetFragment | None:
        """Take one PDV or piece of one, in order; return what became whole by it.

        Raises RemoteProtocolError for a context that was not accepted, for a fragment of another message in
        between, for a data set where none was announced, and past the limits.
        """
        if value.context_id != self._context_id:
            self._begin(value)
        if not value.data:
            self._count_empty_fragment()
        if self._in_dataset:
            return self._receive_dataset(value)
        return self._receive_command(value)

    def _begin(self, value: PresentationDataValue) -> None:
        if self._context_id is not None:
            raise _unexpected(
                f"a fragment on context {value.context_id} inside a message on context {self._context_id}"
            )
        if value.context_id not in self._contexts:
            raise RemoteProtocolError(
                f"data on presentation context {value.context_id}, which was not accepted",
                reason=AbortReason.INVALID_PDU_PARAMETER_VALUE,
            )
        self._context_id = value.context_id

    def _receive_dataset(self, value: PresentationDataValue) -> DatasetFragment:
        if value.is_command:
            raise _unexpected("a command fragment inside a data set")
        if value.is_last:
            self._end()
        return DatasetFragment(value.data, value.is_last)

    def _receive_command(self, value: PresentationDataValue) -> MessageReceived | None:
        if not value.is_command:
            raise _unexpected("a data set fragment without a command before it")
        longest = self._limits.command_set_length
        if len(self._command) + len(value.data) > longest:
            raise RemoteProtocolError(
                f"a command set of more than {longest} bytes", reason=AbortReason.INVALID_PDU_PARAMETER_VALUE
            )
        self._command += value.data
        if not value.is_last:
            return None
        message, has_dataset = read_message(read_command_set(bytes(self._command)))
        self._command.clear()
        context = self._contexts[value.context_id]
        if has_dataset:
            self._in_dataset = True
        else:
            self._end()
        return MessageReceived(context, message, has_dataset)

    def _end(self) -> None:
        self._context_id = None
        self._in_dataset = False
        self._empty_fragments = 0

    def _count_empty_fragment(self) -> None:
        self._empty_fragments += 1
        if self._empty_fragments > self._limits.empty_fragments:
            raise RemoteProtocolError(
                f"more than {self._limits.empty_fragments} empty fragments in one message",
                reason=AbortReason.INVALID_PDU_PARAMETER_VALUE,
            )


def _unexpected(message: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, reason=AbortReason.UNEXPECTED_PDU_PARAMETER)
