"""The raw hooks `on_send` and `on_receive`: PDUs as they pass; nothing of it runs where nobody overrides them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from dicomnet.dimse.fragments import Buffer
from dicomnet.errors import DatasetTooLong
from dicomnet.net.callbacks import Callbacks
from dicomnet.upper_layer.pdu import PDU_HEADER_LENGTH

__all__ = ["Observation"]

_LENGTH_FIELD: Final = slice(2, PDU_HEADER_LENGTH)


class Observation:
    """Finds the PDUs in what one connection writes and reads, and calls the hooks that are overridden."""

    def __init__(self, net: Callbacks, longest: int) -> None:
        """`longest` PDU to hold, bytes: of longer ones only their type is told."""
        self._net = net
        self._longest = longest
        self._held = bytearray()
        self._left_to_skip = 0
        self._sees_sent = type(net).on_send is not Callbacks.on_send
        self._sees_received = type(net).on_receive is not Callbacks.on_receive

    @classmethod
    def of(cls, net: Callbacks, longest: int) -> Observation | None:
        """Return the observation of a net's connection; None where its hooks are not overridden."""
        observation = cls(net, longest)
        return observation if observation._sees_sent or observation._sees_received else None

    def sent(self, buffers: Sequence[Buffer], error: Exception | None) -> None:
        """Tell of whole PDUs that were written, or with `error` were not, or not wholly."""
        if self._sees_sent:
            for pdu_type, length in _pdus_in(buffers):
                self._net.on_send(error, pdu_type, 0 if error else length)

    def received(self, data: memoryview) -> None:
        """Tell of the PDUs that end in `data`; keep the beginning of the next."""
        if not self._sees_received:
            return
        skipped = min(self._left_to_skip, len(data))
        self._left_to_skip -= skipped
        self._held += data[skipped:]
        while len(self._held) >= PDU_HEADER_LENGTH:
            length = PDU_HEADER_LENGTH + int.from_bytes(self._held[_LENGTH_FIELD], "big")
            if length > self._longest:
                self._skip(length)
            elif len(self._held) < length:
                return
            else:
                pdu = bytes(self._held[:length])
                del self._held[:length]
                self._net.on_receive(None, pdu[0], pdu)

    def _skip(self, length: int) -> None:
        pdu_type = self._held[0]
        self._left_to_skip = max(0, length - len(self._held))
        del self._held[:length]
        error = DatasetTooLong(f"a PDU of {length} bytes, {self._longest} are the most to be held")
        self._net.on_receive(error, pdu_type, b"")


def _pdus_in(buffers: Sequence[Buffer]) -> Iterator[tuple[int, int]]:
    """Yield type and length of each PDU, headers included; no PDU header is spread over two buffers."""
    position = 0
    for buffer in buffers:
        while position < len(buffer):
            length = PDU_HEADER_LENGTH + int.from_bytes(
                buffer[position + 2 : position + PDU_HEADER_LENGTH], "big"
            )
            yield buffer[position], length
            position += length
        position -= len(buffer)
