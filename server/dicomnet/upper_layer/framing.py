"""The byte stream of a connection, cut into PDUs and PDVs as it comes (PS3.8 §9.3, §9.3.5.1).

P-DATA-TF is passed through, never collected: what a peer claims about its length costs nothing. All other
PDUs are small, checked against their limit before a byte is kept, and collected whole.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from dicomnet.errors import LocalProtocolError
from dicomnet.upper_layer.pdu import (
    PDU_HEADER_LENGTH,
    PDV_HEADER_LENGTH,
    Pdu,
    PduType,
    PresentationDataValue,
)
from dicomnet.upper_layer.reader import check_pdu_length, check_pdu_type, read_pdu, read_pdv_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomnet.limits import Limits

__all__ = ["PduFramer"]

_PDU_HEADER: Final = struct.Struct(">BxI")
_DATA_TF: Final = PduType.DATA_TF.value
_Buffer = bytearray | memoryview


class PduFramer:
    """Cuts what one peer sends, in pieces of any size, into PDUs and the fragments of its P-DATA-TFs."""

    __slots__ = (
        "_body_type",
        "_context_id",
        "_fragment_left",
        "_is_command",
        "_is_last",
        "_is_usable",
        "_limits",
        "_p_data_left",
        "_partial",
        "_wanted",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._is_usable = True
        # The unit being collected (PDU header, PDV header or a small PDU's body) and its length in bytes.
        self._partial = bytearray()
        self._wanted = PDU_HEADER_LENGTH
        # Type of the small PDU whose body is being collected; 0 is no PDU's type.
        self._body_type = 0
        # Bytes to come of the P-DATA-TF behind the current fragment, and of the fragment itself.
        self._p_data_left = 0
        self._fragment_left = 0
        self._context_id = 0
        self._is_command = False
        self._is_last = False

    @property
    def is_between_pdus(self) -> bool:
        """Whether all that was received so far is whole PDUs; an end of the stream loses nothing then."""
        return not (self._partial or self._body_type or self._p_data_left or self._fragment_left)

    def receive(self, data: bytes | bytearray | memoryview) -> Iterator[Pdu | PresentationDataValue]:
        """Take all of `data` and give what it completes, in the order sent.

        A P-DATA-TF comes as PDVs whose data are views of `data`, valid until its owner reuses it. A PDV that
        is split over several calls comes in several pieces, and only the last one is marked as last; a PDV
        without data comes as one empty piece. The iterator has to be run to its end before the next call.
        Raises `RemoteProtocolError` while iterating, as `read_pdu` does; after that, or when an iterator was
        left early, the place in the stream is lost and every further call raises `LocalProtocolError`.
        """
        if not self._is_usable:
            raise LocalProtocolError("the place in the peer's byte stream is lost; nothing more can be read")
        self._is_usable = False
        return self._cut(memoryview(data))

    def _cut(self, view: memoryview) -> Iterator[Pdu | PresentationDataValue]:
        position, end = 0, len(view)
        while position < end:
            start = position
            if self._fragment_left:
                position = min(end, start + self._fragment_left)
                yield self._piece(view[start:position])
                continue
            unit: _Buffer = view
            if not self._partial and end - start >= self._wanted:
                position += self._wanted
            else:
                position = min(end, start + self._wanted - len(self._partial))
                self._partial += view[start:position]
                if not self._is_collected():
                    break
                unit, start = self._partial, 0
                self._partial = bytearray()
            if self._p_data_left:
                self._begin_fragment(unit, start)
                if not self._fragment_left:
                    yield self._piece(view[:0])
            elif self._body_type:
                yield self._end_body(unit, start)
            else:
                self._begin_pdu(unit, start)
        self._is_usable = True

    def _is_collected(self) -> bool:
        if not self._body_type and not self._p_data_left:
            # Garbage need not go on for six bytes to be recognized.
            check_pdu_type(self._partial[0])
        return len(self._partial) == self._wanted

    def _begin_pdu(self, unit: _Buffer, start: int) -> None:
        pdu_type, length = _PDU_HEADER.unpack_from(unit, start)
        check_pdu_length(pdu_type, length, self._limits)
        if pdu_type == _DATA_TF:
            self._p_data_left = length
        else:
            self._body_type = pdu_type
            self._wanted = length

    def _end_body(self, unit: _Buffer, start: int) -> Pdu:
        body = memoryview(unit)[start : start + self._wanted]
        pdu = read_pdu(self._body_type, body, self._limits)
        self._body_type = 0
        self._wanted = PDU_HEADER_LENGTH
        return pdu

    def _begin_fragment(self, unit: _Buffer, start: int) -> None:
        length, self._context_id, control = read_pdv_header(unit, start, self._p_data_left)
        self._is_command = control & 1 != 0
        self._is_last = control & 2 != 0
        self._p_data_left -= PDV_HEADER_LENGTH + length
        self._fragment_left = length

    def _piece(self, data: memoryview) -> PresentationDataValue:
        self._fragment_left -= len(data)
        return PresentationDataValue(
            context_id=self._context_id,
            is_command=self._is_command,
            is_last=self._is_last and not self._fragment_left,
            data=data,
        )
