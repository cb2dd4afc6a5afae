"""What a decoder process gives up for good before it sees a stranger's bytes, as far as the kernel lets it.

Everything by `prctl` and plain system calls, as there is no well-kept Python package for them. Whatever is missing is
reported, and the rest holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
from pathlib import Path
from typing import Final

from pacsd.decoder.frames import Missing

__all__ = ["address_space", "confine", "die_with_parent"]

PR_SET_PDEATHSIG: Final = 1
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_MODE_FILTER: Final = 2
SECCOMP_RET_ALLOW: Final = 0x7FFF0000
SECCOMP_RET_EPERM: Final = 0x00050001
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000
LANDLOCK_CREATE_RULESET: Final = 444
LANDLOCK_RESTRICT_SELF: Final = 446
LANDLOCK_CREATE_RULESET_VERSION: Final = 1
LANDLOCK_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version of its interface → how many rights on files it knows; later ones know no fewer."""

OPEN_FILES: Final = 8
"""The three standard ones, the channel, and shared memory: the old and the new."""

_ALLOWED: Final = {
    "brk": (12, 214), "clock_gettime": (228, 113), "clock_nanosleep": (230, 115), "close": (3, 57), "exit": (60, 93),
    "exit_group": (231, 94), "fcntl": (72, 25), "fstat": (5, 80), "futex": (202, 98), "getpid": (39, 172),
    "getrandom": (318, 278), "getrusage": (98, 165), "gettid": (186, 178), "lseek": (8, 62), "madvise": (28, 233),
    "membarrier": (324, 283), "mmap": (9, 222), "mprotect": (10, 226), "mremap": (25, 216), "munmap": (11, 215),
    "nanosleep": (35, 101), "newfstatat": (262, 79), "ppoll": (271, 73), "pread64": (17, 67), "read": (0, 63),
    "recvfrom": (45, 207), "recvmsg": (47, 212), "restart_syscall": (219, 128), "rseq": (334, 293),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124), "sendmsg": (46, 211), "sendto": (44, 206), "set_robust_list": (273, 99),
    "sigaltstack": (131, 132), "tgkill": (234, 131), "write": (1, 64),
}  # fmt: skip
"""Memory, time, what is open already, and the end; by their numbers in `_ARCHITECTURES`.

No file is opened, no socket made, no process or thread begun.
"""
_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> bool:
    """Have the kernel end this process with `parent`; False where that is gone already."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent


def confine() -> Missing:
    """Give up files, network, processes and privileges; return what could not be given up."""
    # Where memory runs out all the same, this process goes and not the one that serves.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(limit, (value, value))
    missing = Missing(0)
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        missing |= Missing.PRIVILEGES
    has_no_files = _give_up_files()
    if _give_up_system_calls():
        return missing  # with which files and network are out of reach as well
    missing |= Missing.SYSTEM_CALLS
    if not has_no_files:
        missing |= Missing.FILES
    if _libc.unshare(CLONE_NEWNET) and _libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        missing |= Missing.NETWORK
    return missing


def _give_up_files() -> bool:
    """Landlock with no rule: nothing can be opened, read, written or made; from version 4 on, no TCP either."""
    version = _libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return False
    rights = [(1 << LANDLOCK_FILE_RIGHTS.get(version, 16)) - 1]
    if version >= 4:
        rights.append(0b11)
    attributes = struct.pack(f"<{len(rights)}Q", *rights)
    ruleset = _libc.syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    restricted: bool = _libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return restricted


def _give_up_system_calls() -> bool:
    """Have every system call but the allowed ones fail with EPERM."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return False
    architecture, column = known
    allowed = [numbers[column] for numbers in _ALLOWED.values()]
    load, jump_if_equal, give_back = 0x20, 0x15, 0x06
    program = [
        (load, 0, 0, 4),  # the architecture
        (jump_if_equal, 0, len(allowed) + 1, architecture),
        (load, 0, 0, 0),  # the number of the call
        *((jump_if_equal, len(allowed) - place, 0, number) for place, number in enumerate(allowed)),
        (give_back, 0, 0, SECCOMP_RET_EPERM),
        (give_back, 0, 0, SECCOMP_RET_ALLOW),
    ]
    instructions = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    described = _Filter(len(program), instructions)
    return bool(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(described), 0, 0) == 0)


def address_space() -> int:
    """Return how much of it this process has, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
