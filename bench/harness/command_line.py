"""The command line of the harness."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from harness import entries
from harness.asking_parts import find_part, retrieve_part
from harness.association import ClientTcp
from harness.clients import CLIENTS
from harness.comparison import Comparison, log, warm_page_cache
from harness.errors import ServerError
from harness.holding_parts import idle_part, kills_part, syncs_part
from harness.instances import KINDS, SYNTAXES
from harness.report import Section
from harness.storing_parts import client_part, store_part

PARTS: dict[str, tuple[Callable[[Comparison], Section], ...]] = {
    "store": (store_part,),
    "client": (client_part,),
    "find": (find_part,),
    "retrieve": (retrieve_part,),
    "idle": (idle_part,),
    "durability": (syncs_part, kills_part),
}


def _words(allowed: Sequence[str] = ()) -> Callable[[str], list[str]]:
    def words(argument: str) -> list[str]:
        found = [each for each in argument.split(",") if each]
        wrong = [each for each in found if allowed and each not in allowed]
        if wrong or not found:
            known = f"; known: {', '.join(allowed)}" if allowed else ""
            raise argparse.ArgumentTypeError(f"{', '.join(wrong) or 'nothing'} in {argument!r}{known}")
        return found

    return words


def _numbers(argument: str) -> list[int]:
    numbers = [int(each) for each in argument.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("numbers begin at 1")
    return numbers


def parser() -> argparse.ArgumentParser:
    """Return the parser; lists are comma-separated."""
    top = argparse.ArgumentParser(description="Compare DICOM servers on one machine; see bench/README.md.")
    top.add_argument(
        "parts", type=_words([*PARTS, "all", "list"]), help=f"of {', '.join(PARTS)}; all; or list"
    )
    top.add_argument("--servers", type=_words(), default="pacsd,orthanc,dcmqrscp,qrscp,sink,sink-fsync")
    top.add_argument("--target", help="server that the ratios are taken for (the first)")
    top.add_argument(
        "--servers-file", type=Path, action="append", default=[], help="further servers (repeatable)"
    )
    top.add_argument("--rounds", type=int, default=3)
    top.add_argument("--out", type=Path, metavar="PREFIX", help="write PREFIX.md and PREFIX.json")
    lock = str(Path(tempfile.gettempdir()) / "bench.lock")
    top.add_argument("--lock", default=lock, help="file locked during each measurement; empty for none")
    top.add_argument("--tmp", help="folder for the servers' storage")
    top.add_argument("--keep", action="store_true", help="keep the servers' folders")
    top.add_argument("--warm-gib", type=float, default=6.0, help="page cache to touch first (0 = none)")
    _add_storing(top.add_argument_group("store and client"))
    _add_others(top.add_argument_group("find, retrieve, idle, durability"))
    return top


def _add_storing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--kinds", type=_words([*KINDS]), default="ct,small", help=f"of {', '.join(KINDS)}")
    group.add_argument("--syntax", type=_words([*SYNTAXES]), default="explicit", help="explicit, implicit")
    group.add_argument("--assoc", type=_numbers, default="1,4", help="associations at a time")
    group.add_argument(
        "--pdu", type=_numbers, default="131072", help="upper bound; the server's own also holds"
    )
    group.add_argument(
        "--ack", type=_words(get_args(ClientTcp)), default="quick", help="quick, delayed, nagle"
    )
    group.add_argument("--count", type=int, default=0, help="instances per run (by kind)")
    group.add_argument("--max-seconds", type=float, default=6.0)
    group.add_argument("--clients", type=_words([*CLIENTS]), default="dcmsend", help="dcmsend, storescu")
    group.add_argument("--client-kind", choices=[*KINDS], default="ct")
    group.add_argument("--client-count", type=int, default=200)


def _add_others(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--studies", type=_numbers, default="1000")
    group.add_argument("--fill-seconds", type=float, default=300.0)
    group.add_argument("--fill-assoc", type=int, default=1)
    group.add_argument("--query-seconds", type=float, default=2.0)
    group.add_argument("--retrieve-kinds", type=_words([*KINDS]), default="ct")
    group.add_argument("--retrieve-count", type=int, default=200)
    group.add_argument("--idle", type=_numbers, default="1,100,500,1000")
    group.add_argument("--kills", type=int, default=3)
    group.add_argument("--kill-assoc", type=int, default=4)
    group.add_argument("--kill-kinds", type=_words([*KINDS]), default="ct,small")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts and print their tables."""
    options = parser().parse_args(arguments)
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # servers are stopped, and what there is reported
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if "list" in options.parts:
        for name, entry in entries.load_entries([entries.SERVERS_FILE, *options.servers_file]).items():
            print(f"{name:18s} {entry.get('about', '')}")
        return
    try:
        comparison = Comparison(options)
    except (OSError, ServerError, ValueError) as error:
        sys.exit(str(error))
    if options.warm_gib:
        log(f"[warming {options.warm_gib} GiB of page cache]")
        warm_page_cache(options.warm_gib, options.tmp)
    sections = []
    for part in PARTS if "all" in options.parts else options.parts:
        log(f"[{part}]")
        sections += [measure(comparison) for measure in PARTS[part]]
    comparison.report(sections)
