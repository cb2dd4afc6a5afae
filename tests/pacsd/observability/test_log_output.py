"""A log's lines stay whole and in order, whoever writes them and however slowly they are read; and nobody waits."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from pacsd.observability.log_output import MOST_WAITING, LogLines, LogOutput
from support.deadline import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG = 10_000
"""Bytes of a line that is more than a pipe takes at once."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def line(writer: int, number: int, length: int) -> bytes:
    return f"{writer} {number} ".encode().ljust(length - 1, b".") + b"\n"


def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def read_to_end(reader: int) -> list[list[bytes]]:
    text = b""
    while piece := os.read(reader, 1 << 16):
        text += piece
    return [each.split(b" ") for each in text.split(b"\n")[:-1]]


def test_lines_of_several_processes_stay_whole_and_in_order() -> None:
    """They are read only when all has been handed in, and are longer than what a pipe takes at once."""
    reader, writer = os.pipe()
    output = LogOutput(writer)
    handed_in, told = os.pipe()

    def write(of: int) -> Callable[[], None]:
        def work() -> None:
            for number in range(90):
                output.write(line(of, number, LONG if number % 3 else 100))
            os.write(told, b".")
            output.flush(30)

        return work

    pids = [forked(write(of)) for of in range(3)]
    os.close(writer)
    for _ in pids:
        assert os.read(handed_in, 1) == b".", "nobody waits"
    lines = read_to_end(reader)
    for pid in pids:
        os.waitpid(pid, 0)
    for of in range(3):
        found = [(int(each[1]), len(b" ".join(each)) + 1) for each in lines if each[0] == b"%d" % of]
        assert found == [(number, LONG if number % 3 else 100) for number in range(90)]
    for descriptor in (reader, handed_in, told):
        os.close(descriptor)


def test_what_is_too_much_is_dropped_counted_and_told_of_where_it_is_missing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    output = LogOutput(writer)
    dropped: list[int] = []
    output.observe_dropped = dropped.append
    output.describe_dropped = lambda count: b"lack %d\n" % count
    numbers = range((MOST_WAITING + (1 << 18)) // LONG)
    for number in numbers:
        output.write(line(0, number, LONG))
    assert sum(dropped) > 0
    read: list[bytes] = []

    def read_all() -> None:
        with os.fdopen(os.dup(reader), "rb") as stream:
            for each in stream:
                read.append(each)
                if each.startswith(b"0 999 "):
                    return

    thread = threading.Thread(target=read_all)
    thread.start()
    output.flush(30)
    output.write(line(0, 999, 100))
    thread.join(30)
    kept = len(numbers) - sum(dropped)
    assert [each.split(b" ")[1] for each in read[:kept]] == [b"%d" % number for number in range(kept)]
    assert read[kept:] == [b"lack %d\n" % sum(dropped), line(0, 999, 100)]


def test_a_process_that_is_killed_in_the_middle_of_a_line_spoils_no_other(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    output = LogOutput(writer)
    pid = forked(lambda: (output.write(line(1, 1, 200_000)), signal.pause())[0])
    text = os.read(reader, 1)
    wait_until(lambda: len(peeked(reader)) > 0, within=10, what="half a line is written")
    output.write(line(2, 1, 100))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while not text.endswith(line(2, 1, 100)):
        output.drain()
        text += os.read(reader, 1 << 16)
    assert text.endswith(b".\n" + line(2, 1, 100))
    assert text.count(b"\n") == 2


def peeked(reader: int) -> bytes:
    import fcntl
    import struct
    import termios

    (length,) = struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, struct.pack("i", 0)))
    return bytes(length)


def test_without_a_reader_lines_are_counted_and_nothing_is_raised() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    output = LogOutput(writer)
    dropped: list[int] = []
    output.observe_dropped = dropped.append
    output.write(b"one\n")
    output.write(b"two\n")
    output.flush()
    assert sum(dropped) == 2, "and not also what would have told of them"
    os.close(writer)


def test_a_file_takes_lines_as_they_come(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        handler = LogLines(LogOutput(file.fileno()))
        handler.emit(logging.makeLogRecord({"msg": "number %d", "args": (7,)}))
        handler.emit(logging.makeLogRecord({"msg": "number %d", "args": ("x",), "name": "pacsd.x"}))
    assert (tmp_path / "log").read_text() == ("number 7\na line of pacsd.x cannot be formatted: TypeError\n")
