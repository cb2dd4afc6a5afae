"""Waiting for a fact, with a deadline instead of a sleep."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_INTERVAL = 0.02
"""Seconds between two looks at something that cannot notify us, such as another process."""


class DeadlineExceededError(AssertionError):
    """What was waited for did not come true in time."""


def wait_until(condition: Callable[[], bool], *, within: float, what: str) -> None:
    """Return as soon as `condition()` holds; after `within` seconds, DeadlineExceededError names `what`."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise DeadlineExceededError(f"{what}: not within {within:g} s")
        pause.wait(POLL_INTERVAL)
