"""What arrives on an association, one message at a time (PS3.7 §6.3, §8.1)."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnet.dimse.messages import Message
from dicomnet.upper_layer.negotiation import PresentationContext

__all__ = ["DatasetFragment", "MessageReceived"]


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole command set; where `has_dataset`, its `DatasetFragment`s follow, with nothing in between."""

    context: PresentationContext
    message: Message
    has_dataset: bool


@dataclass(slots=True)
class DatasetFragment:
    """A piece of the data set that belongs to the message before it, as it came.

    `data` may be a view of the receive buffer: it is gone with the next read. It may be empty.
    """

    data: bytes | memoryview
    is_last: bool
