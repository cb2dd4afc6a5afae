"""`pacsd move`."""

from __future__ import annotations

from typing import Annotated

import typer

from pacsd.cli.find import Keys
from pacsd.cli.peer import Connection, ae_title, calls_a_peer
from pacsd.cli.retrieve import RetrieveLevel, RetrieveModel, counted, following, note_failed, selection
from pacsd.cli.terminal import say

__all__ = ["move"]


@calls_a_peer
def move(
    *,
    connection: Connection,
    destination: Annotated[
        str,
        typer.Option(
            "--destination",
            metavar="AE",
            callback=ae_title,
            help="Whom the peer shall send to; it must know it.",
        ),
    ],
    key: Keys = [],  # noqa: B006 - typer reads it and never changes it
    level: RetrieveLevel = None,
    model: RetrieveModel = None,
) -> None:
    """Have a peer send what the unique keys select to a third (C-MOVE); exit status 1 if any of it failed."""
    # Here and not above: no other command should have to wait for it.
    from dicomnet import DicomNet  # noqa: PLC0415
    from pacsd.query.information_models import INFORMATION_MODELS  # noqa: PLC0415
    from pacsd.scu.association import association  # noqa: PLC0415
    from pacsd.scu.querying import query_proposals  # noqa: PLC0415
    from pacsd.scu.retrieving import move as move_to  # noqa: PLC0415

    call = connection.call()
    query_model, query_level, keys = selection(key, model, level)
    with (
        association(
            DicomNet(call.configuration),
            call.peer,
            query_proposals(INFORMATION_MODELS[query_model].move),
            calling_ae_title=call.calling_ae_title,
        ) as net,
        following() as follow,
    ):
        retrieved = move_to(net, query_model, query_level, keys, destination=destination, on_pending=follow)
    note_failed(retrieved)
    said = counted(retrieved.counts)
    say(f"C-MOVE: {retrieved.verdict}" + (f": {said}" if said else ""))
    if not retrieved.is_complete:
        raise typer.Exit(1)
