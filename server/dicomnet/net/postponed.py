"""Answers that handlers put off, so that several operations of one association can be finished together."""

from __future__ import annotations

from collections.abc import Callable

from dicomnet.dimse.messages import Request

__all__ = ["PostponedAnswers"]


class PostponedAnswers:
    """Answers of one association that are still to be given, in the order of their requests."""

    def __init__(self) -> None:
        self._answers: list[Callable[[], None]] = []
        self._kind: type[Request] | None = None

    def __len__(self) -> int:
        return len(self._answers)

    def add(self, request: Request, answer: Callable[[], None]) -> None:
        """Put off the answer to a request; all that wait are of one kind."""
        self._kind = type(request)
        self._answers.append(answer)

    def must_precede(self, request: Request) -> bool:
        """Say whether those that wait are to be given first, as a request of another kind may take long."""
        return bool(self._answers) and type(request) is not self._kind

    def give(self) -> None:
        """Give all of them, each exactly once; then raise the first thing that went wrong with one."""
        answers, self._answers = self._answers, []
        failure: Exception | None = None
        for answer in answers:
            try:
                answer()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure
