"""What the engine holds once for the whole process, counted by those who use it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dicomnet.errors import LocalProtocolError
from dicomnet.net.transport import free_buffers

__all__ = ["Runtime"]


class _Uses:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def begin(self) -> None:
        with self._lock:
            self._count += 1

    def end(self) -> bool:
        """Return whether this was the last one."""
        with self._lock:
            if not self._count:
                raise LocalProtocolError("shutdown without a startup before it")
            self._count -= 1
            return not self._count


_USES: Final = _Uses()


class Runtime:
    """`startup` and `shutdown` of a DicomNet. Connections need neither: what they miss is made when it is used."""

    @classmethod
    def startup(cls) -> None:
        """Begin to use the engine; each call wants one `shutdown`."""
        _USES.begin()

    @classmethod
    def shutdown(cls) -> None:
        """End one use; the last frees the memory kept for connections to come.

        Connections that stand are not harmed. Raises LocalProtocolError without a `startup`.
        """
        if _USES.end():
            free_buffers()

    @classmethod
    @contextmanager
    def runtime(cls) -> Iterator[None]:
        """Put a `startup` and its `shutdown` around a block."""
        cls.startup()
        try:
            yield
        finally:
            cls.shutdown()
