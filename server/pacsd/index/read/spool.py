"""A query's rows on their way to a peer that takes them slowly: in a file without a name, and no cursor stays open."""

from __future__ import annotations

import marshal
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Final

from pacsd.errors import IndexUnavailable, OperationTooCostly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Spool", "Spools"]

_IN_MEMORY: Final = 1 << 18


class Spools:
    """The room that all queries of a process share."""

    def __init__(self, folder: Path | None, most: int) -> None:
        """`folder` is where the files are, None for the system's; `most` is in bytes, of all together."""
        self.folder: Final = folder
        self._most: Final = most
        self._lock: Final = threading.Lock()
        self.taken = 0

    def take(self, count: int) -> None:
        """Take room; raises OperationTooCostly where there is none left."""
        with self._lock:
            if self.taken + count > self._most:
                raise OperationTooCostly("too many matches wait to be taken by peers; ask for less, or later")
            self.taken += count

    def give_back(self, count: int) -> None:
        """Give room back."""
        with self._lock:
            self.taken -= count


class Spool:
    """One query's rows, which are added by pages and then read once; to be closed."""

    def __init__(self, spools: Spools) -> None:
        self._spools = spools
        folder = None if spools.folder is None else str(spools.folder)
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=folder)  # noqa: SIM115
        self._taken = 0

    def close(self) -> None:
        """Give back what it holds. May be called again."""
        self._file.close()
        self._spools.give_back(self._taken)
        self._taken = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add a page; raises OperationTooCostly, and IndexUnavailable where the disk is full or fails."""
        if not rows:
            return
        data = marshal.dumps(list(map(tuple, rows)))
        self._spools.take(len(data))
        self._taken += len(data)
        self._do(lambda: self._file.write(data))

    def pages(self) -> Iterator[Sequence[Sequence[Any]]]:
        """Read the pages; raises as `add` does."""
        end = self._do(self._file.tell)
        self._do(lambda: self._file.seek(0))
        while self._do(self._file.tell) < end:
            yield self._do(lambda: marshal.load(self._file))  # noqa: S302 - we wrote it, and nobody else can

    def _do(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except OSError as error:
            raise IndexUnavailable(f"matches cannot be put aside: {error.strerror}") from error
