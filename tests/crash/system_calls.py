"""What a server asked of the kernel, in order: recorded by strace, with all bytes written and sent."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.peers import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDED = (
    "open,openat,creat,truncate,ftruncate,fallocate,copy_file_range,sendfile,write,writev,pwrite64,pwritev,"
    "pwritev2,fsync,fdatasync,sync_file_range,link,linkat,symlink,symlinkat,rename,renameat,renameat2,unlink,"
    "unlinkat,mkdir,mkdirat,rmdir,sendto,sendmsg,sendmmsg"
)
LONGEST_BUFFER = 4_000_000
NEVER = 1 << 62
"""When a call returned that the recording doesn't see return."""

_LITERAL = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_LINE = re.compile(r"(\d+) +(.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_DESCRIPTOR = re.compile(r"\w+\((\d+)<((?:\\x[0-9a-f]{2})*|[^>]*->[^>]*)>(\(deleted\))?")
_RESULT = re.compile(r"\) += (-?\d+|\?)")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call; between `began` and `ended`, places in the recording, it may take effect at any time."""

    name: str
    text: str
    """As strace writes it, its result included."""
    began: int
    ended: int

    @property
    def result(self) -> int:
        """What it returned; -1 also if it never did."""
        found = _RESULT.findall(self.text)
        return int(found[-1]) if found and found[-1] != "?" else -1

    @property
    def literals(self) -> list[bytes]:
        """All strings and buffers among the arguments."""
        assert '"...' not in self.text, "strace has cut a buffer short"
        return [_bytes(literal) for literal in _LITERAL.findall(self.text)]

    @property
    def numbers(self) -> list[int]:
        """The plain numbers behind the last buffer, as the length and position of a pwrite."""
        behind = self.text.rpartition('"')[2] if '"' in self.text else self.text.partition(",")[2]
        return [int(number) for number in re.findall(r"(?<=[ ,])\d+(?=[,)])", behind)]

    @property
    def file(self) -> str | None:
        """The path behind the descriptor that is the first argument; None if it is gone or no path."""
        found = _DESCRIPTOR.match(self.text)
        if found is None or found[3] or "->" in found[2]:
            return None
        return _bytes(found[2]).decode()

    @property
    def connection(self) -> str | None:
        """The connection behind the descriptor that is the first argument, as "local->remote"."""
        found = _DESCRIPTOR.match(self.text)
        return found[2].partition("[")[2].rstrip("]") if found and "->" in found[2] else None


def recorder(output: Path) -> list[str]:
    """What precedes a command that is to be recorded; without strace the test ends here (see `missing`)."""
    strace = shutil.which("strace")
    if strace is None:
        missing("strace is not installed (Debian package strace)")
    attempt = subprocess.run(
        [strace, "-D", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False
    )
    if attempt.returncode != 0 or attempt.stderr:
        missing("processes cannot be traced here")
    # -D: the server stays the child of whoever starts it, so that signals and exit status are its own.
    options = ["-D", "-f", "-qq", "-yy", "-xx", "-s", str(LONGEST_BUFFER), "-e", "signal=none"]
    return [strace, *options, "-e", f"trace={RECORDED}", "-o", str(output)]


def read_recording(output: Path) -> list[Call]:
    """All calls, in the order of their beginnings."""
    calls: list[Call] = []
    begun: dict[str, tuple[str, int]] = {}
    for place, process, text in _lines(output):
        resumed = _RESUMED.match(text)
        if text.endswith("<unfinished ...>"):
            begun[process] = (text.removesuffix("<unfinished ...>").rstrip(), place)
        elif resumed:
            beginning, began = begun.pop(process)
            calls.append(_call(beginning + resumed[2], began, place))
        elif "(" in text:
            calls.append(_call(text, place, place))
    calls += [_call(text, began, NEVER) for text, began in begun.values()]
    return sorted(calls, key=lambda call: call.began)


def _lines(output: Path) -> Iterator[tuple[int, str, str]]:
    with output.open() as lines:
        for place, line in enumerate(lines):
            matched = _LINE.fullmatch(line.rstrip("\n"))
            if matched:
                yield place, matched[1], matched[2].rstrip()


def _call(text: str, began: int, ended: int) -> Call:
    return Call(text.partition("(")[0], text, began, ended)


def _bytes(literal: str) -> bytes:
    return bytes.fromhex(literal.replace("\\x", ""))
