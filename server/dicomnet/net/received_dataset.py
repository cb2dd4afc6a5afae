"""The data set behind a message, handed on as it comes off the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dicomnet.dimse.events import DatasetFragment
from dicomnet.errors import DatasetTooLong

__all__ = ["ReceivedDataset"]


class ReceivedDataset:
    """An iterable of the fragments of one data set; to be gone through once.

    Each fragment is valid until the next is asked for: to keep one, or to send it on, copy it (`bytes(fragment)`).
    What nobody reads is read and dropped by the DicomNet before anything is sent. Reading raises AssociationEnded
    where the peer vanishes, aborts or falls silent.
    """

    def __init__(self, next_fragment: Callable[[], DatasetFragment], transfer_syntax: str) -> None:
        self._next_fragment = next_fragment
        self.transfer_syntax = transfer_syntax
        """UID of the transfer syntax that the data set is encoded in."""
        self.is_complete = False
        """The last fragment has been taken."""

    @classmethod
    def of(cls, data: bytes, transfer_syntax: str) -> ReceivedDataset:
        """Return a data set that is here already; empty stands for one that should have come and did not."""
        return cls(lambda: DatasetFragment(data, is_last=True), transfer_syntax)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        while not self.is_complete:
            fragment = self._next_fragment()
            self.is_complete = fragment.is_last
            if fragment.data:
                yield fragment.data

    def read(self, limit: int) -> bytes:
        """Return the whole data set; raises DatasetTooLong past `limit` bytes, with the rest unread."""
        collected = bytearray()
        for fragment in self:
            if len(collected) + len(fragment) > limit:
                raise DatasetTooLong(
                    f"a data set of more than {limit} bytes where an identifier was expected"
                )
            collected += fragment
        return bytes(collected)

    def drain(self) -> None:
        """Read and drop what is left."""
        for _ in self:
            pass
