"""What the engine holds once for the whole process, counted by those who use it."""

from __future__ import annotations

import threading
from typing import Final

from dicomnet.errors import LocalProtocolError
from dicomnet.net.transport import free_buffers

__all__ = ["USES"]


class _Uses:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def begin(self) -> None:
        """Count one more."""
        with self._lock:
            self._count += 1

    def end(self) -> None:
        """Count one less; the last frees the memory kept for connections to come. Raises LocalProtocolError."""
        with self._lock:
            if not self._count:
                raise LocalProtocolError("shutdown without a startup before it")
            self._count -= 1
            is_last = not self._count
        if is_last:
            free_buffers()


USES: Final = _Uses()
