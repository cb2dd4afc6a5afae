"""A way around a race in pynetdicom 3.0, which otherwise loses a response now and then.

Each `send_c_*` stops the association's own thread, the reactor, so as to read the response itself, and takes the flag
`_is_paused` for its word. But the flag may be left from the previous operation, when the reactor has been told to
go on and has not come to it yet; then it goes on after the request was sent and swallows the response
("Received unexpected C-FIND service message").
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from pynetdicom.association import Association

from support.deadline import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS = ("send_c_echo", "send_c_store", "send_c_find", "send_c_get", "send_c_move")


def mend() -> None:
    """Make each operation wait until the reactor has gone on after the one before."""
    for name in OPERATIONS:
        setattr(Association, name, _after_the_reactor_went_on(getattr(Association, name)))


def _after_the_reactor_went_on(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    def begin(association: Association, *args: Any, **kwargs: Any) -> Any:
        if association.is_requestor:  # an acceptor sends from its reactor
            wait_until(lambda: not association._is_paused, within=10, what="pynetdicom's reactor goes on")
        return operation(association, *args, **kwargs)

    return begin
