"""What a framer gives, made by hand and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomnet.upper_layer.pdu import Pdu, PresentationDataValue

if TYPE_CHECKING:
    from collections.abc import Iterable

Frame = Pdu | PresentationDataValue


def value(
    data: bytes, *, context_id: int = 1, is_command: bool = False, is_last: bool = True
) -> PresentationDataValue:
    return PresentationDataValue(context_id=context_id, is_command=is_command, is_last=is_last, data=data)


def merged(frames: Iterable[Frame]) -> list[Frame]:
    """Join what belongs to one fragment run, so that only where reads ended is forgotten."""
    result: list[Frame] = []
    for frame in frames:
        before = result[-1] if result else None
        if (
            isinstance(frame, PresentationDataValue)
            and isinstance(before, PresentationDataValue)
            and not before.is_last
            and (before.context_id, before.is_command) == (frame.context_id, frame.is_command)
        ):
            result[-1] = value(
                bytes(before.data) + bytes(frame.data),
                context_id=frame.context_id,
                is_command=frame.is_command,
                is_last=frame.is_last,
            )
        else:
            result.append(frame)
    return result
