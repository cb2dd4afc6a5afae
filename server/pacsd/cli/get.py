"""`pacsd get`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacsd.cli.find import Keys
from pacsd.cli.peer import Call, Connection, calls_a_peer
from pacsd.cli.retrieve import RetrieveLevel, RetrieveModel, counted, following, note_failed, selection
from pacsd.cli.terminal import note, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pacsd.dataset.identifier import Element
    from pacsd.model import QueryLevel, QueryModel
    from pacsd.scu.outgoing import AbstractAndTransferSyntaxes
    from pacsd.scu.receiving import ReceivingNet
    from pacsd.scu.retrieving import Retrieved

__all__ = ["get"]

MEGABYTE = 1_000_000


@calls_a_peer
def get(
    *,
    connection: Connection,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            file_okay=False,
            help="Where the files go; made if it isn't there.",
        ),
    ],
    key: Keys = [],  # noqa: B006 - typer reads it and never changes it
    level: RetrieveLevel = None,
    model: RetrieveModel = None,
) -> None:
    """Fetch what the unique keys select (C-GET) into DIR/<SOPInstanceUID>.dcm; exit status 1 if any of it failed.

    A C-FIND comes first, from which follows what to propose: so instances come in the transfer syntax they are stored
    in. A peer without C-FIND is offered the usual SOP classes, uncompressed.
    """
    # Here and not above: no other command should have to wait for it.
    from pacsd.query.information_models import INFORMATION_MODELS  # noqa: PLC0415
    from pacsd.scu.association import association  # noqa: PLC0415
    from pacsd.scu.querying import query_proposals  # noqa: PLC0415
    from pacsd.scu.receiving import ReceivingNet  # noqa: PLC0415
    from pacsd.scu.retrieving import get as get_on  # noqa: PLC0415

    call = connection.call()
    query_model, query_level, keys = selection(key, model, level)
    _make(output)
    storage = _storage_proposals(call, query_model, query_level, keys)
    with (
        association(
            ReceivingNet(call.configuration, output, source_ae_title=call.peer.ae_title),
            call.peer,
            [*query_proposals(INFORMATION_MODELS[query_model].get), *storage],
            calling_ae_title=call.calling_ae_title,
            as_scp_of=[sop_class_uid for sop_class_uid, _ in storage],
        ) as net,
        following() as follow,
    ):
        retrieved = get_on(net, query_model, query_level, keys, on_pending=follow)
    _finish(net, retrieved, output)


def _make(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot make {output}: {error.strerror}") from error


def _storage_proposals(
    call: Call, model: QueryModel, level: QueryLevel, keys: Sequence[Element]
) -> list[AbstractAndTransferSyntaxes]:
    from dicomnet import DicomNet, DicomNetError  # noqa: PLC0415
    from pacsd.errors import IdentifierInvalid  # noqa: PLC0415
    from pacsd.query.information_models import INFORMATION_MODELS  # noqa: PLC0415
    from pacsd.scp.sop_classes import STORAGE_SOP_CLASSES  # noqa: PLC0415
    from pacsd.scu.association import association  # noqa: PLC0415
    from pacsd.scu.querying import query_proposals  # noqa: PLC0415
    from pacsd.scu.receivable import (  # noqa: PLC0415
        proposals_for,
        proposals_without_inventory,
        take_inventory,
    )
    from pacsd.scu.verdicts import RequestFailed  # noqa: PLC0415

    proposals: list[AbstractAndTransferSyntaxes] = []
    with association(
        DicomNet(call.configuration),
        call.peer,
        query_proposals(INFORMATION_MODELS[model].find),
        calling_ae_title=call.calling_ae_title,
    ) as net:
        try:
            proposals = proposals_for(take_inventory(net, model, level, keys))
        except (DicomNetError, RequestFailed, IdentifierInvalid) as error:
            note(f"no C-FIND before the C-GET: {error}")
    return proposals or proposals_without_inventory(STORAGE_SOP_CLASSES)


def _finish(net: ReceivingNet, retrieved: Retrieved, output: Path) -> None:
    note_failed(retrieved)
    for reason, number in Counter(reason for _, reason in net.refused).items():
        note(f"not kept: {reason}: {number} instances")
    acknowledged = (retrieved.counts.completed or 0) + (retrieved.counts.warning or 0)
    said = counted(retrieved.counts)
    say(f"C-GET: {retrieved.verdict}" + (f": {said}" if said else ""))
    say(f"{net.kept} instances ({net.bytes_kept / MEGABYTE:.1f} MB) in {output}")
    if acknowledged > net.kept:
        note(f"the peer counts {acknowledged} as sent, but {net.kept} have come")
    if not retrieved.is_complete or net.refused or acknowledged > net.kept:
        raise typer.Exit(1)
