"""`pacsd send`."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacsd.cli.peer import Connection, calls_a_peer
from pacsd.cli.terminal import note, progress_bar, say
from pacsd.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pacsd.scu.files import FoundFiles
    from pacsd.services.retrieve import Sent

__all__ = ["send"]

EXAMPLES_SHOWN = 3
"""Of the files that share a reason."""
MEGABYTE = 1_000_000
DECODING_SECONDS = 30
"""For one file, besides one second for each 4 MB; as `decompression.timeout` has it by default."""


@calls_a_peer
def send(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[HOST PORT] PATH",
            help="The peer, unless --peer is given; then files and folders, which are searched with all below them.",
        ),
    ],
    *,
    connection: Connection,
) -> None:
    """Send DICOM files to a peer (C-STORE); exit status 1 if any of them failed.

    Data sets go as they are; only for a peer that doesn't take a file's transfer syntax they are decompressed.
    """
    # Here and not above: no other command should have to wait for it.
    from dicomnet import DicomNet  # noqa: PLC0415
    from pacsd.dataset.transcode import Transcoder  # noqa: PLC0415
    from pacsd.decoder.pool import DecoderPool  # noqa: PLC0415
    from pacsd.scu.files import find_instances  # noqa: PLC0415
    from pacsd.scu.sending import FileSender  # noqa: PLC0415
    from pacsd.storage.opened_file import OpenedFile  # noqa: PLC0415

    names: Sequence[str] = arguments
    if connection.peer is None:
        host, port, names = _split(arguments)
        connection = replace(connection, host=host, port=port)
    call = connection.call()
    found = find_instances(_existing(names))
    decoders = DecoderPool(processes=1, seconds=DECODING_SECONDS)
    sender = FileSender(
        call.peer,
        calling_ae_title=call.calling_ae_title,
        new_net=lambda: DicomNet(call.configuration),
        open_file=partial(OpenedFile, failure=_failure),
        transcode=Transcoder(decoders),
    )
    begin = time.monotonic()
    try:
        results = list(_with_progress(sender.send(found.instances), found))
    finally:
        decoders.close()
    _summarize(found, results, time.monotonic() - begin)
    if found.unreadable or any(result.outcome.value == "failed" for result in results):
        raise typer.Exit(1)


def _failure(_action: str, error: OSError) -> StorageUnavailable:
    return StorageUnavailable(error.strerror or "the file cannot be read")


def _split(arguments: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    host, port, *names = [*arguments, "", ""][: max(len(arguments), 2)]
    if not names:
        raise typer.BadParameter("give HOST, PORT and one PATH at least, or --peer and PATHs")
    return host, port, names


def _existing(names: Iterable[str]) -> list[Path]:
    paths = [Path(name) for name in names]
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            raise typer.BadParameter(f"{path}: {error.strerror}") from error
    return paths


def _with_progress(results: Iterable[Sent], found: FoundFiles) -> Iterator[Sent]:
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    files = TextColumn("{task.fields[done]}/{task.fields[number]} files")
    with progress_bar(
        [BarColumn(), files, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    ) as bar:
        task = bar.add_task("", total=found.size, done=0, number=len(found.instances))
        for done, result in enumerate(results, start=1):
            bar.update(task, advance=result.instance.size, done=done)
            yield result


def _summarize(found: FoundFiles, results: Sequence[Sent], seconds: float) -> None:
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for result in results:
        if result.reason:
            reasons[result.outcome.value, result.reason].append(result.instance.path)
    for path, reason in found.unreadable:
        reasons["failed", reason].append(str(path))
    for (outcome, reason), paths in sorted(reasons.items()):
        further = f" and {len(paths) - EXAMPLES_SHOWN} more" if len(paths) > EXAMPLES_SHOWN else ""
        note(f"{outcome}: {reason}: {', '.join(paths[:EXAMPLES_SHOWN])}{further}")
    number = {
        outcome: sum(result.outcome.value == outcome for result in results)
        for outcome in ("completed", "warning", "failed")
    }
    megabytes = sum(r.instance.size for r in results if r.outcome.value != "failed") / MEGABYTE
    say(
        f"{number['completed']} sent, {number['warning']} sent with warnings, "
        f"{number['failed'] + len(found.unreadable)} failed, {found.skipped} skipped (not DICOM); "
        f"{megabytes:.1f} MB in {seconds:.1f} s"
    )
