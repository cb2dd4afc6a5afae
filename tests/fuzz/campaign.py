"""Runs of one target: against the clock, each input under a budget of computing time, the process under one of memory.

As a program it goes on for as long as it is told, led by coverage where atheris is installed:

    PYTHONPATH=server:tests python -m fuzz.campaign TARGET SECONDS
"""

from __future__ import annotations

import importlib.util
import logging
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType

import structlog

from fuzz.mutator import mutate
from fuzz.targets import TARGETS, Run

INPUT_SECONDS = 2.0
"""Of computing time for one input; the slowest takes a hundredth of it."""
MEMORY = 512 << 20
"""Bytes of address space that all inputs together may take beyond what the process has."""


class TookTooLongError(AssertionError):
    """An input kept the processor for longer than its budget."""


class FindingError(AssertionError):
    """An input that ends in something undocumented; the message holds what it takes to see it again."""


@contextmanager
def budgets() -> Iterator[None]:
    """Bound computing time by SIGVTALRM (the clock is armed by `run_one`), and memory by RLIMIT_AS."""
    before = signal.signal(signal.SIGVTALRM, _stop)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGVTALRM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise TookTooLongError(f"an input took more than {INPUT_SECONDS} s of computing time")


def run_one(run: Run, data: bytes) -> None:
    """Run one input under its budget."""
    signal.setitimer(signal.ITIMER_VIRTUAL, INPUT_SECONDS)
    try:
        run(data)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def fuzz(name: str, seconds: float, seed: int) -> int:
    """Run the seeds and then mutated inputs for so many seconds; return how many. Raises FindingError."""
    target = TARGETS[name]
    beginnings = target.seeds()
    source = random.Random(seed)
    deadline = time.monotonic() + seconds
    with target.open() as run, budgets():
        for data in beginnings:
            _try(run, data, name)
        for tried in count(len(beginnings)):
            if time.monotonic() >= deadline:
                return tried
            _try(run, mutate(source, beginnings), name)
    raise AssertionError("the count has no end")


def _try(run: Run, data: bytes, name: str) -> None:
    try:
        run_one(run, data)
    except Exception as error:
        raise FindingError(f"target {name}, input bytes.fromhex('{data.hex()}')") from error


def _fuzz_with_atheris(name: str, seconds: float) -> None:
    import atheris

    atheris.instrument_all()
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(TARGETS[name].seeds()):
            (Path(folder) / str(number)).write_bytes(data)
        with TARGETS[name].open() as run:
            options = [
                f"-max_total_time={int(seconds)}",
                f"-timeout={int(INPUT_SECONDS)}",
                "-rss_limit_mb=1024",
            ]
            atheris.Setup([sys.argv[0], *options, folder], run)
            atheris.Fuzz()


def main() -> int:
    """Fuzz the target of the command line; a finding ends it with a traceback."""
    name, seconds = sys.argv[1], float(sys.argv[2])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    warnings.simplefilter("ignore", UserWarning)  # pydicom's, of character sets that there are not
    if importlib.util.find_spec("atheris"):
        _fuzz_with_atheris(name, seconds)
        return 0
    seed = time.time_ns()
    print(f"{name}: seed {seed}", flush=True)
    print(f"{name}: {fuzz(name, seconds, seed)} inputs, nothing found", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
