"""Attempts to write or read: again after a pause, until a deadline; and whether one of them may have been taken.

A COMMIT that was sent and not answered may still take effect, whatever becomes of the attempts after it. Only one of
them that succeeds is the database's answer: it had to wait for the rows of those before.
"""

from __future__ import annotations

import math
import random
import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from pacsd.effort import LOOKS
from pacsd.index.database.engines import COMMIT_WARNINGS
from pacsd.index.database.failures import (
    OvertakenError,
    UnconfirmedError,
    is_passing,
    is_temporary,
    is_without_leader,
    refuses_commit,
    unavailable,
)
from pacsd.index.database.overtime import Overtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping
    from contextlib import AbstractContextManager

    from pacsd.errors import IndexUnavailable
    from pacsd.index.database.engines import CommitWarnings

__all__ = ["Attempts", "Patience"]

_AT_ONCE: Final = 10
"""Conflicts with other writers that are not paused after: each attempt sees what overtook the one before."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_WHILE_AWAY: Final = 1.0
"""Seconds for a commit that comes when the database has been away for longer than the deadline already."""
_LEAST: Final = 3.0
"""Seconds that an attempt may take in any case, as with a database that has just started."""


class Patience:
    """How long commits, or queries, are tried; one for all writers of a process, and one for all readers.

    The time counts from when a commit begins; but if the database has been away already, from when it went: who
    comes last must not wait longest.
    """

    def __init__(
        self,
        timeout: float,
        *,
        observe_attempt: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout` is in seconds; `observe_attempt` is told of each attempt but a commit's first."""
        self._observe_attempt: Final = observe_attempt
        self._timeout: Final = timeout
        self._clock: Final = clock
        self._away_since: float | None = None
        self._ends: float = math.inf
        self._changed: Final = threading.Condition()
        self._overtime: Final = Overtime()

    def begin(self, look: Callable[[], None] | None = None) -> Attempts:
        """A commit's attempts, to begin now; or a query's, which `look` may end by what it raises in a pause."""
        now, away_since = self._clock(), self._away_since
        deadline = now + self._timeout
        if away_since is not None:
            deadline = max(away_since + self._timeout, now + min(self._timeout, _WHILE_AWAY))
        return Attempts(self, deadline, look)

    def end_within(self, seconds: float) -> None:
        """Let no commit be tried for longer than that from now on, whether it has begun or not."""
        with self._changed:
            self._ends = self._clock() + seconds
            self._changed.notify_all()
        self._overtime.end_by(self._ends)

    def limiting(self, connection: Any, deadline: float) -> AbstractContextManager[None]:
        """Let what a connection to PostgreSQL does in the `with` block take half the time that is left, no longer.

        So that there is time for another attempt, with another leader.
        """
        now = self._clock()
        until = now + max(_LEAST, (deadline - now) / 2)
        return self._overtime.limiting(connection, min(until, self._ends))

    def close(self) -> None:
        """End the thread that there is where something was limited."""
        self._overtime.close()

    def note_away(self) -> None:
        """The database cannot be reached."""
        if self._away_since is None:
            self._away_since = self._clock()

    def note_back(self) -> None:
        """It has been written to."""
        self._away_since = None

    def pause(self, seconds: float, deadline: float, look: Callable[[], None] | None = None) -> bool:
        """Wait that long, at most until the deadline; False at once, without a wait, if that has come.

        `look` is called now and then meanwhile, and may raise what ends the wait.
        """
        until = self._clock() + seconds
        if self._clock() >= min(deadline, self._ends):
            return False
        while True:
            with self._changed:
                left = min(until, deadline, self._ends) - self._clock()
                if left <= 0:
                    break
                self._changed.wait(left if look is None else min(left, LOOKS))
            if look is not None:
                look()  # outside of the lock, as it may wait for the peer
        self._observe_attempt()
        return True


class Attempts:
    """The attempts of one commit or query; what each one did is noted here, by itself and by `go_on_after`."""

    def __init__(self, patience: Patience, deadline: float, look: Callable[[], None] | None = None) -> None:
        self._patience: Final = patience
        self._look: Final = look
        self._deadline: Final = deadline
        self._failures = 0
        self._conflicts = 0
        self._was_sent = False
        self.may_be_written = False
        """A COMMIT was sent and the database has not said what became of it."""

    @property
    def is_first(self) -> bool:
        """Nothing has failed yet."""
        return not (self._failures or self._conflicts)

    def limiting(self, connection: Any) -> AbstractContextManager[None]:
        """Let an attempt on the driver's connection not last forever, where there is a way to end it."""
        if not hasattr(connection, "cancel_safe"):
            return nullcontext()
        return self._patience.limiting(connection, self._deadline)

    @contextmanager
    def committing(self, info: MutableMapping[Any, Any]) -> Iterator[None]:
        """Send a COMMIT in the `with` block; `info` is the pooled connection's.

        Raises UnconfirmedError where the database has committed with a warning.
        """
        warnings: CommitWarnings | None = info.get(COMMIT_WARNINGS)
        if warnings is not None:
            warnings.have_come = False
        self._was_sent = True
        try:
            yield
        except BaseException as error:
            if not refuses_commit(error):
                self.may_be_written = True
            raise
        if warnings is not None and warnings.have_come:
            self.may_be_written = True
            raise UnconfirmedError

    def go_on_after(self, error: Exception) -> bool:
        """Pause as the failure calls for; False, at once, where no other attempt is to be made."""
        if isinstance(error, OvertakenError) or is_passing(getattr(error, "orig", None)):
            self._conflicts += 1
            pauses = self._conflicts - _AT_ONCE
        elif isinstance(error, UnconfirmedError) or is_temporary(error):
            self._failures += 1
            pauses = self._failures
            if is_without_leader(error):
                self._patience.note_away()
        else:
            return False
        return self._patience.pause(_pause(pauses), self._deadline, self._look)

    def succeeded(self) -> None:
        """The database has answered: what this attempt found or wrote is what there is."""
        self._patience.note_back()

    def failure(self, error: Exception) -> IndexUnavailable:
        """What to raise, from the last attempt's error."""
        return unavailable("written", error, may_be_written=self.may_be_written, was_reached=self._was_sent)


def _pause(number: int) -> float:
    """Seconds; the first is number 1, and no two processes come again at the same moment."""
    if number < 1:
        return 0.0
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(number - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  no secret
