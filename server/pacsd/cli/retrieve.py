"""What `pacsd get` and `pacsd move` share: their keys, their progress and their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from pacsd.cli.find import Level, Model, read_keys
from pacsd.cli.terminal import note, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pacsd.dataset.identifier import Element
    from pacsd.model import QueryLevel, QueryModel
    from pacsd.scu.retrieving import Counts, Retrieved

__all__ = ["RetrieveLevel", "RetrieveModel", "counted", "following", "note_failed", "selection"]

FAILED_SHOWN = 10

RetrieveLevel = Annotated[
    Level | None,
    typer.Option("--level", help="Without it that of the lowest unique key given.", case_sensitive=False),
]
RetrieveModel = Annotated[
    Model | None,
    typer.Option(
        "--model", help="Without it patient if PatientID is a key, else study.", case_sensitive=False
    ),
]


def selection(
    texts: Sequence[str], model: Model | None, level: Level | None
) -> tuple[QueryModel, QueryLevel, list[Element]]:
    """Return what is to be retrieved; raises typer.BadParameter."""
    from pacsd.errors import IdentifierInvalid  # noqa: PLC0415
    from pacsd.model import QueryLevel, QueryModel  # noqa: PLC0415
    from pacsd.scu.keys import retrieve_keys  # noqa: PLC0415

    models = {Model.PATIENT: QueryModel.PATIENT_ROOT, Model.STUDY: QueryModel.STUDY_ROOT}
    if model is Model.STUDY and level is Level.PATIENT:
        raise typer.BadParameter("the study model has no level PATIENT")
    try:
        return retrieve_keys(
            read_keys(texts),
            model=models[model] if model else None,
            level=QueryLevel(level.value) if level else None,
        )
    except IdentifierInvalid as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def following() -> Iterator[Callable[[Counts], None]]:
    """Show a progress bar; the block tells it of each pending response."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    said = TextColumn("{task.fields[failed]} failed")
    with progress_bar([BarColumn(), MofNCompleteColumn(), said, TimeRemainingColumn()]) as bar:
        task = bar.add_task("", total=None, failed=0)

        def follow(counts: Counts) -> None:
            total = None if counts.remaining is None else counts.remaining + counts.done
            bar.update(task, total=total, completed=counts.done, failed=counts.failed or 0)

        yield follow


def counted(counts: Counts) -> str:
    """Return the counts of a final response in words, those that it states."""
    numbers = {
        "completed": counts.completed,
        "with warnings": counts.warning,
        "failed": counts.failed,
        "not done": counts.remaining,
    }
    return ", ".join(f"{number} {name}" for name, number in numbers.items() if number is not None)


def note_failed(retrieved: Retrieved) -> None:
    """Name the instances that the peer lists as failed, the first of them."""
    uids = retrieved.failed_sop_instance_uids
    for uid in uids[:FAILED_SHOWN]:
        note(f"failed: {uid}")
    if len(uids) > FAILED_SHOWN:
        note(f"failed: {len(uids) - FAILED_SHOWN} more")
