"""Answers that handlers put off, so that several operations of one association can be finished together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from dicomnet.dimse.messages import Request
from dicomnet.errors import AssociationEnded, LocalProtocolError
from dicomnet.net.upper_layer_service import UpperLayerService

__all__ = ["PostponedAnswers"]

_LOG: Final = logging.getLogger("dicomnet")


class PostponedAnswers:
    """Answers of one association that are still to be given, in the order of their requests."""

    def __init__(self, upper_layer: UpperLayerService) -> None:
        self._upper_layer = upper_layer
        self._answers: list[Callable[[], None]] = []
        self._kind: type[Request] | None = None

    def __len__(self) -> int:
        return len(self._answers)

    def add(self, request: Request, answer: Callable[[], None]) -> None:
        """Put off the answer to a request, at most until the peer is waited for; all that wait are of one kind."""
        self._kind = type(request)
        self._answers.append(answer)
        self._upper_layer.open_channel().before_waiting = self.give

    def must_precede(self, request: Request) -> bool:
        """Say whether those that wait are to be given first, as a request of another kind may take long."""
        return bool(self._answers) and type(request) is not self._kind

    def give(self) -> None:
        """Give all of them in one write, each exactly once; then raise the first thing that went wrong with one."""
        if not self._answers:
            return
        upper_layer = self._upper_layer
        channel = upper_layer.open_channel()
        channel.before_waiting = None
        # The next data set may be under way, and its request is served after these answers.
        outer, upper_layer.spares_dataset = upper_layer.spares_dataset, True
        try:
            with channel.gathering():
                self._give_each()
        finally:
            upper_layer.spares_dataset = outer

    def _give_each(self) -> None:
        answers, self._answers = self._answers, []
        failure: Exception | None = None
        for answer in answers:
            try:
                answer()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def finish(self) -> None:
        """Finish what was received whole on an association that has ended, though nobody will hear of it."""
        try:
            self.give()
        except (AssociationEnded, LocalProtocolError) as error:
            _LOG.debug("operations were finished without an answer: %s", error)
        except Exception:
            _LOG.exception("an operation failed unexpectedly, behind the end of its association")
