"""`pacsd find`."""

from __future__ import annotations

import json
import sys
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from pacsd.cli.peer import Connection, calls_a_peer
from pacsd.cli.terminal import note, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pacsd.dataset.identifier import Element, Identifier

__all__ = ["Keys", "Level", "Model", "find", "read_keys"]


class Level(Enum):
    """Query/Retrieve Level as it is written on the command line."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


class Model(Enum):
    """Information model as it is written on the command line."""

    PATIENT = "patient"
    STUDY = "study"


Keys = Annotated[
    list[str],
    typer.Option(
        "-k",
        "--key",
        metavar="KEYWORD[=VALUE]",
        help="An attribute to match, or without a value to return; also (gggg,eeee)=VALUE. Several: repeat it.",
    ),
]

USUAL = {
    Level.PATIENT: ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    Level.STUDY: (
        *("PatientName", "PatientID", "StudyDate", "ModalitiesInStudy", "StudyDescription"),
        *("AccessionNumber", "StudyInstanceUID"),
    ),
    Level.SERIES: ("SeriesNumber", "Modality", "SeriesDescription", "SeriesInstanceUID"),
    Level.IMAGE: ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
}


@calls_a_peer
def find(
    *,
    connection: Connection,
    key: Keys = [],  # noqa: B006 - typer reads it and never changes it
    level: Annotated[Level, typer.Option("--level", case_sensitive=False)] = Level.STUDY,
    model: Annotated[
        Model | None,
        typer.Option(
            "--model", help="Without it study, but for level PATIENT patient.", case_sensitive=False
        ),
    ] = None,
    relational: Annotated[
        bool,
        typer.Option(
            "--relational",
            help="Negotiate that the unique keys of the levels above may be missing, or be lists.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: DICOM keyword to value, as text.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Cancel (C-CANCEL) after N matches.")
    ] = None,
) -> None:
    """Query a peer (C-FIND): a table on a terminal, else one tab-separated line a match under a line of keywords.

    Where no key asks for an attribute to return, the level's usual ones are. Several values are joined by a backslash.
    """
    # Here and not above: no other command should have to wait for it.
    from dicomnet import DicomNet  # noqa: PLC0415
    from pacsd.model import QueryLevel, QueryModel  # noqa: PLC0415
    from pacsd.query.information_models import INFORMATION_MODELS  # noqa: PLC0415
    from pacsd.scu.association import association  # noqa: PLC0415
    from pacsd.scu.querying import (  # noqa: PLC0415
        RELATIONAL,
        query_proposals,
        require_relational,
    )
    from pacsd.scu.querying import find as matches_of  # noqa: PLC0415

    if model is None:
        model = Model.PATIENT if level is Level.PATIENT else Model.STUDY
    elif model is Model.STUDY and level is Level.PATIENT:
        raise typer.BadParameter("the study model has no level PATIENT")
    call = connection.call()
    keys = _with_usual(read_keys(key), level)
    query_model = QueryModel.PATIENT_ROOT if model is Model.PATIENT else QueryModel.STUDY_ROOT
    sop_class_uid = INFORMATION_MODELS[query_model].find
    show = _print_json if as_json else _print_table if sys.stdout.isatty() else _print_lines
    with association(
        DicomNet(call.configuration),
        call.peer,
        query_proposals(sop_class_uid),
        calling_ae_title=call.calling_ae_title,
        offered={sop_class_uid: RELATIONAL} if relational else {},
    ) as net:
        if relational:
            require_relational(net, sop_class_uid)
        matches = matches_of(net, query_model, QueryLevel(level.value), keys, limit=limit)
        count = show(matches, [element.keyword for element in keys])
    note(f"{count} matches" if count != 1 else "1 match")


def read_keys(texts: Sequence[str]) -> list[Element]:
    """Return the keys as elements; raises typer.BadParameter."""
    from pacsd.errors import IdentifierInvalid  # noqa: PLC0415
    from pacsd.scu.keys import parse_keys  # noqa: PLC0415

    try:
        return parse_keys(texts)
    except IdentifierInvalid as error:
        raise typer.BadParameter(str(error)) from error


def _with_usual(keys: list[Element], level: Level) -> list[Element]:
    from pacsd.scu.keys import element  # noqa: PLC0415

    if not all(key.value for key in keys):
        return keys
    given = {key.keyword for key in keys}
    return [*keys, *(element(keyword) for keyword in USUAL[level] if keyword not in given)]


def _print_json(matches: Iterator[Identifier], columns: Sequence[str]) -> int:
    """Print everything that came, asked for or not, and return the number of matches."""
    del columns
    count = 0
    for match in matches:
        values = {
            element.keyword or f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X})": element.value
            for element in match.elements
            if element.keyword != "QueryRetrieveLevel"
        }
        # Escaped, it is the same JSON on any terminal and in any locale.
        typer.echo(json.dumps(values))
        count += 1
    return count


def _print_lines(matches: Iterator[Identifier], columns: Sequence[str]) -> int:
    first = next(matches, None)  # before the heading: a refusal shall print nothing
    typer.echo("\t".join(columns))
    count = 0
    for match in chain([first] if first else [], matches):
        typer.echo("\t".join(printable(match.value(name)) for name in columns))
        count += 1
    return count


def _print_table(matches: Iterator[Identifier], columns: Sequence[str]) -> int:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table()
    for name in columns:
        # A UID that is broken up cannot be copied.
        table.add_column(name, overflow="fold", no_wrap=name.endswith("UID"))
    try:
        for match in matches:
            # As Text, in which square brackets are no markup.
            table.add_row(*(Text(printable(match.value(name))) for name in columns))
    finally:
        if table.row_count:
            Console().print(table)
    return table.row_count
