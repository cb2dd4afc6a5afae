"""One run of the harness: its servers, the order of their rounds, and the report."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import entries
from harness.errors import ServerError, WireError
from harness.report import Row, Section, circumstances, document, publish


def log(*words: object) -> None:
    """Say how far the run is."""
    print(*words, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock that all timed work on the machine shares; an empty path is none."""
    if not path:
        yield
        return
    with Path(path).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def warm_page_cache(gib: float, folder: str | None) -> None:
    """Write and remove a file of this size.

    On a virtual machine the first touch of a page of memory costs ten times a later one, and would be charged to
    whichever server comes first.
    """
    block = bytes(1 << 20)
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(int(gib * 1024)):
            file.write(block)


class Comparison:
    """What the parts share: options, entries of the servers, and how a measurement is run."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Look the servers up; an unknown one raises ServerError."""
        known = entries.load_entries([entries.SERVERS_FILE, *options.servers_file])
        self.options = options
        self.servers = [entries.resolve(known, name) for name in options.servers]
        self.target = options.target or options.servers[0]
        self._interrupted = False

    def with_index(self) -> list[entries.Entry]:
        """Return the servers that can be queried."""
        return [entry for entry in self.servers if not entry.get("storage_only")]

    def rounds(self) -> Iterator[tuple[int, entries.Entry]]:
        """Yield round and server, interleaved, each round beginning with another server."""
        for number in range(self.options.rounds):
            first = number % len(self.servers)
            for entry in self.servers[first:] + self.servers[:first]:
                yield number, entry

    def guarded(self, entry: entries.Entry, measure: Callable[[], dict[str, Any]]) -> Row:
        """Measure under the lock, from a clean backlog of the page cache; a failure becomes a row that says so.

        After an interrupt nothing more is run, and what there is gets reported.
        """
        if self._interrupted:
            return {"failures": ["not run: interrupted"]}
        try:
            with _locked(self.options.lock):
                os.sync()
                return {"failures": []} | measure()
        except KeyboardInterrupt:
            self._interrupted = True
            log("interrupted")
            return {"failures": ["interrupted"]}
        except (EOFError, OSError, ServerError, ValueError, WireError) as error:
            failure = f"{type(error).__name__}: {error}"[:200]
            log(f"  {entry['name']}: {failure}")
            return {"failures": [failure]}

    def report(self, sections: list[Section]) -> None:
        """Print the tables, and write PREFIX.md and PREFIX.json where that was asked for."""
        meta = circumstances() | {"target": self.target, "rounds": self.options.rounds}
        servers = {
            entry["name"]: {"about": entry.get("about", ""), "version": entries.version_of(entry, os.environ)}
            for entry in self.servers
        }
        head = (
            f"{meta['date']}; target: {self.target}; {meta['cpus']} CPUs, Linux {meta['kernel']}, "
            f"Python {meta['python']}, {self.options.rounds} round(s), medians\n\n"
        )
        head += "".join(f"- {name}: {said['about']} [{said['version']}]\n" for name, said in servers.items())
        text = head + document(sections)
        tables = {each.title: [{"case": c, "rows": r} for c, r in each.cases] for each in sections}
        publish(text, {"meta": meta | {"servers": servers}, "sections": tables}, self.options.out)
